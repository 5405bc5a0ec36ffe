/** What a command is, and what it gets and gives. */
import type { Connection } from "../transport/connection";

export interface Command {
  /** Names of what stands after the command, for usage; `[NAME]` may be left out, `[NAME…]` be several. `HOST` is the first if there is one. */
  operands: readonly string[];
  /** Names of options with a value, besides those of HOST. */
  options?: readonly string[];
  run(invocation: Invocation): Promise<Outcome>;
}

export interface Invocation {
  /** The operands after HOST. */
  operands: string[];
  /** What was given of the command's own. */
  options: Readonly<Record<string, string>>;
  /** Of HOST; absent for a command without one. */
  connection?: Connection;
  /** Tells the person who waits. */
  report(message: string): void;
}

export interface Outcome {
  /** False: a check failed, or there is drift. */
  well: boolean;
  text: string;
  json: unknown;
}

/** Rows of text in columns; the last one is as wide as it is. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows.reduce<number[]>(
    (most, row) => row.map((cell, index) => Math.max(cell.length, most[index] ?? 0)),
    [],
  );
  return rows
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths[index]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export function indented(text: string, by = "  "): string {
  return text.replace(/^(?=.)/gm, by);
}
