/**
 * apply: observe, ensure, sync, return; one flow for create, update, adoption and repair. Prepare makes everything
 * ready without visible effect; commit carries out actions under an intent; what is returned is read back.
 */
import { allOf } from "../../errors";
import type { ApplyParams } from "../../protocol/messages";
import { canonicalJson, digestOf } from "../../protocol/spec";
import type { Status } from "../../protocol/status";
import type { Host } from "../host";
import type { GuardContext } from "../network-policy/guard";
import type { UnionChange } from "../network-policy/unions";
import { RECORD_FORMAT, type Record } from "../records";
import type { Action } from "./actions";
import { clearDriftMark } from "./drift-mark";
import { type Handles, withHandles } from "./handles";
import { INTENT_FORMAT } from "./intent";
import type { Report } from "./map-contents";
import { statusOf } from "./observe";
import { prepare } from "./prepare";
import type { Preparation } from "./preparation";
import { transact } from "./transaction";
import { markOf, startClock, timerFor } from "./unconfirmed";

/** The caller holds the host's lock, and recovered what the Spec's last verb may have left. */
export function apply(
  host: Host,
  params: ApplyParams,
  report: Report,
  guard?: GuardContext,
): Promise<Status> {
  return withHandles(async (handles) => (await makeReady(host, handles, params, report, undefined, guard))());
}

export type Commit = () => Promise<Status>;

/** All of apply that has no visible effect. `union`: what a plane of network policies is to judge by. */
export async function makeReady(
  host: Host,
  handles: Handles,
  params: ApplyParams,
  report: Report,
  union?: () => UnionChange,
  guard?: GuardContext,
): Promise<Commit> {
  const { spec, inputs, incarnation } = params;
  const record = host.records.read(spec.id);
  const specDigest = digestOf(spec);
  if (record !== null && record.specDigest === specDigest && record.bootId === host.bootId) {
    const status = await statusOf(host, record);
    if (status.drift.every(({ code }) => code === "unconfirmed"))
      return async () => restate(host, record, params, status);
  }
  const preparation = await prepareOrFail(host, handles, params, record, report, union, guard);
  const { revision } = preparation;
  const next: Record = {
    format: RECORD_FORMAT,
    id: spec.id,
    incarnation,
    revision,
    appliedAt: new Date().toISOString(),
    bootId: host.bootId,
    specDigest,
    spec,
    inputs,
    programs: recordsOf(preparation.programs),
    maps: recordsOf(preparation.maps),
    links: preparation.links,
    ...(spec.objects.length > 0 ? { swappedLinks: preparation.swappedLinks } : {}),
    ...previousOf(record, specDigest, params),
  };
  return async () => {
    const timer = await timerFor(record, specDigest, params);
    Object.assign(next, markOf(timer, params));
    const { changes, snapshots, notes, planes } = preparation;
    const work = {
      ...{ host, handles, record: next, id: spec.id, revision, changes, snapshots, notes, report },
      prior: new Map(),
      ...(union === undefined ? {} : { union }),
      ...(planes === undefined ? {} : { planes }),
    };
    const actions = actionsOf(preparation);
    try {
      await transact(work, {
        format: INTENT_FORMAT,
        id: spec.id,
        verb: "apply",
        from: record?.revision ?? 0,
        to: revision,
        actions,
      });
    } catch (error) {
      timer?.stop();
      throw error;
    }
    timer?.start();
    clearDriftMark(host.roots, spec.id);
    return statusOf(host, next, notes, { written: true });
  };
}

/** All is as declared; only what the Record says of the operator may be new. */
async function restate(host: Host, record: Record, params: ApplyParams, status: Status): Promise<Status> {
  const { inputs, incarnation } = params;
  const { leaving, unconfirmed, wentBackAt, ...staying } = record;
  if (
    record.incarnation === incarnation &&
    [leaving, unconfirmed, wentBackAt].every((mark) => mark === undefined) &&
    canonicalJson(record.inputs ?? null) === canonicalJson(inputs ?? null)
  )
    return status;
  const timer = await timerFor(record, record.specDigest, params);
  const next = {
    ...staying,
    inputs,
    incarnation,
    appliedAt: new Date().toISOString(),
    ...markOf(timer, params),
  };
  startClock(next);
  host.records.write(next);
  timer?.start();
  return statusOf(host, next);
}

/** The same Spec once more, after a reboot or drift, is no new generation; what was never confirmed is none either. */
function previousOf(
  record: Record | null,
  specDigest: string,
  { keepPrevious, confirm }: ApplyParams,
): Pick<Record, "previous"> {
  const keeps = keepPrevious === true || confirm !== undefined;
  if (record?.specDigest === specDigest || (keeps && record?.unconfirmed !== undefined)) {
    return record!.previous === undefined ? {} : { previous: record!.previous };
  }
  if (!keeps) return {};
  return { previous: record === null ? null : { spec: record.spec, inputs: record.inputs } };
}

async function prepareOrFail(
  host: Host,
  handles: Handles,
  { spec, confirm }: ApplyParams,
  record: Record | null,
  report: Report,
  union?: () => UnionChange,
  guard?: GuardContext,
): Promise<Preparation> {
  const readBlob = (digest: string) => host.blobs.read(digest);
  const derived = { ...(union === undefined ? {} : { union }), ...confirm };
  const preparation = await prepare({
    host,
    handles,
    spec,
    record,
    dry: false,
    readBlob,
    report,
    guard,
    ...derived,
  });
  if (preparation.problems.length > 0) throw allOf(preparation.problems);
  return preparation;
}

function recordsOf<T>(parts: Map<string, { record: T }>): { [name: string]: T } {
  return Object.fromEntries([...parts].map(([name, { record }]) => [name, record]));
}

function actionsOf({ programs, maps, steps, record }: Preparation): Action[] {
  const pins: Action[] = [
    ...[...programs].map(
      ([
        part,
        {
          record: { programId },
        },
      ]): Action => ({ type: "pin-program", part, programId }),
    ),
    ...[...maps].map(
      ([
        part,
        {
          record: { mapId },
        },
      ]): Action => ({ type: "pin-map", part, mapId }),
    ),
    ...steps.before.filter(({ type }) => type === "pin-link"),
  ];
  const attaches = steps.links.some(({ type }) => type === "attach-link");
  const needsDirectory = pins.length > 0 || attaches;
  const hadPins =
    record !== null && Object.keys({ ...record.programs, ...record.maps, ...record.links }).length > 0;
  return [
    ...(needsDirectory ? [{ type: "make-directory" } as const] : []),
    ...pins,
    ...steps.before.filter(({ type }) => type !== "pin-link"),
    ...steps.links,
    ...steps.after,
    { type: "store-record" },
    ...steps.cleanup,
    ...(needsDirectory || hadPins ? [{ type: "drop-revisions" } as const] : []),
  ];
}
