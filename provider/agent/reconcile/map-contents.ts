/** Packed rows into and out of a map in the kernel, a batch at a time, so that progress and cancellation get through. */
import { type MapHandle, isErrno } from "../../bpf";
import { EbpfError } from "../../errors";
import type { Contents } from "./entry-rows";
import { RowTable, copyBytes } from "./row-table";

const BATCH_ROWS = 65_536;
/** Work that takes longer is reported. */
const QUIET_MS = 2_000;

/** Told how far a long piece of work is. */
export type Report = (message: string, done: number, total: number) => void;

const FIXED_TYPES = ["array", "percpu_array"];

export function isFixed(map: MapHandle): boolean {
  return FIXED_TYPES.includes(map.info().type);
}

export function readContents(map: MapHandle): Contents {
  const { keySize } = map.info();
  const table = new RowTable(keySize, map.valueBytes);
  for (const { keys, values, count } of map.records()) {
    for (let i = 0; i < count; i++) table.set(keys, i * keySize, values, i * map.valueBytes);
  }
  return { table, fixed: isFixed(map) };
}

/** Fails with `limit` when the map is full. */
export async function writeRows(map: MapHandle, rows: Buffer, report: Report): Promise<void> {
  const { keySize, name, maxEntries } = map.info();
  const valueSize = map.valueBytes;
  const rowSize = keySize + valueSize;
  const total = rows.length / rowSize;
  await inBatches(total, `write entries of map "${name}"`, report, (first, count) => {
    const keys = Buffer.allocUnsafe(count * keySize);
    const values = Buffer.allocUnsafe(count * valueSize);
    for (let i = 0, at = first * rowSize; i < count; i++, at += rowSize) {
      copyBytes(rows, at, keys, i * keySize, keySize);
      copyBytes(rows, at + keySize, values, i * valueSize, valueSize);
    }
    try {
      map.updateBatch(keys, values, count);
    } catch (error) {
      if (!isErrno(error, "E2BIG", "ENOSPC", "ENOMEM")) throw error;
      throw new EbpfError(
        "limit",
        `write entries of map "${name}": it takes no more than ${maxEntries}`,
        { resource: `map ${name}`, needed: `more than ${maxEntries} entries` },
        { cause: error, remedy: "raise the map's maxEntries" },
      );
    }
  });
}

/** An array's elements cannot go: they become zero. Keys that are not there are fine. */
export async function eraseKeys(map: MapHandle, keys: Buffer, report: Report): Promise<void> {
  const { keySize, name } = map.info();
  const total = keys.length / keySize;
  const zero = Buffer.alloc(map.valueBytes);
  await inBatches(total, `delete entries of map "${name}"`, report, (first, count) => {
    const some = keys.subarray(first * keySize, (first + count) * keySize);
    if (isFixed(map)) {
      for (let at = 0; at < some.length; at += keySize) map.update(some.subarray(at, at + keySize), zero);
    } else {
      map.deleteBatch(some, count);
    }
  });
}

/** `work` in pieces, with a word now and then on how far it is. */
export async function inBatches(
  total: number,
  message: string,
  report: Report,
  work: (first: number, count: number) => void,
): Promise<void> {
  const begin = Date.now();
  for (let first = 0; first < total; first += BATCH_ROWS) {
    work(first, Math.min(BATCH_ROWS, total - first));
    if (Date.now() - begin < QUIET_MS) continue;
    report(message, Math.min(first + BATCH_ROWS, total), total);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
