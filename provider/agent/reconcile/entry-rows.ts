/**
 * Declared rows of a map: from manifest and chunk blobs to the bytes the kernel takes, and what differs between
 * two declarations, or between a declaration and what the map holds. Computes; touches no map.
 */
import { EbpfError } from "../../errors";
import type { EntriesPart } from "../../protocol/spec";
import type { Blobs } from "../blobs";
import { readManifest } from "../references";
import { RowTable, copyBytes } from "./row-table";

/** What must be written to a map, as the kernel takes it. */
export interface EntriesChange {
  /** Packed `key|value` rows. */
  upserts: Buffer;
  /** Packed keys. */
  deletes: Buffer;
}

/** What a map holds. */
export interface Contents {
  table: RowTable;
  /** An array: every key exists, and an element of zeroes counts as absent. */
  fixed: boolean;
}

/** Bytes of one row's value as BPF_MAP_LOOKUP_ELEM gives it: all CPUs in order, each padded to 8 bytes. */
export function kernelValueSize(part: { valueSize: number; perCpu?: unknown }, cpus: number): number {
  return part.perCpu === undefined ? part.valueSize : padded(part.valueSize) * cpus;
}

function wireValueSize(part: EntriesPart, cpus: number): number {
  return part.perCpu === "each" ? padded(part.valueSize) * cpus : part.valueSize;
}

function padded(size: number): number {
  return Math.ceil(size / 8) * 8;
}

/** Rows as the kernel takes them, chunk by chunk. */
export function* declaredRows(
  part: EntriesPart,
  blobs: Blobs,
  cpus: number,
  only?: ReadonlySet<string>,
): Generator<Buffer> {
  for (const chunk of readManifest(blobs, part.manifest)) {
    if (only !== undefined && !only.has(chunk.blob)) continue;
    const bytes = blobs.read(chunk.blob);
    const wireRow = part.keySize + wireValueSize(part, cpus);
    if (bytes.length !== chunk.count * wireRow) {
      throw new EbpfError(
        "invalid",
        `read entries "${part.name}": chunk of ${chunk.count} rows has ${bytes.length} bytes, expected ${chunk.count * wireRow}`,
        {},
        part.perCpu === "each"
          ? { remedy: `give one value for each of the host's ${cpus} possible CPUs` }
          : {},
      );
    }
    yield part.perCpu === "all" ? spread(part, bytes, cpus) : bytes;
  }
}

/** One value for all CPUs becomes one per CPU. */
function spread(part: EntriesPart, bytes: Buffer, cpus: number): Buffer {
  const { keySize, valueSize } = part;
  const from = keySize + valueSize;
  const to = keySize + kernelValueSize(part, cpus);
  const rows = Buffer.alloc((bytes.length / from) * to);
  for (let row = 0; row * from < bytes.length; row++) {
    bytes.copy(rows, row * to, row * from, row * from + keySize);
    for (let cpu = 0; cpu < cpus; cpu++) {
      bytes.copy(rows, row * to + keySize + cpu * padded(valueSize), row * from + keySize, (row + 1) * from);
    }
  }
  return rows;
}

export function declaredTable(
  part: EntriesPart,
  blobs: Blobs,
  cpus: number,
  only?: ReadonlySet<string>,
): RowTable {
  const table = new RowTable(part.keySize, kernelValueSize(part, cpus), only === undefined ? part.count : 16);
  for (const rows of declaredRows(part, blobs, cpus, only)) table.addRows(rows);
  return table;
}

/** Chunks that one declaration has and the other has not: what is equal in both cancels out unread. */
function changedRows(
  previous: EntriesPart | undefined,
  next: EntriesPart | undefined,
  blobs: Blobs,
  cpus: number,
) {
  const chunksOf = (part: EntriesPart | undefined) =>
    new Set(part === undefined ? [] : readManifest(blobs, part.manifest).map(({ blob }) => blob));
  const [before, after] = [chunksOf(previous), chunksOf(next)];
  const less = (a: Set<string>, b: Set<string>) => new Set([...a].filter((digest) => !b.has(digest)));
  return {
    gone: previous && declaredTable(previous, blobs, cpus, less(before, after)),
    fresh: next && declaredTable(next, blobs, cpus, less(after, before)),
  };
}

