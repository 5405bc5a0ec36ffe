/**
 * The policy program in a load of its own, to try packets on a generation. It reads the same cells as the load that judges,
 * or those that are about to, and has connections, counters and events of its own: live ones never move. A session
 * has one, since the verifier takes a quarter of a second; it is loaded when it is needed first.
 */
import type { MapHandle } from "../../bpf";
import type { Packet } from "../../network-policy/packet";
import { frameOf } from "../../network-policy/frames";
import type { Host } from "../host";
import { select } from "./generation";
import { CONNECTION_MAPS, type Judged, LoadedProgram } from "./loaded";
import { policyProgram } from "./program";

/** Connections that it has room for; full tables are what a test can make of it. */
const FLOWS = 128;
const EVENT_BYTES = 4096;
const FIRST = Buffer.alloc(4);

/** Judges by one generation, until `rehearse` returns. */
export interface Rehearsal {
  judge(packet: Packet): Judged;
  /** Connections and fragments that earlier packets opened. */
  forget(): void;
}

const loaded = new WeakMap<Host, LoadedProgram>();

/** `cells`: the inner array of the generation. No packet of an earlier rehearsal is known. */
export function rehearse<T>(host: Host, cells: MapHandle, work: (rehearsal: Rehearsal) => T): T {
  const program = loaded.get(host) ?? load();
  loaded.set(host, program);
  const generations = program.map("generations");
  generations.updateReference(FIRST, cells);
  try {
    program.forget();
    return work({
      judge: (packet) => program.judge(`judge_${packet.direction}`, frameOf(packet)),
      forget: () => program.forget(),
    });
  } finally {
    // the cells of a hundred thousand rules are not kept for a session
    generations.delete(FIRST);
  }
}

/** At the end of the session. */
export function endRehearsals(host: Host): void {
  loaded.get(host)?.[Symbol.dispose]();
  loaded.delete(host);
}

function load(): LoadedProgram {
  const program = new LoadedProgram(policyProgram(), { untracked: 1 }, (object) => {
    for (const name of CONNECTION_MAPS) object.map(name).setMaxEntries(FLOWS);
    object.map("events").setMaxEntries(EVENT_BYTES);
    object.program("judge_xdp").setAutoload(false);
  });
  select(program.map("selectors"), 0);
  return program;
}
