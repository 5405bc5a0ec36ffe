/** Carrying a map's contents over to its successor: a copy before the switch, and what changed after it. */
import type { MapHandle } from "../../bpf";
import { EbpfError } from "../../errors";
import { holds, rowsOf } from "./entry-rows";
import { type Report, eraseKeys, isFixed, readContents, writeRows } from "./map-contents";
import type { RowTable } from "./row-table";

/** Fails with `data-loss` when the successor is too small. Returns what was copied, for `copyAgain`. */
export async function copyContents(
  name: string,
  from: MapHandle,
  to: MapHandle,
  report: Report,
): Promise<RowTable> {
  const contents = readContents(from);
  const { maxEntries, type } = to.info();
  const kept = isFixed(to)
    ? rowsOf(contents.table, (rows, at) => rows.readUInt32LE(at) < maxEntries)
    : rowsOf(contents.table, () => true);
  const lost = isFixed(to)
    ? rowsOf(contents.table, (rows, at) => rows.readUInt32LE(at) >= maxEntries && holds(contents, rows, at))
        .length
    : type.startsWith("lru")
      ? 0
      : Math.max(0, contents.table.size - maxEntries);
  if (lost > 0) {
    const reason = `it holds ${lost} entries more than the ${maxEntries} it is to have`;
    throw new EbpfError(
      "data-loss",
      `shrink map "${name}": ${reason}`,
      { map: name, reason },
      {
        remedy: 'raise maxEntries, delete entries, or set mapDataPolicy to "replace" to give its contents up',
      },
    );
  }
  await writeRows(to, contents.table.pick(kept), report);
  return contents.table;
}

/**
 * After programs have switched to the successor: what was written to the old map since the copy, unless the new
 * programs wrote that key meanwhile. Returns how many writes were lost that way.
 */
export async function copyAgain(
  snapshot: RowTable,
  from: MapHandle,
  to: MapHandle,
  report: Report,
): Promise<number> {
  const late = readContents(from).table;
  const current = readContents(to).table;
  let lost = 0;
  const untouched = (rows: Buffer, at: number): boolean => {
    const before = snapshot.find(rows, at);
    const now = current.find(rows, at);
    const same = before < 0 ? now < 0 : now >= 0 && current.valueEquals(now, snapshot.value(before), 0);
    if (!same) lost++;
    return same;
  };
  const changed = rowsOf(late, (rows, at, valueAt) => {
    const before = snapshot.find(rows, at);
    return (before < 0 || !snapshot.valueEquals(before, rows, valueAt)) && untouched(rows, at);
  });
  const deleted = rowsOf(snapshot, (rows, at) => late.find(rows, at) < 0 && untouched(rows, at));
  await writeRows(to, late.pick(changed), report);
  await eraseKeys(to, snapshot.pickKeys(deleted), report);
  return lost;
}
