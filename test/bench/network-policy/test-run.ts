/**
 * Programs that judge packets, timed by BPF_PROG_TEST_RUN with another packet of a workload each time.
 *
 * Owns: the program that writes packets, and its time. Does not own: what is judged by (workloads.ts).
 */
import { readFileSync } from "node:fs";
import {
  BpfObject,
  type MapHandle,
  type ProgramHandle,
  type TestRunResult,
} from "../../../provider/bpf/index.js";
import { readObject } from "../../../provider/btf/index.js";
import { setGlobals } from "../../../provider/agent/network-policy/loaded.js";
import { u32 } from "../../support/data-plane.js";
import { type Workload, WORKLOADS } from "./workloads.js";

/** By their number in write.bpf.c. */
const MODES = ["random", "others", "flows", "opening", "answers", "fresh"] as const;
export type Mode = (typeof MODES)[number];
export type Hook = "xdp" | "tc";

export interface Packets {
  workload: Workload;
  mode: Mode;
  /** With `flows`, `opening` and `answers`. */
  flows?: number;
}

/** Two: the first brings into the caches what fits there. */
const RUNS = 2;
const ETHERNET = 14;
const SEED = 0x2545f491;
const TCP = { SYN: 2, ACK: 16 };

/** Ethernet, IP, TCP, and eight bytes that the writer counts in. */
function frameOf(mode: Mode, ipv6: boolean): Buffer {
  const ip = ipv6 ? 40 : 20;
  const frame = Buffer.alloc(ETHERNET + ip + 20 + 8);
  frame.set([0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1]);
  frame.writeUInt16BE(ipv6 ? 0x86dd : 0x0800, 12);
  if (ipv6) {
    frame.writeUInt8(0x60, ETHERNET);
    frame.writeUInt16BE(28, ETHERNET + 4);
    frame.set([6, 64], ETHERNET + 6);
  } else {
    frame.writeUInt8(0x45, ETHERNET);
    frame.writeUInt16BE(48, ETHERNET + 2);
    frame.set([64, 6], ETHERNET + 8);
  }
  const tcp = ETHERNET + ip;
  frame.writeUInt8(0x50, tcp + 12);
  const opens = mode === "opening" || mode === "fresh";
  frame.writeUInt8(opens ? TCP.SYN : mode === "answers" ? TCP.SYN | TCP.ACK : TCP.ACK, tcp + 13);
  frame.writeUInt32LE(SEED, tcp + 20);
  return frame;
}

/** Packets of a workload into a program, `hook` by hook. */
export class PacketWriter implements Disposable {
  private readonly program: ProgramHandle;
  private readonly nothing: ProgramHandle;
  private readonly targets: MapHandle;
  private readonly frame: Buffer;

  /** @param object write.bpf.c, compiled. */
  constructor(
    object: string,
    hook: Hook,
    { workload, mode, flows = 1 }: Packets,
    private readonly target: ProgramHandle,
  ) {
    const bytes = readFileSync(object);
    const { count, ipv6 = false, name } = workload;
    using opened = BpfObject.open(bytes, { name: "write" });
    const numbers = { workload: WORKLOADS.indexOf(name), mode: MODES.indexOf(mode), rules: count, flows };
    setGlobals(opened, readObject(bytes), { ...numbers, ipv6: Number(ipv6) });
    for (const program of opened.programs()) program.setAutoload(program.name.endsWith(`_${hook}`));
    opened.load();
    this.program = opened.program(`write_${hook}`).handle();
    this.nothing = opened.program(`nothing_${hook}`).handle();
    this.targets = opened.map("target").handle();
    this.frame = frameOf(mode, ipv6);
  }

  /** Nanoseconds a packet, less those of making it. */
  time(packets: number): number {
    const least = (program: ProgramHandle) =>
      Math.min(...Array.from({ length: RUNS }, () => this.run(program, packets).durationNs));
    return least(this.target) - least(this.nothing);
  }

  /** Not timed; what the program returned for the last packet. */
  send(packets: number): number {
    return this.run(this.target, packets).returnValue;
  }

  private run(target: ProgramHandle, repeat: number): TestRunResult {
    this.targets.updateReference(u32(0), target);
    return this.program.testRun({ data: this.frame, repeat });
  }

  [Symbol.dispose](): void {
    for (const one of [this.program, this.nothing, this.targets]) one.close();
  }
}
