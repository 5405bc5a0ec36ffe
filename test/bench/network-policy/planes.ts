/**
 * Planes that judge by a workload: the program as it ships, and its variant with LPM maps.
 *
 * Owns: set-up of both, flows in their tables. Does not own: rules (workloads.ts), time (test-run.ts).
 */
import { possibleCpus } from "../../../provider/bpf/index.js";
import { MOST_PER_CPU, SHARD_SLOTS, SHARDS } from "../../../provider/network-policy/cells.js";
import { compile, type Generation } from "../../support/compiled-union.js";
import { DataPlane, type Load, type Settings } from "../../support/data-plane.js";
import { compileObject } from "../objects.js";
import { fillNetworks } from "./lpm.js";
import { type Hook, type Mode, PacketWriter } from "./test-run.js";
import { policiesOf, type Shape, type Workload } from "./workloads.js";

const FLOWS = 16_384;
const PACKETS = 100_000;

export type Variant = "ships" | "lpm";
/**
 * What a packet meets. Without connections: stateless passes and blocked is dropped, at XDP, with `-socket` after a socket
 * sent it; stateless-tcx passes at tcx.
 */
export type Path =
  | "stateless"
  | "stateless-socket"
  | "stateless-tcx"
  | "blocked"
  | "blocked-socket"
  | "denied"
  | "tracked"
  | "new";

export function isStateless(path: Path): boolean {
  return path === "stateless-tcx" || isXdp(path);
}

export function isXdp(path: Path): boolean {
  return comesAsFrame(path) || path === "stateless-socket" || path === "blocked-socket";
}

/** Whether XDP gets it in a page of its own, as from a network card. */
export function comesAsFrame(path: Path): boolean {
  return path === "stateless" || path === "blocked";
}

/** What a policy says that gives a packet this path. */
export function shapeFor(path: Path): Required<Pick<Shape, "action" | "established">> {
  return {
    action: path === "denied" || path.startsWith("blocked") ? "deny" : "allow",
    established: isStateless(path) ? "ignore" : "recheck",
  };
}

export interface Objects {
  write: string;
  lpm: string;
}

export async function compileObjects(directory: string): Promise<Objects> {
  const module = "provider/modules/network-policy";
  return {
    write: await compileObject("network-policy/write", directory),
    lpm: await compileObject("network-policy/lpm", directory, "lpm", [`-I${module}`]),
  };
}

let number = 0n;

export function generationOf(workload: Workload, shape: Shape): Generation {
  return compile(policiesOf(workload, shape), { number: ++number });
}

/** As the agent loads it. */
export function settingsOf(path: Path, generation: Generation): [Settings, Load] {
  const rules = Math.max(1, Math.ceil(generation.rules.length / SHARD_SLOTS)) * SHARD_SLOTS;
  return [
    {
      explain: 0,
      clock_coarse: 1,
      untracked: isStateless(path) ? 1 : 0,
      counter_shards: rules > MOST_PER_CPU ? SHARDS : 0,
      shards_shared: possibleCpus() > SHARDS ? 1 : 0,
    },
    { rules, flows: null },
  ];
}

/** One path through one variant of the program, under one workload. */
export class Plane implements Disposable {
  readonly data: DataPlane;
  private readonly writers: PacketWriter[] = [];
  private readonly timed: PacketWriter;

  constructor(
    private readonly objects: Objects,
    variant: Variant,
    private readonly workload: Workload,
    path: Path,
    generation: Generation,
  ) {
    const [settings, load] = settingsOf(path, generation);
    this.data = new DataPlane(settings, { ...load, ...(variant === "lpm" ? { object: objects.lpm } : {}) });
    this.data.install(generation);
    if (variant === "lpm") fillNetworks(this.data, workload, generation);
    if (path === "tracked") {
      this.writer("tc", "judge_ingress", "opening").send(FLOWS);
      this.writer("tc", "judge_egress", "answers").send(FLOWS);
      this.timed = this.writer("tc", "judge_ingress", "flows");
    } else if (isXdp(path)) this.timed = this.writer("xdp", "judge_xdp", "random");
    else this.timed = this.writer("tc", "judge_ingress", path === "new" ? "fresh" : "random");
    this.time();
  }

  /** Nanoseconds a packet. */
  time(): number {
    return this.timed.time(PACKETS);
  }

  private writer(
    hook: Hook,
    entrypoint: "judge_ingress" | "judge_egress" | "judge_xdp",
    mode: Mode,
  ): PacketWriter {
    const packets = { workload: this.workload, mode, flows: FLOWS };
    const writer = new PacketWriter(this.objects.write, hook, packets, this.data.program(entrypoint));
    this.writers.push(writer);
    return writer;
  }

  [Symbol.dispose](): void {
    for (const writer of this.writers) writer[Symbol.dispose]();
    this.data[Symbol.dispose]();
  }
}
