/**
 * The bench's table and bench/latest.json.
 *
 * Owns: both forms of a result. Does not own: measuring, goals (row.ts).
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { dirname } from "node:path";
import { median, ratioOf, type Row } from "./row.js";

export interface Failure {
  name: string;
  error: string;
}

export type Result = Row | Failure;

const columns = ["row", "ours", "spread", "baseline", "spread", "ratio", "goal", "holds"];

/** Lines of the table, with the error below a row that could not be run. */
export function table(results: Result[]): string {
  const cells = results.map((result) => ("error" in result ? [result.name, "failed"] : cellsOf(result)));
  const widths = columns.map((title, i) =>
    Math.max(title.length, ...cells.map((row) => (row[i] ?? "").length)),
  );
  const line = (row: string[]): string =>
    row
      .map((cell, i) => (i === 0 || i > 5 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "─".repeat(width)).join("──");
  return [line(columns), rule, ...results.flatMap((result, i) => [line(cells[i] ?? []), ...below(result)])]
    .map((text) => `${text}\n`)
    .join("");
}

function cellsOf(row: Row): string[] {
  const { ours, baseline, unit, goal } = row;
  const ratio = ratioOf(ours, baseline);
  return [
    row.name,
    `${number(median(ours))} ${unit}`,
    spread(ours),
    `${number(median(baseline))} ${unit}`,
    spread(baseline),
    ratio === null ? "–" : number(ratio),
    goal.text,
    goal.holds(ours, baseline) ? "yes" : "NO",
  ];
}

function below(result: Result): string[] {
  if ("error" in result) return result.error.split("\n").map((text) => `    ${text}`);
  return [`    ${result.compares}${result.remark === undefined ? "" : `; ${result.remark}`}`];
}

function spread(values: number[]): string {
  return `${number(Math.min(...values))}…${number(Math.max(...values))}`;
}

/** Three significant digits, whole numbers whole. */
function number(value: number): string {
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 4));
}

export function writeJson(path: string, results: Result[]): void {
  const rows = results.map((result) => {
    const { name } = result;
    if ("error" in result) {
      const { error } = result;
      return { name, ours: null, baseline: null, unit: null, ratio: null, goal: null, holds: false, error };
    }
    const { ours, baseline, unit, goal, compares, remark } = result;
    return {
      name,
      ours: median(ours),
      baseline: median(baseline),
      unit,
      ratio: ratioOf(ours, baseline),
      goal: goal.text,
      holds: goal.holds(ours, baseline),
      runs: { ours, baseline },
      compares,
      remark,
    };
  });
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify({ machine: machine(), rows }, null, 2)}\n`);
}

/** What the figures depend on. */
export function machine(): string {
  const system = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  const processors = cpus();
  const load = loadavg()[0]?.toFixed(1) ?? "?";
  return [
    system,
    `kernel ${release()}`,
    `${processors.length} x ${processors[0]?.model.trim() ?? "unknown processor"}`,
    `node ${process.version.slice(1)}`,
    `load ${load}`,
  ].join(", ");
}
