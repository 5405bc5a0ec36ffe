/** Entries of a map against their declaration: counts, and the first differences in full. */
import { type MapHandle, possibleCpus } from "../../bpf";
import { EbpfError } from "../../errors";
import type { EntriesPart } from "../../protocol/spec";
import type { DriftItem, Status } from "../../protocol/status";
import type { Host } from "../host";
import type { Actual } from "./actual";
import { declaredTable, holds } from "./entry-rows";
import type { Handles } from "./handles";
import { readContents } from "./map-contents";
import { slotOf } from "./prepare-entries";
import { openMap, openProgram } from "./resolve";

/** Differences shown one by one; the rest is a number. */
const MOST_ITEMS = 20;

export function observeEntries(
  host: Host,
  part: EntriesPart,
  actual: Actual,
  status: Status,
  handles: Handles,
): void {
  const map = openTarget(host, part, actual, handles);
  if (map === null) {
    const message = `map "${part.map.map}" of ${part.map.spec} is not loaded`;
    status.drift.push({ code: "not-loaded", part: part.name, message });
    return;
  }
  const items: DriftItem[] = [];
  const matching =
    compareRows(host, part, map, items) + compareReferences(host, part, map, actual, items, handles);
  status.drift.push(...items.slice(0, MOST_ITEMS));
  if (items.length > MOST_ITEMS) {
    const message = `and ${items.length - MOST_ITEMS} more entries of map "${part.map.map}" differ`;
    status.drift.push({ code: "entry-changed", part: part.name, message });
  }
  status.entries[part.name] = { matching, declared: part.count + part.references.length };
}

function openTarget(host: Host, part: EntriesPart, actual: Actual, handles: Handles): MapHandle | null {
  const { spec } = actual.record;
  const own = part.map.spec === spec.id ? actual.maps.get(part.map.map) : undefined;
  if (own !== undefined) return own;
  const shared =
    part.map.spec === spec.id ? spec.objects.map(({ maps }) => maps[part.map.map]).find(Boolean) : part.map;
  if (shared === undefined) return null;
  try {
    return openMap(host, shared, handles).map;
  } catch (error) {
    if (EbpfError.is(error, "not-found")) return null;
    throw error;
  }
}

/** Returns how many declared rows stand as declared. */
function compareRows(host: Host, part: EntriesPart, map: MapHandle, items: DriftItem[]): number {
  if (part.count === 0 && part.mode !== "authoritative") return 0;
  const contents = readContents(map);
  const declared = declaredTable(part, host.blobs, possibleCpus());
  const rows = declared.packed();
  let matching = 0;
  for (let row = 0, at = 0; row < declared.size; row++, at += declared.rowSize) {
    const found = contents.table.find(rows, at);
    const valueAt = at + part.keySize;
    if (found >= 0 && contents.table.valueEquals(found, rows, valueAt)) matching++;
    else if (part.mode === "seed") continue;
    else if (found < 0)
      items.push(item(part, "entry-missing", "is gone", declared.key(row), declared.value(row)));
    else
      items.push(
        item(
          part,
          "entry-changed",
          "has another value",
          declared.key(row),
          declared.value(row),
          contents.table.value(found),
        ),
      );
  }
  if (part.mode !== "authoritative") return matching;
  const references = new Set(part.references.map(({ key }) => key));
  const present = contents.table.packed();
  for (let row = 0, at = 0; row < contents.table.size; row++, at += contents.table.rowSize) {
    if (declared.find(present, at) >= 0 || !holds(contents, present, at)) continue;
    const key = contents.table.key(row);
    if (references.has(key.toString("base64"))) continue;
    items.push(item(part, "entry-extra", "is not declared", key, undefined, contents.table.value(row)));
  }
  return matching;
}

function compareReferences(
  host: Host,
  part: EntriesPart,
  map: MapHandle,
  actual: Actual,
  items: DriftItem[],
  handles: Handles,
): number {
  let matching = 0;
  for (const { key, map: target, program } of part.references) {
    const wanted = targetId(host, actual, handles, target, program);
    const found = slotOf(map, key);
    if (found === wanted) matching++;
    else if (found === 0) items.push(item(part, "entry-missing", "is gone", Buffer.from(key, "base64")));
    else items.push(item(part, "entry-changed", "holds another object", Buffer.from(key, "base64")));
  }
  return matching;
}

function targetId(
  host: Host,
  actual: Actual,
  handles: Handles,
  map: EntriesPart["map"] | undefined,
  program: EntriesPart["references"][number]["program"],
): number {
  try {
    if (program !== undefined) {
      if (program.spec === actual.record.id) return actual.programs.get(program.entrypoint)?.info().id ?? 0;
      return openProgram(host, program, handles).program.info().id;
    }
    if (map!.spec === actual.record.id) return actual.maps.get(map!.map)?.info().id ?? 0;
    return openMap(host, map!, handles).map.info().id;
  } catch (error) {
    if (EbpfError.is(error, "not-found")) return 0;
    throw error;
  }
}

/** Values that are secret stay out of drift. */
function item(
  part: EntriesPart,
  code: DriftItem["code"],
  what: string,
  key: Buffer,
  expected?: Buffer,
  found?: Buffer,
): DriftItem {
  const values =
    part.secret === true ? {} : { expected: expected?.toString("base64"), found: found?.toString("base64") };
  const shown = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
  return {
    code,
    part: part.name,
    message: `an entry of map "${part.map.map}" ${what}`,
    key: key.toString("base64"),
    ...shown,
  };
}
