/**
 * Comma-separated text with a header that names the columns: `key`, `value`, or paths below them such as
 * `key.addr`, `value.counters[2]`. Quotes and line ends as RFC 4180 has them; empty lines are skipped.
 */
import Papa from "papaparse";
import { compileEncoder, type RowEncoder } from "../btf";
import { EbpfError, type Problem } from "../errors";
import { keyLayoutOf } from "./keys";
import { type RowPacker, valueLayoutOf } from "./rows";
import type { EntriesRequest } from "./source";

/** Key and value of one line. */
interface Line {
  width: number;
  key: RowEncoder;
  value: RowEncoder;
}

export function readCsv(bytes: Buffer, request: EntriesRequest, rows: RowPacker): void {
  const whole = bytes.includes('"');
  if (whole && bytes.length > longestText) {
    return rows.refuse(1, "", "over 512 MB with quotes; leave them out, or give the binary format");
  }
  let line = 1;
  let layout: Line | undefined;
  for (const text of slices(bytes, whole)) {
    const { data, errors } = Papa.parse<string[]>(text, { delimiter: "," });
    for (const { message, row = 0 } of errors) rows.refuse(line + row, "", message);
    for (const cells of data) {
      const at = line++;
      // a quoted cell may itself hold line ends
      for (const cell of cells) if (cell.includes("\n")) line += cell.split("\n").length - 1;
      if (cells.length === 1 && cells[0]!.trim() === "") continue;
      if (layout === undefined) {
        layout = readHeader(cells, request, (part, reason) => rows.refuse(at, part, reason));
        if (layout === undefined) return;
      } else if (cells.length !== layout.width) {
        rows.refuse(at, "", `has ${cells.length} cells, the header has ${layout.width}`);
      } else {
        rows.addCells(cells, layout, at);
      }
    }
  }
  if (layout === undefined) rows.refuse(1, "", "expected a header such as key,value");
}

const sliceSize = 1 << 20;
/** Node's strings end there. */
const longestText = 0x1fffffe8;

/** The text in pieces of whole lines, so that few rows live at a time; in one piece where quotes may hold line ends. */
function* slices(bytes: Buffer, whole: boolean): Generator<string> {
  const byteOrderMark = bytes.subarray(0, 3).equals(Buffer.from("\uFEFF"));
  for (let start = byteOrderMark ? 3 : 0; start < bytes.length;) {
    const newline = whole ? bytes.length - 1 : bytes.indexOf(10, start + sliceSize);
    const end = newline < 0 ? bytes.length : newline + 1;
    yield bytes.toString("utf8", start, end).replace(/\r?\n$/, "");
    start = end;
  }
}

function readHeader(
  header: string[],
  request: EntriesRequest,
  refuse: (part: string, reason: string) => void,
): Line | undefined {
  const columns = header.map((name) => name.trim());
  const problems: Problem[] = [];
  const compile = (layout: Parameters<typeof compileEncoder>[0], root: string): RowEncoder | undefined => {
    try {
      return compileEncoder(layout, columns, root);
    } catch (error) {
      if (!EbpfError.is(error, "invalid")) throw error;
      problems.push(...(error.context.problems ?? []));
      return undefined;
    }
  };
  const key = compile(keyLayoutOf(request), "key");
  const value = compile(valueLayoutOf(request), "value");
  for (const column of columns) {
    if (!/^(key|value)($|[.[])/.test(column)) {
      problems.push({
        property: `column ${JSON.stringify(column)}`,
        reason: "expected key, value, or a path below them such as key.addr",
      });
    }
  }
  for (const { property, reason } of problems) refuse(property, reason);
  return key === undefined || value === undefined || problems.length > 0
    ? undefined
    : { width: columns.length, key, value };
}