/** Every declared row, for a map that holds nothing. */
export function allRows(part: EntriesPart, blobs: Blobs, cpus: number): Buffer {
  return Buffer.concat([...declaredRows(part, blobs, cpus)]);
}

/** The keys of packed rows, packed. */
export function keysOfRows(rows: Buffer, keySize: number, valueSize: number): Buffer {
  const keys = Buffer.allocUnsafe((rows.length / (keySize + valueSize)) * keySize);
  for (let at = 0, end = 0; at < rows.length; at += keySize + valueSize, end += keySize) {
    copyBytes(rows, at, keys, end, keySize);
  }
  return keys;
}

/** From one declaration to the next, on the word of the Record that the map holds the first. */
export function changeBetween(
  previous: EntriesPart | undefined,
  next: EntriesPart | undefined,
  blobs: Blobs,
  cpus: number,
): EntriesChange {
  const { gone, fresh } = changedRows(previous, next, blobs, cpus);
  const written = rowsOf(fresh, (keys, at, valueAt) => {
    const before = gone?.find(keys, at) ?? -1;
    return before < 0 || !gone!.valueEquals(before, keys, valueAt);
  });
  const deleted = rowsOf(gone, (keys, at) => fresh === undefined || fresh.find(keys, at) < 0);
  return change(fresh, written, gone, deleted);
}

/**
 * From what the map holds to the declaration. `own` and `seed` delete only keys that the previous declaration had;
 * `seed` does not rewrite a value that was declared before.
 */
export function changeFrom(
  contents: Contents,
  previous: EntriesPart | undefined,
  next: EntriesPart | undefined,
  blobs: Blobs,
  cpus: number,
): EntriesChange {
  const declared = next && declaredTable(next, blobs, cpus);
  const changed = changedRows(previous, next, blobs, cpus);
  const seeded = next?.mode === "seed" && previous !== undefined ? changed.fresh : undefined;
  const written = rowsOf(declared, (keys, at, valueAt) => {
    const found = contents.table.find(keys, at);
    if (found < 0) return true;
    if (contents.table.valueEquals(found, keys, valueAt)) return false;
    return seeded === undefined || seeded.find(keys, at) >= 0;
  });
  const gone = next?.mode === "authoritative" ? contents.table : changed.gone;
  const deleted = rowsOf(
    gone,
    (keys, at) => (declared === undefined || declared.find(keys, at) < 0) && holds(contents, keys, at),
  );
  return change(declared, written, gone, deleted);
}

/** Whether there is something to delete. */
export function holds({ table, fixed }: Contents, keys: Buffer, at: number): boolean {
  const row = table.find(keys, at);
  return row >= 0 && !(fixed && table.value(row).every((byte) => byte === 0));
}

/** Indexes of the rows that `wanted` picks by where their key and value lie. */
export function rowsOf(
  table: RowTable | undefined,
  wanted: (rows: Buffer, keyAt: number, valueAt: number) => boolean,
): number[] {
  if (table === undefined) return [];
  const packed = table.packed();
  const rows: number[] = [];
  for (let row = 0, at = 0; row < table.size; row++, at += table.rowSize) {
    if (wanted(packed, at, at + table.keySize)) rows.push(row);
  }
  return rows;
}

function change(
  from: RowTable | undefined,
  written: number[],
  gone: RowTable | undefined,
  deleted: number[],
): EntriesChange {
  return {
    upserts: from?.pick(written) ?? Buffer.alloc(0),
    deletes: gone?.pickKeys(deleted) ?? Buffer.alloc(0),
  };
}
