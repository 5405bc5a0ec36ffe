/**
 * remove: takes a Spec off the host. Point of no return is its intent: whatever fails after it is finished by the
 * next verb. Order: attachments, entries in others' maps, pins, Record; so that what remains at any instant is
 * still named by the Record.
 */
import type { RemoveParams, RemoveResult } from "../../protocol/messages";
import type { Host } from "../host";
import type { Record } from "../records";
import type { GuardContext } from "../network-policy/guard";
import { planesWithout, settlePlanes } from "../network-policy/planes";
import { hookFile } from "../hooks/registry";
import { hookScope } from "../hooks/scope";
import { pinPath } from "../layout";
import type { Action } from "./actions";
import { openActual } from "./actual";
import { clearDriftMark } from "./drift-mark";
import { type Handles, withHandles } from "./handles";
import { INTENT_FORMAT, clearIntent, readIntent } from "./intent";
import { type Report } from "./map-contents";
import { Preparation } from "./preparation";
import { dropEntries, stillUsed } from "./prepare-entries";
import { appliedHook } from "./prepare-links";
import { transact } from "./transaction";

/**
 * The caller holds the host's lock. When another Record refers to the Spec it fails with `conflict`, or marks the Record
 * to go later.
 */
export async function remove(
  host: Host,
  { id, incarnation, whenUnused }: RemoveParams,
  report: Report,
  guard?: GuardContext,
): Promise<RemoveResult> {
  const record = host.records.read(id);
  if (record === null) {
    const left = host.pins.revisions(id).length > 0;
    host.pins.keepOnly(id, undefined);
    return left ? { removed: true } : { removed: false, reason: "it is not on this host" };
  }
  if (record.incarnation !== incarnation) {
    return {
      removed: false,
      reason: `the host holds a later creation of it (incarnation ${record.incarnation})`,
    };
  }
  const [referrer] = host.references.referrersOf(id);
  if (referrer !== undefined) {
    if (whenUnused !== true) throw stillUsed(`remove ${id}`, referrer.id);
    if (record.leaving === undefined) host.records.write({ ...record, leaving: true });
    return { removed: false, reason: `it goes as soon as ${referrer.id} does` };
  }
  await takeOff(host, record, report, guard);
  return { removed: true };
}

/** Also finishes a removal that was interrupted. `guard`: of whoever asks for it; absent: nobody's way in is at stake. */
export async function takeOff(
  host: Host,
  record: Record,
  report: Report,
  guard?: GuardContext,
): Promise<void> {
  await withHandles(async (handles) => {
    const { id, revision } = record;
    const empty = { ...record.spec, objects: [], maps: [], entries: [], links: [] };
    const preparation = new Preparation(
      host,
      handles,
      empty,
      record,
      false,
      (digest) => host.blobs.read(digest),
      report,
    );
    dropEntries(preparation);
    const planes = record.spec.policy === undefined ? null : planesWithout(host, id, guard);
    const scope = planes?.scope ?? [];
    const actions: Action[] = [
      ...(planes === null ? [] : [{ type: "raise-planes", scope } as const]),
      ...linkDrops(host, record, handles),
      ...preparation.steps.before,
      { type: "drop-revisions" },
      { type: "delete-record" },
      ...(planes === null ? [] : [{ type: "settle-planes", scope } as const]),
    ];
    const { changes, snapshots, notes } = preparation;
    const work = {
      host,
      handles,
      record: null,
      id,
      revision,
      changes,
      prior: new Map(),
      snapshots,
      notes,
      report,
      ...(planes === null ? {} : { planes }),
    };
    await transact(work, {
      format: INTENT_FORMAT,
      id,
      verb: "remove",
      from: revision,
      to: revision,
      actions,
    });
    clearDriftMark(host.roots, id);
  });
}

/** Detached in so many words: somebody else may hold the link too. */
function linkDrops(host: Host, record: Record, handles: Handles): Action[] {
  if (record.bootId !== host.bootId) return [];
  const links = openActual(host, record, handles).links;
  return Object.entries(record.links).flatMap(([part, applied]): Action[] => {
    const hook = appliedHook(host, record, part);
    if (hook === null) return [];
    const pin =
      applied.linkId === 0 ? {} : { pin: pinPath(host.roots, record.id, record.revision, "links", part) };
    const place = { spec: record.id, part, hook, applied, ...pin };
    const seen = hookFile(hook.type).observe(
      hookScope(host, record.id, part),
      hook,
      applied,
      links.get(part) ?? null,
    );
    // a link is ours whatever it runs; a filter that somebody put in place of ours is not
    const isOurs = applied.linkId !== 0 || ownPrograms(host, record, part).includes(seen.programId);
    return seen.attached && isOurs ? [{ type: "drop-link", place, programId: seen.programId }] : [];
  });
}

/** Programs that a recorded attachment may run: the one it was made with, and the entrypoint's present one. */
function ownPrograms(host: Host, record: Record, part: string): number[] {
  const { spec, entrypoint } = record.spec.links.find(({ name }) => name === part)!.program;
  const owner = spec === record.id ? record : host.records.read(spec);
  return [record.links[part]!.programId, owner?.programs[entrypoint]?.programId ?? 0];
}

/** Of an interrupted removal whose Record is gone already, or of one that is still there. */
export async function finishRemoval(host: Host, id: string, report: Report): Promise<void> {
  const record = host.records.read(id);
  if (record !== null) return takeOff(host, record, report);
  for (const action of readIntent(host.roots, id)?.actions ?? [])
    if (action.type === "settle-planes") await settlePlanes(host, action.scope, report);
  host.pins.keepOnly(id, undefined);
  clearIntent(host.roots, id);
}
