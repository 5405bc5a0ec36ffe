/**
 * Entries of a map: what must change, whether it fits, and the write with its way back.
 *
 * Rows that name other kernel objects (map-in-map, prog_array) are not bytes: see references in links.ts.
 */
import { type MapHandle, possibleCpus } from "../../bpf";
import { EbpfError } from "../../errors";
import type { EntriesPart } from "../../protocol/spec";
import type { Blobs } from "../blobs";
import {
  type Contents,
  type EntriesChange,
  allRows,
  changeBetween,
  changeFrom,
  keysOfRows,
} from "./entry-rows";
import { RowTable } from "./row-table";
import { type Report, eraseKeys, isFixed, readContents, writeRows } from "./map-contents";

/** Types whose rows come one by one by another's command, or not at all. */
const NO_ENTRIES = [
  "ringbuf",
  "user_ringbuf",
  "stack_trace",
  "perf_event_array",
  "queue",
  "stack",
  "bloom_filter",
];

/** Up to so many, single look-ups are cheaper than reading the whole map. */
const FEW_ROWS = 1_000;

/** Whether a map takes the rows of a part. */
export function checkFit(
  part: EntriesPart,
  info: { name: string; type: string; keySize: number; valueSize: number; maxEntries: number },
): EbpfError[] {
  const problems: EbpfError[] = [];
  const wrong = (reason: string, remedy?: string) =>
    problems.push(
      new EbpfError(
        "invalid",
        `check entries "${part.name}" of map "${info.name}": ${reason}`,
        {},
        remedy === undefined ? {} : { remedy },
      ),
    );
  if (NO_ENTRIES.includes(info.type)) wrong(`a ${info.type} map takes no entries`);
  const perCpu = info.type.includes("percpu");
  if (part.count > 0 && perCpu !== (part.perCpu !== undefined)) {
    wrong(perCpu ? "the map is per CPU, the values are not" : "the values are per CPU, the map is not");
  }
  if (part.keySize !== info.keySize) wrong(`keys have ${part.keySize} bytes, the map's have ${info.keySize}`);
  if (part.valueSize !== info.valueSize && part.count > 0) {
    wrong(`values have ${part.valueSize} bytes, the map's have ${info.valueSize}`);
  }
  const wanted = part.count + part.references.length;
  if (wanted > info.maxEntries) {
    problems.push(
      new EbpfError(
        "limit",
        `check entries "${part.name}" of map "${info.name}": ${wanted} entries, the map takes ${info.maxEntries}`,
        { resource: `map ${info.name}`, needed: `${wanted} entries` },
        { remedy: "raise the map's maxEntries" },
      ),
    );
  }
  return problems;
}

export interface ChangeRequest {
  map: MapHandle;
  previous?: EntriesPart;
  next?: EntriesPart;
  /** The map holds `previous`, on the Record's word: what is equal in both is not looked at. */
  trust: boolean;
}

/** What to write, and what would undo it. */
export interface PlannedChange extends EntriesChange {
  /** Absent: by the previous declaration alone. */
  prior?: EntriesChange;
}

/** Nothing is written yet. Fails with `limit` when it does not fit. */
export function planChange({ map, previous, next, trust }: ChangeRequest, blobs: Blobs): PlannedChange {
  const cpus = possibleCpus();
  if (next !== undefined && trust && sameRows(previous, next)) {
    const change = changeBetween(previous, next, blobs, cpus);
    checkIndexes(map, change);
    const touched = keysOf(map, change);
    const few = touched.length / map.info().keySize <= FEW_ROWS;
    return { ...change, prior: priorOf(map, change, few ? lookUp(map, touched) : readContents(map).table) };
  }
  // taking back what was declared: a key that is gone already does no harm
  if (next === undefined) {
    const rows = previous === undefined ? Buffer.alloc(0) : allRows(previous, blobs, cpus);
    return { upserts: Buffer.alloc(0), deletes: keysOfRows(rows, map.info().keySize, map.valueBytes) };
  }
  const contents = readContents(map);
  if (contents.table.size === 0) {
    const upserts = allRows(next, blobs, cpus);
    const deletes = keysOfRows(upserts, map.info().keySize, map.valueBytes);
    return { upserts, deletes: Buffer.alloc(0), prior: { upserts: Buffer.alloc(0), deletes } };
  }
  const known = sameRows(previous, next) ? previous : undefined;
  const change = changeFrom(contents, known, next, blobs, cpus);
  checkIndexes(map, change);
  checkRoom(map, contents, change);
  return { ...change, prior: priorOf(map, change, contents.table) };
}

