/** Tables of Markdown. Pure. */

export function markdownTable(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line), ""].join("\n");
}

/** A value as a program has it. */
export function code(value: unknown): string {
  const text = JSON.stringify(value)
    .replace(/"(\w+)":/g, "$1:")
    .replaceAll(":", ": ")
    .replaceAll(",", ", ");
  return `\`${text}\``;
}
