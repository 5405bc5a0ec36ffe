/**
 * Rows growth-<workload>-<path>: by how much a packet takes longer among many rules than among ten, for the program that
 * ships and for the same one with LPM maps. Each packet has another random address; a tracked packet asks no rules.
 * Among many rules what is read lies in memory, among ten in a cache: beside the growth stands what one such read takes.
 */
import {
  compileObjects,
  generationOf,
  type Objects,
  type Path,
  Plane,
  shapeFor,
  type Variant,
} from "../network-policy/planes.js";
import { type Workload } from "../network-policy/workloads.js";
import { RandomWalk } from "../memory.js";
import { inDirectory } from "../objects.js";
import { atMostAndShare, type Bench, type Goal, leastInTurn, median, type RowGroup } from "../row.js";

const PATHS = ["stateless", "denied", "tracked", "new"] as const satisfies Path[];
const SIZES = [10, 1000, 10_000, 100_000];
const WORKLOADS: Record<string, { of: Omit<Workload, "count">; sizes: number[] }> = {
  W1: { of: { name: "W1" }, sizes: SIZES },
  W2: { of: { name: "W2" }, sizes: SIZES },
  W3: { of: { name: "W3" }, sizes: SIZES.slice(0, 3) },
  "W1-ipv6": { of: { name: "W1", ipv6: true }, sizes: SIZES },
};
const GOALS: Record<(typeof PATHS)[number], Goal> = {
  stateless: atMostAndShare(150, "ns", 0.5),
  denied: atMostAndShare(150, "ns", 0.5),
  tracked: { text: "<= 150 ns", holds: (ours) => median(ours) <= 150 },
  new: atMostAndShare(150, "ns", 0.5),
};
const nameOf = (workload: string, path: Path): string => `growth-${workload}-${path}`;

export const policyGrowth: RowGroup = {
  names: Object.keys(WORKLOADS).flatMap((workload) => PATHS.map((path) => nameOf(workload, path))),
  run: (wanted, bench) =>
    inDirectory(async (directory) => {
      const objects = await compileObjects(directory);
      const memory = new RandomWalk();
      for (const [workload, { of, sizes }] of Object.entries(WORKLOADS)) {
        for (const path of PATHS) {
          if (!wanted.has(nameOf(workload, path))) continue;
          bench.say(`${nameOf(workload, path)}: ${bench.repeat} pairs at ${sizes.join(", ")}`);
          const planes: Both[] = [];
          try {
            for (const count of sizes) planes.push(both(objects, { ...of, count }, path));
            await measure(workload, path, sizes, planes, memory, bench);
          } finally {
            for (const { ships, lpm } of planes) for (const plane of [ships, lpm]) plane[Symbol.dispose]();
          }
        }
      }
    }),
};

interface Both {
  ships: Plane;
  lpm: Plane;
}

function both(objects: Objects, workload: Workload, path: Path): Both {
  const generation = generationOf(workload, shapeFor(path));
  const plane = (variant: Variant): Plane => new Plane(objects, variant, workload, path, generation);
  return { ships: plane("ships"), lpm: plane("lpm") };
}

async function measure(
  workload: string,
  path: (typeof PATHS)[number],
  sizes: number[],
  planes: Both[],
  memory: RandomWalk,
  bench: Bench,
): Promise<void> {
  const timers = planes.flatMap(({ ships, lpm }) => [() => ships.time(), () => lpm.time()]);
  const values = await leastInTurn([...timers, () => memory.time()], bench.repeat);
  const reads = values.at(-1)!;
  const times = {
    ships: sizes.map((_, i) => values[2 * i]!),
    lpm: sizes.map((_, i) => values[2 * i + 1]!),
  };
  const growth = (variant: keyof typeof times) =>
    times[variant].at(-1)!.map((time, round) => time - times[variant][0]![round]!);
  const at = (variant: keyof typeof times) => times[variant].map((all) => Math.round(median(all))).join(", ");
  const most = sizes.at(-1)!.toLocaleString("en-US");
  bench.report({
    name: nameOf(workload, path),
    ours: growth("ships"),
    baseline: growth("lpm"),
    unit: "ns",
    goal: GOALS[path],
    compares: `growth from 10 to ${most} of ns a packet, against the same program with LPM maps`,
    remark: `at ${sizes.join(", ")}: ${at("ships")} ns; with LPM ${at("lpm")} ns; a read of memory ${Math.round(median(reads))} ns`,
  });
}
