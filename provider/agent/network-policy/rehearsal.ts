/**
 * A second load of the policy program, attached nowhere, that judges packets by BPF_PROG_TEST_RUN and tells why. It
 * reads the same cells as the load that judges, or those that are about to, and has connections, counters and events
 * of its own: live ones never move.
 */
import { BpfObject, type MapHandle, type ProgramHandle } from "../../bpf";
import { decode } from "../../btf";
import { SLOT } from "../../network-policy/cells";
import type { Direction } from "../../network-policy/applied";
import type { Reason } from "../../network-policy/packet";
import { select } from "./generation";
import { globalValue, policyProgram } from "./program";

/** As enum reason of the program. */
export const REASONS = [
  "rule",
  "default",
  "unnamed",
  "connection",
  "infrastructure",
  "not-ip",
  "fragment",
  "fragment-unknown",
  "malformed",
  "broken",
] as const satisfies (Reason | "broken")[];

/** What the program says of a packet. A slot is that of the deciding rule; see CompiledUnion. */
export interface Rehearsed {
  verdict: "allow" | "deny";
  reason: (typeof REASONS)[number];
  slot?: number;
  audit: { verdict: "allow" | "deny"; slot?: number };
}

/** Connections that it has room for; full tables are what a test can make of it. */
const FLOWS = 128;
const CONNECTION_MAPS = ["half_open", "established", "fragments"];

export class Rehearsal implements Disposable {
  private readonly programs = new Map<Direction, ProgramHandle>();
  private readonly maps = new Map<string, MapHandle>();

  /** `cells`: the inner array of one generation. Frames begin with an Ethernet header. */
  constructor(cells: MapHandle) {
    const { bytes } = policyProgram();
    using object = BpfObject.open(bytes, { name: "rehearsal" });
    const { offset, bytes: on } = globalValue("explain", 1);
    object.map(".rodata").setInitialValue(offset, Buffer.from(on, "base64"));
    for (const name of CONNECTION_MAPS) object.map(name).setMaxEntries(FLOWS);
    object.map("events").setMaxEntries(4096);
    // the verifier takes most of the time
    for (const program of object.programs()) program.setAutoload(program.name !== "judge_xdp");
    object.load();
    for (const direction of ["ingress", "egress"] as const)
      this.programs.set(direction, object.program(`judge_${direction}`).handle());
    for (const map of object.maps()) if (!map.isInternal) this.maps.set(map.name, map.handle());
    this.map("generations").updateReference(FIRST, cells);
    select(this.map("selectors"), 0);
  }

  judge(direction: Direction, frame: Buffer): Rehearsed {
    this.programs.get(direction)!.testRun({ data: frame });
    const layout = policyProgram().info.maps["explained"]!.value!;
    const event = decode(layout, this.map("explained").lookup(FIRST)!) as Explained;
    return {
      verdict: event.pass ? "allow" : "deny",
      reason: REASONS[event.reason]!,
      ...slotOf(event.rule),
      audit: { verdict: event.audit_pass ? "allow" : "deny", ...slotOf(event.audit) },
    };
  }

  /** Connections and fragments that earlier packets opened. */
  forget(): void {
    for (const name of CONNECTION_MAPS) {
      const map = this.map(name);
      for (let key = map.nextKey(null); key !== undefined; key = map.nextKey(null)) map.delete(key);
    }
  }

  private map(name: string): MapHandle {
    return this.maps.get(name)!;
  }

  [Symbol.dispose](): void {
    for (const one of [...this.programs.values(), ...this.maps.values()]) one.close();
  }
}

/** The members of struct event that tell the verdict. */
interface Explained {
  rule: number;
  audit: number;
  reason: number;
  pass: number;
  audit_pass: number;
}

/** Of a value: slot + 1 with flags, 0 for none. */
export function slotOf(value: number): { slot?: number } {
  return value === 0 ? {} : { slot: (value & SLOT) - 1 };
}

const FIRST = Buffer.alloc(4);
