/** EntriesParts: of this Spec, and of other Specs that point at a map which this one makes anew. */
import { type MapHandle, type ProgramHandle } from "../../bpf";
import { EbpfError } from "../../errors";
import type { EntriesPart, EntryReference, MapRef } from "../../protocol/spec";
import { checkFit, planChange } from "./entries";
import { isMarkedDrifted } from "./drift-mark";
import { writeRows, eraseKeys } from "./map-contents";
import { copyContents } from "./migrate";
import type { NextMap, Preparation } from "./preparation";
import { openMap } from "./resolve";

/** Copies what a successor takes over; nobody reads it yet. */
export async function fillSuccessors(preparation: Preparation): Promise<void> {
  if (preparation.dry) return;
  for (const [name, { handle, previous, migrates }] of preparation.maps) {
    if (previous === undefined || migrates !== true) continue;
    preparation.snapshots.set(name, await copyContents(name, previous, handle, preparation.report));
    preparation.steps.after.push({
      type: "copy-again",
      part: name,
      from: previous.info().id,
      to: handle.info().id,
    });
  }
}

/** Fails with `conflict` where another Spec's use of a map cannot follow it to its successor. */
export async function followMaps(preparation: Preparation): Promise<void> {
  const { host, spec, record, maps } = preparation;
  if (record === null) return;
  const isGone = (name: string) => record.maps[name] !== undefined && !maps.has(name);
  for (const referrer of host.references.referrersOf(spec.id)) {
    const used = referrer.maps.filter((ref) => ref.spec === spec.id).map(({ map }) => map);
    const gone = used.find(isGone);
    if (gone !== undefined && spec.objects.every((part) => part.maps[gone] === undefined)) {
      preparation.problems.push(stillUsed(`drop map "${gone}"`, referrer.id));
      continue;
    }
    const renewed = used.filter((name) => maps.get(name)?.previous !== undefined);
    if (renewed.length === 0) continue;
    const other = host.records.read(referrer.id)!.spec;
    for (const name of renewed) {
      const isThis = (ref: MapRef | undefined) => ref?.spec === spec.id && ref.map === name;
      const bound = other.objects.some((part) => Object.values(part.maps).some(isThis));
      const nested = other.entries.some(({ references }) => references.some(({ map }) => isThis(map)));
      if (bound || nested) {
        preparation.problems.push(stillUsed(`make map "${name}" anew`, referrer.id));
        continue;
      }
      for (const part of other.entries.filter(({ map }) => isThis(map))) {
        await refill(preparation, maps.get(name)!, name, part, referrer.id);
      }
    }
  }
}

/** A filter must not run on an empty list, not even until its MapEntries are applied again. */
async function refill(
  preparation: Preparation,
  next: NextMap,
  name: string,
  part: EntriesPart,
  id: string,
): Promise<void> {
  const misfits = checkFit(part, { ...next.handle.info(), name });
  if (misfits.length > 0) {
    preparation.problems.push(
      new EbpfError(
        "conflict",
        `make map "${name}" anew: the entries of ${id} do not fit it: ${misfits[0]!.message}`,
        { owner: id },
        {
          remedy: "give the map another name, or remove those entries first",
        },
      ),
    );
    return;
  }
  if (preparation.dry) return;
  await fill(preparation, next.handle, part);
}

async function fill(preparation: Preparation, map: MapHandle, part: EntriesPart): Promise<void> {
  const change = planChange({ map, next: part, trust: false }, preparation.host.blobs);
  await writeRows(map, change.upserts, preparation.report);
  await eraseKeys(map, change.deletes, preparation.report);
  for (const reference of part.references) {
    const target = referenceTarget(preparation, reference);
    if (target !== null) map.updateReference(Buffer.from(reference.key, "base64"), target);
  }
}

