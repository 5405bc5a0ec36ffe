/** How each action is carried out. All that it needs besides its data was prepared; see Work. */
import { LinkHandle, MapHandle, ProgramHandle } from "../../bpf";
import { EbpfError } from "../../errors";
import type { Hook } from "../../protocol/hooks";
import type { Host } from "../host";
import { fillGeneration, select, selectFor } from "../network-policy/generation";
import type { PlaneChange } from "../network-policy/next-planes";
import { raisePlanes, settlePlanes } from "../network-policy/planes";
import type { UnionChange } from "../network-policy/unions";
import { hookFile } from "../hooks/registry";
import { hookScope } from "../hooks/scope";
import { pinPath } from "../layout";
import type { LinkRecord, Record } from "../records";
import type { Action, LinkPlace } from "./actions";
import { unlessMissing } from "./actual";
import { type PlannedChange, writeChange } from "./entries";
import type { EntriesChange } from "./entry-rows";
import type { Handles } from "./handles";
import type { Report } from "./map-contents";
import { copyAgain } from "./migrate";
import type { RowTable } from "./row-table";
import { startClock } from "./unconfirmed";

/** One transaction at work. */
export interface Work {
  host: Host;
  handles: Handles;
  /** The Record as it will be stored; `attach-link` fills in its links. `null` while removing. */
  record: Record | null;
  id: string;
  revision: number;
  /** By EntriesPart's name. */
  changes: Map<string, PlannedChange>;
  /** What undoes a change that was written, while this process lives. */
  prior: Map<Action, EntriesChange>;
  /** By map: what was copied before the switch. */
  snapshots: Map<string, RowTable>;
  notes: string[];
  report: Report;
  /** Of a plane of network policies. */
  union?: () => UnionChange;
  planes?: PlaneChange;
}

export async function perform(work: Work, action: Action): Promise<void> {
  const { host, id, revision, handles } = work;
  switch (action.type) {
    case "make-directory":
      return host.pins.makeRevision(id, revision);
    case "pin-program":
      return handles
        .keep(ProgramHandle.fromId(action.programId))
        .pin(pinPath(host.roots, id, revision, "programs", action.part));
    case "pin-map":
      return handles
        .keep(MapHandle.fromId(action.mapId))
        .pin(pinPath(host.roots, id, revision, "maps", action.part));
    case "pin-link":
      return handles
        .keep(LinkHandle.fromId(action.linkId))
        .pin(pinPath(host.roots, id, revision, "links", action.part));
    case "sync-entries": {
      const map = handles.keep(MapHandle.fromId(action.mapId));
      const change = work.changes.get(action.part)!;
      if (change.prior !== undefined) work.prior.set(action, change.prior);
      const note = await writeChange(map, change, work.report);
      if (note !== null) work.notes.push(note);
      return;
    }
    case "set-reference":
      return setReference(handles, action.mapId, action.key, action.kind, action.to);
    case "detach-link":
    case "drop-link":
      return dropLink(host, handles, action.place, action.programId);
    case "attach-link": {
      const record = attach(
        work,
        action.part,
        action.hook,
        action.programId,
        pinPath(host.roots, id, revision, "links", action.part),
      );
      work.record!.links[action.part] =
        action.cloneOf === undefined ? record : { ...record, cloneOf: action.cloneOf };
      return;
    }
    case "exchange-program":
      return exchangeProgram(host, handles, action.place, action.from, action.to);
    case "copy-again": {
      const [from, to] = [MapHandle.fromId(action.from), MapHandle.fromId(action.to)].map((map) =>
        handles.keep(map),
      );
      const lost = await copyAgain(work.snapshots.get(action.part)!, from!, to!, work.report);
      if (lost > 0)
        work.notes.push(
          `map "${action.part}": ${lost} entries were written in old and new at once; the new ones stand`,
        );
      return;
    }
    case "fill-generation":
      return fillGeneration(handles, action, work.union!(), work.report);
    case "switch-generation": {
      const selectors = handles.keep(MapHandle.fromId(action.mapId));
      if (action.withinSeconds === undefined) return select(selectors, action.to);
      return selectFor(selectors, action.to, action.withinSeconds);
    }
    case "raise-planes":
      work.notes.push(...(await raisePlanes(host, work.planes!, work.report)));
      return;
    case "settle-planes":
      return settlePlanes(host, action.scope, work.report);
    case "store-record":
      startClock(work.record!);
      return host.records.write(work.record!);
    case "delete-record":
      return host.records.delete(id);
    case "drop-revisions":
      return host.pins.keepOnly(id, work.record?.revision);
  }
}

function attach(work: Work, part: string, hook: Hook, programId: number, pin: string): LinkRecord {
  const file = hookFile(hook.type);
  const program = work.handles.keep(ProgramHandle.fromId(programId));
  const { link, record, notes } = file.attach(hookScope(work.host, work.id, part), hook, program);
  if (link !== null) work.handles.keep(link).pin(pin);
  const before = work.host.records.read(work.id)?.links[part];
  const anew = before?.hook === hook.type ? file.chosenAnew?.(hook, before, record) : null;
  work.notes.push(...notes, ...(anew ? [anew] : []));
  return record;
}

function dropLink(host: Host, handles: Handles, place: LinkPlace, programId: number): void {
  const { spec, part, hook, applied, pin } = place;
  const link = pin === undefined ? null : unlessMissing(() => LinkHandle.fromPin(pin));
  if (link !== null) handles.keep(link);
  if (pin !== undefined && link === null) return;
  hookFile(hook.type).detach(hookScope(host, spec, part), hook, applied, link, programId);
}

/** In place where the hook can; else a new link takes the pin of the old one, which goes with it. */
export function exchangeProgram(
  host: Host,
  handles: Handles,
  place: LinkPlace,
  fromId: number,
  toId: number,
): void {
  const { hook, applied, pin } = place;
  const file = hookFile(hook.type);
  const link = pin === undefined ? null : handles.keep(LinkHandle.fromPin(pin));
  if (link !== null && link.info().programId === toId) return;
  const from = handles.keep(ProgramHandle.fromId(fromId));
  const to = handles.keep(ProgramHandle.fromId(toId));
  if (file.exchange === "update") return file.update(hook, applied, link, from, to);
  const current = link!.info().programId;
  if (current !== fromId) throw foreignProgram(place, current);
  const attached = file.attach(hookScope(host, place.spec, place.part), hook, to);
  host.pins.replace(pin!, handles.keep(attached.link!));
}

function foreignProgram({ spec, part, hook }: LinkPlace, programId: number): EbpfError {
  const owner = `program ${programId}`;
  return new EbpfError(
    "conflict",
    `exchange the program of link "${part}" of ${spec} (${hookFile(hook.type).describe(hook)}): it runs ${owner}, which is not ours`,
    { owner },
    { remedy: "run `pulumi refresh` to see it as drift; the next `pulumi up` takes it back" },
  );
}

export function setReference(
  handles: Handles,
  mapId: number,
  key: string,
  kind: "program" | "map",
  target: number,
): void {
  const map = handles.keep(MapHandle.fromId(mapId));
  if (target === 0) {
    map.delete(Buffer.from(key, "base64"));
    return;
  }
  const object = kind === "program" ? ProgramHandle.fromId(target) : MapHandle.fromId(target);
  map.updateReference(Buffer.from(key, "base64"), handles.keep(object));
}
