/** Rows memory-W1 and memory-W2: bytes of all maps for both generations of 100,000 rules, less the tables of connections. */
import { CELL_WORDS } from "../../../provider/network-policy/cells.js";
import { possibleCpus } from "../../../provider/bpf/index.js";
import { compileObjects, generationOf, Plane } from "../network-policy/planes.js";
import { inDirectory } from "../objects.js";
import { alwaysAtMost, type RowGroup } from "../row.js";

const RULES = 100_000;
const CONNECTIONS = ["half_open", "established", "fragments"];
const CPUS = 128;

export const policyMemory: RowGroup = {
  names: ["memory-W1", "memory-W2"],
  run: (wanted, bench) =>
    inDirectory(async (directory) => {
      const objects = await compileObjects(directory);
      for (const name of ["W1", "W2"] as const) {
        if (!wanted.has(`memory-${name}`)) continue;
        const workload = { name, count: RULES };
        const generation = generationOf(workload, {});
        const bytes = (["ships", "lpm"] as const).map((variant) => {
          using plane = new Plane(objects, variant, workload, "denied", generation);
          for (const slot of [0, 1])
            plane.data.fill(slot, generation, generation.cells.length / CELL_WORDS / 8);
          const { bytes, eachCpu } = plane.data.memory(CONNECTIONS);
          return { bytes, onMany: bytes + eachCpu * (CPUS - possibleCpus()) };
        });
        const [ships, lpm] = bytes as [(typeof bytes)[0], (typeof bytes)[0]];
        bench.report({
          name: `memory-${name}`,
          ours: [ships.bytes / 1e6],
          baseline: [lpm.bytes / 1e6],
          unit: "MB",
          goal: alwaysAtMost(64, "MB"),
          compares: `maps of both generations as the kernel reports, against the same with LPM maps beside`,
          remark: `${(ships.onMany / 1e6).toFixed(1)} MB with ${CPUS} CPUs, computed`,
        });
      }
    }),
};