export async function prepareEntries(preparation: Preparation, part: EntriesPart): Promise<void> {
  const { host, spec, record, words } = preparation;
  const map = preparation.map(part.map);
  if (map === null) return;
  const misfits = checkFit(part, { ...map.info(), name: part.map.map });
  preparation.problems.push(...misfits);
  if (misfits.length > 0) return;
  const own = part.map.spec === spec.id ? preparation.maps.get(part.map.map) : undefined;
  if (own !== undefined && !own.kept) {
    words.push(`fill map "${part.map.map}" with ${part.count} entries`);
    if (!preparation.dry) await fill(preparation, map, part);
    return;
  }
  const previous = previousPart(preparation, part, map);
  if (preparation.dry) {
    if (previous?.manifest !== part.manifest)
      words.push(`set ${part.count} entries of map "${part.map.map}"`);
    return;
  }
  const sameChunks = previous?.manifest === part.manifest && previous.mode === part.mode;
  const trust =
    previous !== undefined &&
    !sameChunks &&
    previous.mode === part.mode &&
    record!.bootId === host.bootId &&
    !isMarkedDrifted(host.roots, spec.id);
  const change = planChange(
    { map, ...(previous === undefined ? {} : { previous }), next: part, trust },
    host.blobs,
  );
  const mapId = map.info().id;
  if (change.upserts.length + change.deletes.length > 0) {
    preparation.changes.set(part.name, change);
    preparation.steps.before.push({
      type: "sync-entries",
      part: part.name,
      mapId,
      ...(previous === undefined ? {} : { previous }),
      next: part,
    });
  }
  prepareReferences(preparation, part, previous, map);
}

/** Rows whose value is a program or map: read back as its id. */
function prepareReferences(
  preparation: Preparation,
  part: EntriesPart,
  previous: EntriesPart | undefined,
  map: MapHandle,
): void {
  const mapId = map.info().id;
  const push = (reference: EntryReference, from: number, to: number) => {
    if (from === to) return;
    const kind = reference.program === undefined ? "map" : "program";
    preparation.steps.before.push({
      type: "set-reference",
      part: part.name,
      mapId,
      key: reference.key,
      kind,
      from,
      to,
    });
  };
  for (const reference of part.references) {
    const target = referenceTarget(preparation, reference);
    if (target !== null) push(reference, slotOf(map, reference.key), target.info().id);
  }
  const declared = new Set(part.references.map(({ key }) => key));
  for (const reference of previous?.references ?? []) {
    if (!declared.has(reference.key)) push(reference, slotOf(map, reference.key), 0);
  }
}

function referenceTarget(
  preparation: Preparation,
  { map, program }: EntryReference,
): MapHandle | ProgramHandle | null {
  return program === undefined ? preparation.map(map!) : preparation.program(program);
}

/** Id of what stands in a slot; 0: empty. */
export function slotOf(map: MapHandle, key: string): number {
  return map.lookup(Buffer.from(key, "base64"))?.readUInt32LE() ?? 0;
}

/** Entries that the Record has and the Spec has not, or has for another map: out of the map. */
export function dropEntries(preparation: Preparation): void {
  const { host, spec, record, handles } = preparation;
  if (record === null || preparation.dry || record.bootId !== host.bootId) return;
  for (const previous of record.spec.entries) {
    const next = spec.entries.find(({ name }) => name === previous.name);
    const map = locate(preparation, previous);
    if (map === null || (next !== undefined && preparation.map(next.map)?.info().id === map.info().id))
      continue;
    const mapId = handles.keep(map).info().id;
    // the name of the part with a mark: both the old and the new map may be written under one name
    const part = `${previous.name} (before)`;
    const change = planChange({ map, previous, trust: false }, host.blobs);
    preparation.changes.set(part, change);
    preparation.steps.before.push({ type: "sync-entries", part, mapId, previous });
    for (const reference of previous.references) {
      const from = slotOf(map, reference.key);
      const kind = reference.program === undefined ? "map" : "program";
      if (from !== 0)
        preparation.steps.before.push({
          type: "set-reference",
          part,
          mapId,
          key: reference.key,
          kind,
          from,
          to: 0,
        });
    }
  }
}

/** The map that recorded entries were written to, as long as it lives. */
function locate(preparation: Preparation, previous: EntriesPart): MapHandle | null {
  const { host, spec, handles, maps } = preparation;
  if (previous.map.spec === spec.id) {
    const own = maps.get(previous.map.map);
    return own?.kept === true ? own.handle : null;
  }
  try {
    return openMap(host, previous.map, handles).map;
  } catch (error) {
    // gone with its owner: nothing is left to take back
    if (EbpfError.is(error, "not-found")) return null;
    throw error;
  }
}

/** What the map was declared to hold by this part, if it is still the same map. */
function previousPart(preparation: Preparation, part: EntriesPart, map: MapHandle): EntriesPart | undefined {
  const previous = preparation.record?.spec.entries.find(({ name }) => name === part.name);
  if (previous === undefined) return undefined;
  return locate(preparation, previous)?.info().id === map.info().id ? previous : undefined;
}

export function stillUsed(action: string, owner: string): EbpfError {
  return new EbpfError(
    "conflict",
    `${action}: ${owner} refers to it`,
    { owner },
    {
      remedy: `remove or change ${owner} first`,
    },
  );
}
