/**
 * `npm run bench [-- ROW… --repeat N]`: measures the rows and writes bench/latest.json; with `provider` in place of the
 * rows, or with some of its rows, those of bench/provider.json.
 *
 * A row that misses its goal is shown as such and is no failure: the exit status is 1 only when a row could not be
 * measured, 2 for bad arguments.
 *
 * Owns: arguments and order. Does not own: set-up (scripts/bench.mjs), rows (rows/), output (report.ts).
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { machine, type Result, table, writeJson } from "./report.js";
import { type RowGroup } from "./row.js";
import { deployment } from "./rows/deployment.js";
import { entries } from "./rows/entries.js";
import { fleet200 } from "./rows/fleet-200.js";
import { hosts } from "./rows/hosts.js";
import { policyApply } from "./rows/policy-apply.js";
import { policyFilter } from "./rows/policy-filter.js";
import { policyGrowth } from "./rows/policy-growth.js";
import { policyMemory } from "./rows/policy-memory.js";
import { policyWire } from "./rows/policy-wire.js";
import { provider } from "./rows/provider.js";
import { session } from "./rows/session.js";
import { swap } from "./rows/swap.js";

/** By file in bench/; the quick ones first. */
const suites: Record<string, RowGroup[]> = {
  latest: [session, entries, swap, hosts, deployment],
  provider: [provider, fleet200],
  "network-policy": [policyMemory, policyGrowth, policyFilter, policyWire, policyApply],
};
const namesOf = (groups: RowGroup[]): string[] => groups.flatMap((group) => group.names);

interface Arguments {
  suite: string;
  wanted: Set<string>;
  repeat: number;
}

function readArguments(): Arguments {
  const { values, positionals } = parseArgs({
    options: { repeat: { type: "string", default: "3" } },
    allowPositionals: true,
  });
  const [first = "latest", ...others] = positionals;
  const named = first in suites && others.length === 0;
  const suite = named ? first : Object.keys(suites).find((name) => namesOf(suites[name]!).includes(first));
  const names = suite === undefined ? Object.values(suites).flatMap(namesOf) : namesOf(suites[suite]!);
  const unknown = named ? [] : positionals.filter((name) => !names.includes(name));
  if (suite === undefined || unknown.length > 0) {
    throw new Error(`unknown row ${unknown.join(", ")}; rows: ${names.join(" ")}`);
  }
  const repeat = Number(values.repeat);
  if (!Number.isInteger(repeat) || repeat < 1) throw new Error("--repeat takes a whole number from 1");
  return { suite, wanted: new Set(named ? names : positionals), repeat };
}

async function measure({ suite, wanted, repeat }: Arguments): Promise<Result[]> {
  const results: Result[] = [];
  const groups = suites[suite]!;
  const names = namesOf(groups);
  for (const group of groups) {
    const ofGroup = new Set(group.names.filter((name) => wanted.has(name)));
    if (ofGroup.size === 0) continue;
    const missing = new Set(ofGroup);
    const say = (message: string): void => console.log(`${label([...missing])}: ${message}`);
    try {
      await group.run(ofGroup, {
        repeat,
        say,
        report: (row) => {
          missing.delete(row.name);
          results.push(row);
          process.stdout.write(`\n${table([row])}\n`);
        },
      });
      if (missing.size > 0) throw new Error("the row was not measured");
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      for (const name of missing) {
        results.push({ name, error: text });
        console.log(`${name}: failed: ${text}`);
      }
    }
  }
  return results.sort((a, b) => names.indexOf(a.name) - names.indexOf(b.name));
}

function label([first, ...others]: string[]): string {
  return others.length > 0 ? `${first} and ${others.length} more` : `${first}`;
}

async function main(): Promise<number> {
  let chosen: Arguments;
  try {
    chosen = readArguments();
  } catch (error) {
    console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
    return 2;
  }
  const started = Date.now();
  const results = await measure(chosen);
  const output = `bench/${chosen.suite}.json`;
  writeJson(resolve(__dirname, "../..", output), results);
  console.log(`\n${machine()}; medians and spread of ${chosen.repeat} interleaved pairs\n`);
  process.stdout.write(table(results));
  console.log(`\n${output} written; ${Math.round((Date.now() - started) / 1000)} s`);
  return results.some((result) => "error" in result) ? 1 : 0;
}

// a lab takes itself down when the process exits
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
void main().then((code) => process.exit(code));