function sameRows(a: EntriesPart | undefined, b: EntriesPart | undefined): boolean {
  return (
    a !== undefined &&
    b !== undefined &&
    a.keySize === b.keySize &&
    a.valueSize === b.valueSize &&
    a.perCpu === b.perCpu
  );
}

function checkIndexes(map: MapHandle, { upserts }: EntriesChange): void {
  if (!isFixed(map)) return;
  const { name, maxEntries } = map.info();
  for (let at = 0; at < upserts.length; at += 4 + map.valueBytes) {
    const index = upserts.readUInt32LE(at);
    if (index < maxEntries) continue;
    throw new EbpfError(
      "limit",
      `write entries of map "${name}": index ${index} is beyond its last, ${maxEntries - 1}`,
      {
        resource: `map ${name}`,
        needed: `${index + 1} entries`,
      },
    );
  }
}

function checkRoom(map: MapHandle, { table, fixed }: Contents, { upserts, deletes }: EntriesChange): void {
  const { name, type, maxEntries, keySize } = map.info();
  if (fixed || type.startsWith("lru")) return;
  let added = 0;
  for (let at = 0; at < upserts.length; at += keySize + map.valueBytes)
    if (table.find(upserts, at) < 0) added++;
  const after = table.size + added - deletes.length / keySize;
  if (after <= maxEntries) return;
  throw new EbpfError(
    "limit",
    `write entries of map "${name}": it would hold ${after}, it takes ${maxEntries}`,
    { resource: `map ${name}`, needed: `${after} entries` },
    { remedy: "raise the map's maxEntries" },
  );
}

/** The keys that a change touches, packed. */
function keysOf(map: MapHandle, { upserts, deletes }: EntriesChange): Buffer {
  return Buffer.concat([keysOfRows(upserts, map.info().keySize, map.valueBytes), deletes]);
}

/** The values that stand there now, and the keys that do not. */
function priorOf(map: MapHandle, change: EntriesChange, contents: RowTable): EntriesChange {
  const { keySize } = map.info();
  const keys = keysOf(map, change);
  const before: number[] = [];
  const absent: Buffer[] = [];
  for (let at = 0; at < keys.length; at += keySize) {
    const row = contents.find(keys, at);
    if (row >= 0) before.push(row);
    else absent.push(keys.subarray(at, at + keySize));
  }
  return { upserts: contents.pick(before), deletes: Buffer.concat(absent) };
}

function lookUp(map: MapHandle, keys: Buffer): RowTable {
  const { keySize } = map.info();
  const count = keys.length / keySize;
  const table = new RowTable(keySize, map.valueBytes);
  const { values, found } = map.lookupMany(keys, count);
  for (let i = 0; i < count; i++) {
    if (found[i] === 1) table.set(keys, i * keySize, values, i * map.valueBytes);
  }
  return table;
}

/**
 * Adds and changes first, deletes last, so that at no time less is there than both declarations have in common.
 * A map too full for that deletes first; the answer says so.
 */
export async function writeChange(
  map: MapHandle,
  { upserts, deletes }: EntriesChange,
  report: Report,
): Promise<string | null> {
  try {
    await writeRows(map, upserts, report);
    await eraseKeys(map, deletes, report);
    return null;
  } catch (error) {
    if (!EbpfError.is(error, "limit") || deletes.length === 0) throw error;
    await eraseKeys(map, deletes, report);
    await writeRows(map, upserts, report);
    return `map "${map.info().name}" was too full to add entries before deleting others: for an instant it held neither`;
  }
}

/** The way back after a crash: from one declaration's rows to the other's, by what the map really holds. */
export async function rewrite(
  map: MapHandle,
  from: EntriesPart | undefined,
  to: EntriesPart | undefined,
  blobs: Blobs,
): Promise<void> {
  const same = from === undefined || to === undefined || sameRows(from, to);
  const change = changeFrom(readContents(map), same ? from : undefined, to, blobs, possibleCpus());
  await writeChange(map, change, () => undefined);
}
