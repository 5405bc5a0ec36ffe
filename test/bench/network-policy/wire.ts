/**
 * Two network namespaces and a veth pair between them: `veth0` sends, `veth1` judges and takes.
 *
 * Owns: namespaces, addresses, processes in them, time of real packets. Does not own: the packets (frame.h).
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  interfaceIndex,
  inNetworkNamespace,
  LinkHandle,
  type ProgramHandle,
} from "../../../provider/bpf/index.js";
import { run } from "../../support/command.js";
import { type DataPlane } from "../../support/data-plane.js";
import { ownPrefix } from "../../support/lab-network.js";
import { compileObject, compileProgram } from "../objects.js";
import { allInTurn } from "../row.js";
import { comesAsFrame, isXdp, type Path } from "./planes.js";
import { type Workload, WORKLOADS } from "./workloads.js";

const MILLISECONDS = 200;
const FLOWS = 16_384;
/** For each pair that a row shall have: a run is short. */
const PAIRS = 4;
/** By their number in frame.h; 0: random. */
const MODES: Partial<Record<Path, number>> = { tracked: 1, new: 2 };

/** Paths of traffic.c and of frames.bpf.c, compiled. */
export interface Sender {
  program: string;
  frames: string;
}

export async function compileSender(directory: string): Promise<Sender> {
  return {
    program: await compileProgram("network-policy/traffic", directory),
    frames: await compileObject("network-policy/frames", directory),
  };
}

let serial = 0;
const wires = new Set<Wire>();
// for a process that is told to end, and cannot wait
process.on("exit", () => wires.forEach((wire) => wire.abandon()));

export class Wire {
  private readonly far: string;
  private readonly near: string;
  private sink: ChildProcess | undefined;
  private readonly links: LinkHandle[] = [];

  private constructor(
    private readonly sender: Sender,
    private readonly path: Path,
  ) {
    const id = `${ownPrefix}w${serial++}`;
    [this.far, this.near] = [`${id}-far`, `${id}-near`];
  }

  static async create(sender: Sender, path: Path): Promise<Wire> {
    const wire = new Wire(sender, path);
    wires.add(wire);
    try {
      await wire.setUp();
    } catch (error) {
      await wire.destroy();
      throw error;
    }
    return wire;
  }

  private async setUp(): Promise<void> {
    const { far, near } = this;
    for (const name of [far, near]) {
      await run(["ip", "netns", "add", name]);
      // packets of the kernel's own, such as router solicitations, may bring the receiver's work to another core
      for (const which of ["all", "default"])
        await run(["ip", "netns", "exec", name, "sysctl", "-qw", `net.ipv6.conf.${which}.disable_ipv6=1`]);
    }
    const commands = [
      `link add veth0 address 02:00:00:00:00:02 type veth peer name veth1 address 02:00:00:00:00:01 netns ${near}`,
      "link set veth0 up",
    ];
    const nearCommands = [
      "link set lo up",
      "link set veth1 up",
      "route add local 198.18.0.0/15 dev lo",
      "address add 198.18.0.1/32 dev veth1",
      "route add default dev veth1",
      "neighbour add 128.0.0.0 lladdr 02:00:00:00:00:02 dev veth1",
    ];
    for (const command of commands) await run(["ip", "-n", far, ...command.split(" ")]);
    for (const command of nearCommands) await run(["ip", "-n", near, ...command.split(" ")]);
    // addresses of the far side are on link, and are not asked for
    await run(["ip", "-n", near, "link", "set", "veth1", "arp", "off"]);
    for (const name of ["all", "default", "veth1"])
      await this.inNear(["sysctl", "-qw", `net.ipv4.conf.${name}.rp_filter=0`]);
    // without GRO, veth takes frames only where an XDP program is attached
    if (comesAsFrame(this.path)) await this.inNear(["ethtool", "-K", "veth1", "gro", "on"]);
    this.sink = spawn("ip", ["netns", "exec", near, this.sender.program, "sink"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(this.sink.stdout!, "data");
  }

  private inNear(command: string[], input = ""): Promise<unknown> {
    return run(["ip", "netns", "exec", this.near, ...command], { input, timeoutSeconds: 300 });
  }

  attach(plane: DataPlane): void {
    if (isXdp(this.path)) return this.attachXdp(plane.program("judge_xdp"));
    this.inNearNetwork((ifindex) => {
      for (const direction of ["ingress", "egress"] as const)
        this.links.push(
          LinkHandle.create(plane.program(`judge_${direction}`), { type: "tcx", ifindex, direction }),
        );
    });
  }

  attachXdp(program: ProgramHandle): void {
    this.inNearNetwork((ifindex) => {
      this.links.push(LinkHandle.create(program, { type: "xdp", ifindex, mode: "native" }));
    });
  }

  private inNearNetwork(work: (ifindex: number) => void): void {
    inNetworkNamespace(`/run/netns/${this.near}`, () => work(interfaceIndex("veth1")));
  }

  async load(ruleset: string): Promise<void> {
    await this.inNear(["nft", "-f", "-"], ruleset);
  }

  /** The flows that `tracked` packets belong to. */
  async open({ name, count }: Workload): Promise<void> {
    const numbers = [WORKLOADS.indexOf(name), count, FLOWS].map(String);
    await run(["ip", "netns", "exec", this.far, this.sender.program, "open", "veth0", ...numbers]);
    await this.inNear([this.sender.program, "answer", ...numbers]);
  }

  /** Nanoseconds a packet, those of sending it and of the network stack included. */
  async time({ name, count }: Workload): Promise<number> {
    const mode = MODES[this.path] ?? 0;
    const numbers = [WORKLOADS.indexOf(name), count, mode, FLOWS, MILLISECONDS].map(String);
    const frames = comesAsFrame(this.path) ? [this.sender.frames] : [];
    const command = [this.sender.program, "send", "veth0", ...numbers, ...frames];
    const { stdout } = await run(["ip", "netns", "exec", this.far, ...command]);
    return Number(stdout);
  }

  async destroy(): Promise<void> {
    for (const link of this.links.splice(0)) link.close();
    if (this.sink !== undefined) {
      const ended = once(this.sink, "close");
      this.sink.stdin!.end();
      await ended;
    }
    this.abandon();
  }

  /** All but the receiver, which ends with this process. */
  abandon(): void {
    wires.delete(this);
    for (const name of [this.far, this.near]) spawnSync("ip", ["netns", "delete", name]);
  }
}

/** Nanoseconds a packet on each wire, `PAIRS` times for each of `repeat`. */
export function timeInTurn(wires: Wire[], workload: Workload, repeat: number): Promise<number[][]> {
  return allInTurn(
    wires.map((wire) => () => wire.time(workload)),
    PAIRS * repeat,
  );
}
