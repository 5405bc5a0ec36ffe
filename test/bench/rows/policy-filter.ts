/**
 * Rows xdp-filter-<addresses>, by test-runs, and wire-xdp-filter-<addresses>, by frames that XDP sends over a veth pair:
 * xdp-filter's own job, packets from a deny list of IPv4 addresses, by its object that passes what is not listed.
 *
 * libxdp's dispatcher needs freplace, which not every machine grants, so the object is loaded as it is: xdp-filter without
 * the dispatcher's cost. Ours says `established: "ignore"`, since xdp-filter knows no connections.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BpfObject, type ProgramHandle } from "../../../provider/bpf/index.js";
import { compileObjects, generationOf, Plane, shapeFor } from "../network-policy/planes.js";
import { PacketWriter } from "../network-policy/test-run.js";
import { compileSender, type Sender, timeInTurn, Wire } from "../network-policy/wire.js";
import { networkOf, type Workload } from "../network-policy/workloads.js";
import { inDirectory } from "../objects.js";
import { type Bench, leastInTurn, ratioAtMost, type RowGroup } from "../row.js";

const SIZES = [1000, 10_000, 100_000];
const PACKETS = 200_000;
/** MAP_FLAG_SRC of xdp-filter; the rest of the value counts. */
const SOURCE = 1n;
const XDP_DROP = 1;

const KINDS = ["xdp-filter", "wire-xdp-filter"] as const;
const nameOf = (kind: (typeof KINDS)[number], count: number): string => `${kind}-${count}`;

export const policyFilter: RowGroup = {
  names: KINDS.flatMap((kind) => SIZES.map((count) => nameOf(kind, count))),
  run: (wanted, bench) =>
    inDirectory(async (directory) => {
      const objects = await compileObjects(directory);
      const sender = await compileSender(directory);
      const filter = findFilter();
      for (const count of SIZES) {
        const [run, wire] = KINDS.map((kind) => nameOf(kind, count));
        if (!wanted.has(run!) && !wanted.has(wire!)) continue;
        const workload: Workload = { name: "addresses", count };
        const generation = generationOf(workload, shapeFor("blocked"));
        using ours = new Plane(objects, "ships", workload, "blocked", generation);
        using rival = new Filter(filter, workload, objects.write);
        const common = {
          unit: "ns" as const,
          goal: ratioAtMost(1.2),
          remark: "xdp-filter without libxdp's dispatcher",
        };
        const from = `from one of ${count.toLocaleString("en-US")} denied addresses`;
        if (wanted.has(run!)) {
          const timers = [() => ours.time(), () => rival.time()];
          const [times, baseline] = await leastInTurn(timers, bench.repeat);
          bench.report({
            name: run!,
            ours: times!,
            baseline: baseline!,
            ...common,
            compares: `a test-run ${from}, against xdpfilt_alw_ip.o`,
          });
        }
        if (wanted.has(wire!)) {
          const values = await onWires(
            sender,
            workload,
            [ours.data.program("judge_xdp"), rival.program],
            bench,
          );
          const compares = `a frame by XDP ${from} over a veth pair, sent and received, against xdpfilt_alw_ip.o`;
          bench.report({ name: wire!, ...values, ...common, compares });
        }
      }
    }),
};

async function onWires(
  sender: Sender,
  workload: Workload,
  programs: [ProgramHandle, ProgramHandle],
  bench: Bench,
) {
  const wires: Wire[] = [];
  try {
    for (const program of programs) {
      const wire = await Wire.create(sender, "blocked");
      wires.push(wire);
      wire.attachXdp(program);
    }
    const [ours, baseline] = await timeInTurn(wires, workload, bench.repeat);
    return { ours: ours!, baseline: baseline! };
  } finally {
    for (const wire of wires) await wire.destroy();
  }
}

function findFilter(): string {
  const folders = [...readdirSync("/usr/lib").map((name) => join("/usr/lib", name, "bpf")), "/usr/lib/bpf"];
  const found = folders.map((folder) => join(folder, "xdpfilt_alw_ip.o")).find((path) => existsSync(path));
  if (found === undefined) throw new Error("xdpfilt_alw_ip.o of xdp-tools is not there");
  return found;
}

class Filter implements Disposable {
  readonly program: ProgramHandle;
  private readonly writer: PacketWriter;

  constructor(path: string, workload: Workload, write: string) {
    using object = BpfObject.open(readFileSync(path), { name: "xdp-filter" });
    for (const map of object.maps()) map.setPinPath(undefined);
    object.map("filter_ipv4").setMaxEntries(workload.count);
    object.load();
    using addresses = object.map("filter_ipv4").handle();
    const value = Buffer.alloc(addresses.valueBytes);
    for (let at = 0; at < value.length; at += 8) value.writeBigUInt64LE(SOURCE, at);
    for (let i = 0; i < workload.count; i++) {
      const key = Buffer.alloc(4);
      key.writeUInt32BE(networkOf(workload, i).first[0]!);
      addresses.update(key, value);
    }
    this.program = object.program("xdpfilt_alw_ip").handle();
    this.writer = new PacketWriter(write, "xdp", { workload, mode: "random" }, this.program);
    if (this.writer.send(PACKETS) !== XDP_DROP) throw new Error("xdp-filter passes what it shall drop");
  }

  time(): number {
    return this.writer.time(PACKETS);
  }

  [Symbol.dispose](): void {
    this.writer[Symbol.dispose]();
    this.program.close();
  }
}
