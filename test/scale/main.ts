/**
 * `npm run scale [-- SHAPE…]`: what a host costs the machine that runs Pulumi, for one stack and for several at once, with the state on
 * PostgreSQL. The figures of docs/scale.md come from here; run it on a machine that does nothing else.
 *
 * Owns: the shapes and the table. Does not own: the stacks (test/support/stacks.ts).
 */
import { readFileSync } from "node:fs";
import { descendants } from "../support/processes.js";
import { Stacks } from "../support/stacks.js";

/** Hosts of each stack, by what the command line calls it: `<stacks>x<hosts of each>`. */
const shapes: Record<string, Record<string, number>> = {
  "1x5": { one: 5 },
  "1x20": { one: 20 },
  "4x5": { north: 5, east: 5, south: 5, west: 5 },
};

interface Cost {
  /** Wall clock. */
  seconds: number;
  /** Of all processors, engine and provider and program together. */
  cpuSeconds: number;
  /** Most that all processes of the job took together, shared pages counted once. */
  megabytes: number;
}

async function main(names: string[]): Promise<void> {
  const unknown = names.filter((name) => !(name in shapes));
  if (unknown.length > 0)
    throw new Error(`no shape ${unknown.join(", ")}; there are ${Object.keys(shapes).join(", ")}`);
  console.log("stacks × hosts  operation        seconds  CPU s  CPU s/host  MB    MB/host");
  for (const [name, shape] of Object.entries(shapes)) {
    if (names.length > 0 && !names.includes(name)) continue;
    const stacks = await Stacks.create(shape);
    try {
      await measureAll(stacks, shape);
    } finally {
      await stacks.destroy();
    }
  }
}

async function measureAll(stacks: Stacks, shape: Record<string, number>): Promise<void> {
  const hosts = Object.values(shape).reduce((sum, size) => sum + size, 0);
  const label = `${stacks.names.length} × ${hosts / stacks.names.length}`;
  const measure = async (title: string, verb: string): Promise<void> => {
    const { seconds, cpuSeconds, megabytes } = await costOf(stacks, verb);
    const cells = [
      label.padEnd(14),
      title.padEnd(15),
      seconds.toFixed(1).padStart(8),
      cpuSeconds.toFixed(1).padStart(6),
      (cpuSeconds / hosts).toFixed(2).padStart(11),
      megabytes.toFixed(0).padStart(4),
      (megabytes / hosts).toFixed(0).padStart(8),
    ];
    console.log(cells.join("  "));
  };
  await measure("up, all new", "up");
  await measure("preview, as is", "preview");
  for (const name of stacks.names) stacks.configure(name, 10);
  await measure("up, new program", "up");
  await measure("drift", "drift");
  const [bytes] = await stacks.postgres.query(
    "select sum(length(data::text)) from pulumi_state where key like '%/stacks/%.json'",
  );
  console.log(`${label.padEnd(14)}  state: ${(Number(bytes) / hosts / 1024).toFixed(0)} KiB a host`);
  await measure("destroy", "destroy");
}

async function costOf(stacks: Stacks, verb: string): Promise<Cost> {
  const job = stacks.spawnTimed("stacks", verb, ...stacks.names);
  let megabytes = 0;
  const timer = setInterval(() => {
    megabytes = Math.max(megabytes, memoryOf(job.pid) / 1024);
  }, 200);
  try {
    const { real, user, system } = await job.ended;
    return { seconds: real, cpuSeconds: user + system, megabytes };
  } finally {
    clearInterval(timer);
  }
}

/** KiB of a process and its descendants. */
function memoryOf(root: number): number {
  const pss = (pid: number) => Number(/^Pss: +(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);
  return [root, ...descendants(root)].reduce((total, pid) => total + pss(pid), 0);
}

/** Empty when the process has ended meanwhile. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return "";
    throw error;
  }
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
void main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(`scale: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
