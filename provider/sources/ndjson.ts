/** One JSON object `{"key": …, "value": …}` per line; empty lines are skipped. */
import type { RowPacker } from "./rows";

export function readNdjson(bytes: Buffer, rows: RowPacker): void {
  let line = 0;
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(10, start);
    const end = newline < 0 ? bytes.length : newline;
    const text = bytes.toString("utf8", start, end);
    start = end + 1;
    line++;
    if (text.trim() !== "") addRow(text, line, rows);
  }
}

function addRow(text: string, line: number, rows: RowPacker): void {
  let row: unknown;
  try {
    row = JSON.parse(text);
  } catch (error) {
    return rows.refuse(line, "", `is no JSON: ${(error as SyntaxError).message}`);
  }
  if (row === null || typeof row !== "object" || Array.isArray(row)) {
    return rows.refuse(line, "", "expected an object with key and value");
  }
  const names = Object.keys(row);
  for (const name of names) {
    if (name !== "key" && name !== "value") rows.refuse(line, name, "unknown; a row has key and value");
  }
  const { key, value } = row as { key?: unknown; value?: unknown };
  rows.add(key, value, line);
}
