/**
 * Row xdp-filter-<addresses>: xdp-filter's own job, packets from a deny list of IPv4 addresses, by its object for that.
 *
 * libxdp's dispatcher needs freplace, which not every machine grants, so the object is loaded as it is: xdp-filter without
 * the dispatcher's cost. Both run by BPF_PROG_TEST_RUN, ours without connections.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BpfObject, type ProgramHandle } from "../../../provider/bpf/index.js";
import { compileObjects, generationOf, Plane } from "../network-policy/planes.js";
import { PacketWriter } from "../network-policy/test-run.js";
import { networkOf, type Workload } from "../network-policy/workloads.js";
import { inDirectory } from "../objects.js";
import { inTurn, ratioAtMost, type RowGroup } from "../row.js";

const SIZES = [1000, 10_000, 100_000];
const PACKETS = 200_000;
/** MAP_FLAG_SRC of xdp-filter; the rest of the value counts. */
const SOURCE = 1n;

const nameOf = (count: number): string => `xdp-filter-${count}`;

export const policyFilter: RowGroup = {
  names: SIZES.map(nameOf),
  run: (wanted, bench) =>
    inDirectory(async (directory) => {
      const objects = await compileObjects(directory);
      const filter = findFilter();
      for (const count of SIZES.filter((size) => wanted.has(nameOf(size)))) {
        const workload: Workload = { name: "addresses", count };
        const generation = generationOf(workload, { action: "deny" });
        using ours = new Plane(objects, "ships", workload, "stateless", generation);
        using rival = new Filter(filter, workload, objects.write);
        const values = await inTurn(
          bench.repeat,
          async () => ours.time(),
          async () => rival.time(),
        );
        bench.report({
          name: nameOf(count),
          ...values,
          unit: "ns",
          goal: ratioAtMost(1.2),
          compares: `a packet from one of ${count.toLocaleString("en-US")} denied addresses, against xdpfilt_dny_ip.o`,
          remark: "xdp-filter without libxdp's dispatcher",
        });
      }
    }),
};

function findFilter(): string {
  const folders = [...readdirSync("/usr/lib").map((name) => join("/usr/lib", name, "bpf")), "/usr/lib/bpf"];
  const found = folders.map((folder) => join(folder, "xdpfilt_dny_ip.o")).find((path) => existsSync(path));
  if (found === undefined) throw new Error("xdpfilt_dny_ip.o of xdp-tools is not there");
  return found;
}

class Filter implements Disposable {
  private readonly program: ProgramHandle;
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
    this.program = object.program("xdpfilt_dny_ip").handle();
    this.writer = new PacketWriter(write, "xdp", { workload, mode: "random" }, this.program);
    this.time();
  }

  time(): number {
    return this.writer.time(PACKETS);
  }

  [Symbol.dispose](): void {
    this.writer[Symbol.dispose]();
    this.program.close();
  }
}
