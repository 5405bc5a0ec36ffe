/** What a command is, and what it gets and gives. */
import type { Connection } from "../transport/connection";

export interface Command {
  /** Names of what stands after the command, for usage; `[NAME]` may be left out, `[NAME…]` be several. `HOST` is the first if there is one; all of `[HOST…]` are hosts too. */
  operands: readonly string[];
  /** Names of options with a value, besides those of HOST. */
  options?: readonly string[];
  run(invocation: Invocation): Promise<Outcome>;
}

export interface Invocation {
  /** The operands after the hosts. */
  operands: string[];
  /** What was given of the command's own. */
  options: Readonly<Record<string, string>>;
  /** Of each HOST; none for a command without one. */
  connections: Connection[];
  /** Tells the person who waits. */
  report(message: string): void;
  /** Prints at once, for what goes on: the text, or with --json the document on a line. */
  print(text: string, json: unknown): void;
}

export interface Outcome {
  /** False: a check failed, or there is drift. */
  well: boolean;
  /** Absent: all was printed. */
  text?: string;
  json?: unknown;
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
