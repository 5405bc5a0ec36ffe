/**
 * Network policies on the host: from Records to what judges packets.
 *
 * A NetworkPolicy's Spec holds what its user wants and no kernel object. All of them together, of every stack, give
 * *planes*: a load of the program with its maps, for the interfaces that the same policies judge. A plane is a Spec
 * like any other (plane-spec.ts), derived (derive.ts, next-planes.ts) and brought up by reconcile/: loads, pins, links
 * that change over without a gap, recovery. Besides it has a *generation* (generation.ts): the rules of its policies,
 * compiled (unions.ts), in one of two slots.
 *
 * Planes can always be derived from the Records alone. So an apply that fails, or whose agent died, is taken back by
 * deriving them again from the Records as they are.
 *
 * Owns: the order in which planes change. Does not own: what a policy means (provider/network-policy).
 */
import { formatAddress } from "../../btf";
import { type EbpfError, allOf } from "../../errors";
import { candidates } from "../../network-policy/candidates";
import type { ApplyParams } from "../../protocol/messages";
import { type Spec, digestOf } from "../../protocol/spec";
import type { Host } from "../host";
import { inNetns } from "../hooks/netns";
import { veths } from "../hooks/veth";
import type { Record } from "../records";
import { type Commit, makeReady } from "../reconcile/apply";
import { Handles, withHandles } from "../reconcile/handles";
import { intentIds } from "../reconcile/intent";
import type { Report } from "../reconcile/map-contents";
import type { Preparation } from "../reconcile/preparation";
import { prepare } from "../reconcile/prepare";
import { finishRemoval, takeOff } from "../reconcile/remove";
import { openMap } from "../reconcile/resolve";
import { recover } from "../reconcile/transaction";
import { addressesOf } from "./interfaces";
import { type Change, holdingsOf } from "./derive";
import { DERIVED_INCARNATION, isDerived } from "./derived";
import { type GuardContext, type Guarded, guard } from "./guard";
import {
  type NextPlane,
  type PlaneChange,
  type Scope,
  isWithin,
  judgesAnew,
  planPlanes,
  scopeOf,
} from "./next-planes";
import { policyProgram } from "./program";
import { connectionsSpec, derivedRecords, planeOf, planeRecords, planeSpec } from "./plane-spec";
import { openConnections, seed } from "./seed";
import { type ReadBlob, type UnionChange, dropUnion, keepUnion, unionInput } from "./unions";
import { emptyUnion } from "./waiting";

/** Part of prepare: what the planes of a policy or set need. */
export async function preparePlanes(preparation: Preparation): Promise<void> {
  const { host, spec, dry, readBlob, problems, words } = preparation;
  if (spec.policy === undefined && spec.addressSet === undefined) return;
  const own = { id: spec.id, spec };
  const scope = scopeOf(host, own);
  const change = planPlanes(host, own, scope, { dry, read: readBlob, problems });
  if (problems.length > 0) return;
  problems.push(...guardPlanes(host, own, change, { context: preparation.guard, read: readBlob }));
  if (problems.length > 0) return;
  for (const { spec: plane } of change.next.filter(judgesAnew)) {
    const { interfaces, policies, cells } = plane.plane;
    words.push(`judge ${interfaces.join(", ")} by ${policies.join(", ")} (${cells} cells)`);
  }
  if (dry) {
    warnOfCopies(preparation, change);
    return tryPlanes(preparation, change);
  }
  const { record, withinSeconds } = preparation;
  const isConfirmed = record?.specDigest === digestOf(spec) && record.unconfirmed === undefined;
  preparation.planes = withinSeconds === undefined || isConfirmed ? change : { ...change, withinSeconds };
  if (scope.length === 0) return;
  preparation.steps.before.push({ type: "raise-planes", scope });
  preparation.steps.cleanup.push({ type: "settle-planes", scope });
}

/** Those that judge by other rules than before, and those of the policy itself, which may say more than rules. */
function guardPlanes(
  host: Host,
  { id, spec }: Change,
  { next }: PlaneChange,
  { context, read }: { context: GuardContext | undefined; read: ReadBlob },
): EbpfError[] {
  if (context === undefined) return [];
  const holdings = holdingsOf(host, { id, spec });
  const before = host.records.read(id)?.spec.policy;
  return next
    .filter((one) => judgesAnew(one) || one.wish.policies.includes(id))
    .flatMap(({ wish, union }) => {
      const guarded: Guarded = {
        ...{ subject: id, before, policies: holdings.policies, wish, union: union().union },
        candidates: (addresses) => candidates(unionInput(wish, holdings, read), addresses, read),
      };
      return guard(host, guarded, context);
    });
}

/**
 * For a policy's removal. Fails where those that stay cannot be judged without it, or would cut off whom `context` is
 * about.
 */
export function planesWithout(host: Host, id: string, context?: GuardContext): PlaneChange {
  const problems: EbpfError[] = [];
  const change = { id, spec: null };
  const read: ReadBlob = (digest) => host.blobs.read(digest);
  const planned = planPlanes(host, change, scopeOf(host, change), { dry: false, read, problems });
  if (problems.length === 0) problems.push(...guardPlanes(host, change, planned, { context, read }));
  if (problems.length > 0) throw allOf(problems);
  return planned;
}

/** Whoever chooses XDP wants it cheaper, and on a veth it is not: docs/network-policy.md, "Which hook". */
function warnOfCopies({ spec, warnings }: Preparation, { next }: PlaneChange): void {
  if (spec.policy?.hook !== "xdp") return;
  const slow = next
    .filter(({ wish }) => wish.policies.includes(spec.id))
    .flatMap(({ wish }) => inNetns(wish, () => veths().filter((name) => wish.interfaces.includes(name))));
  if (slow.length === 0) return;
  const copies = "xdp copies each packet that a socket sends over a veth, as";
  warnings.push({
    message: `${copies} ${slow.join(", ")} ${slow.length > 1 ? "are" : "is"}: tc costs less there`,
  });
}

/** Loads what is new without a trace, to hear the verifier and what stands in the way on the interfaces. */
async function tryPlanes(
  { host, problems, warnings, report }: Preparation,
  { next }: PlaneChange,
): Promise<void> {
  const { digest, bytes } = policyProgram();
  for (const { spec, before } of next) {
    await withHandles(async (handles) => {
      const tried = await prepare({
        ...{ host, handles, spec, record: before, dry: true, report },
        readBlob: (wanted) => (wanted === digest ? bytes : host.blobs.read(wanted)),
      });
      problems.push(...tried.problems);
      warnings.push(...tried.warnings);
    });
  }
}

/**
 * Brings planes up: first those that are new or gain interfaces, then those that lose some, which change their
 * content only when they have lost them. A plane that is not wanted any more stays: settlePlanes removes it.
 */
export async function raisePlanes(
  host: Host,
  { next: wished, withinSeconds }: PlaneChange,
  report: Report,
): Promise<string[]> {
  const next = withinSeconds === undefined ? wished : wished.map((one) => inTime(host, one, withinSeconds));
  const { bytes, digest } = policyProgram();
  if (next.length > 0) await host.blobs.put({ [digest]: bytes });
  for (const netns of new Set(next.map(({ wish }) => wish.netns)))
    await applyDerived(host, connectionsSpec(netns), report);
  const handles = new Handles();
  try {
    const growing = next.filter((one) => !loses(one));
    const losing = next.filter(loses);
    const commits: (() => Promise<string[]>)[] = [];
    for (const one of growing) {
      const commit = await ready(host, handles, one.spec, report, one.union);
      commits.push(() => bringUp(host, one, commit));
    }
    for (const { before, wish } of losing) {
      const smaller = planeSpec(host, { ...before!.spec.plane, interfaces: wish.interfaces });
      const commit = await ready(host, handles, smaller, report);
      commits.push(() => committed(host, smaller.id, commit));
    }
    for (const netns of new Set(growing.map(({ wish }) => wish.netns)))
      seedConnections(host, handles, netns, growing);
    const notes: string[] = [];
    for (const commit of commits) notes.push(...(await commit()));
    for (const one of losing) {
      const commit = await ready(host, handles, one.spec, report, one.union);
      notes.push(...(await bringUp(host, one, commit)));
    }
    return notes;
  } finally {
    handles.close();
    host.blobs.release([digest]);
  }
}

/** As it is brought up when it waits to be confirmed. */
function inTime(host: Host, one: NextPlane, withinSeconds: number): NextPlane {
  const judged = judgedInterfaces(host, one.wish.netns);
  const isFirst = one.before === null && !one.wish.interfaces.some((name) => judged.includes(name));
  const waiting = { withinSeconds, ...(isFirst ? { open: emptyUnion(host) } : {}) };
  return { ...one, union: () => ({ ...one.union(), ...waiting }) };
}

function judgedInterfaces(host: Host, netns: string | undefined): string[] {
  return planeRecords(host)
    .filter(({ bootId, spec: { plane } }) => bootId === host.bootId && plane.netns === netns)
    .flatMap(({ spec: { plane } }) => plane.interfaces);
}

/** For interfaces that nothing has judged so far. */
function seedConnections(
  host: Host,
  handles: Handles,
  netns: string | undefined,
  growing: NextPlane[],
): void {
  const known = judgedInterfaces(host, netns);
  const fresh = growing.filter(
    ({ wish }) => wish.netns === netns && wish.interfaces.some((name) => !known.includes(name)),
  );
  const [first] = fresh;
  if (first === undefined) return;
  const judges = new Map(
    fresh.flatMap(({ wish, spec }) =>
      addressesOf(netns, wish.interfaces).map((address) => [address, spec.plane.policyId] as const),
    ),
  );
  const { map } = openMap(host, { spec: connectionsSpec(netns).id, map: "established" }, handles);
  seed(map, openConnections(netns, first.wish.self), (address) => {
    return judges.get(formatAddress(address)) ?? first.spec.plane.policyId;
  });
}

function loses({ before, wish }: NextPlane): boolean {
  return before?.spec.plane.interfaces.some((name) => !wish.interfaces.includes(name)) === true;
}

async function bringUp(host: Host, next: NextPlane, commit: Commit): Promise<string[]> {
  const notes = await committed(host, next.spec.id, commit);
  if (judgesAnew(next)) keepUnion(host, next.spec.plane.policyId, next.union());
  return notes;
}

function ready(
  host: Host,
  handles: Handles,
  spec: Spec,
  report: Report,
  union?: () => UnionChange,
): Promise<Commit> {
  const params: ApplyParams = { spec, inputs: null, incarnation: DERIVED_INCARNATION };
  return makeReady(host, handles, params, report, union);
}

async function committed(host: Host, id: string, commit: Commit): Promise<string[]> {
  const { notes } = await commit();
  noteRecord(host, id);
  return notes;
}

async function applyDerived(host: Host, spec: Spec, report: Report): Promise<void> {
  await withHandles(async (handles) => committed(host, spec.id, await ready(host, handles, spec, report)));
}

/** The index of references learns of it here, since the verb's own Record is another one. */
function noteRecord(host: Host, id: string): void {
  host.references.update(id, host.records.read(id), host.lock.sequence());
}

/**
 * Planes as the Records say, whatever was begun: what an apply that failed goes back to, and the end of each. What is
 * as recorded is not looked at.
 */
export async function settlePlanes(host: Host, scope: Scope, report: Report): Promise<void> {
  for (const id of intentIds(host.roots).filter(isDerived)) {
    if (await recover(host, id, () => finishRemoval(host, id, report))) noteRecord(host, id);
  }
  const problems: EbpfError[] = [];
  const read: ReadBlob = (digest) => host.blobs.read(digest);
  const change = planPlanes(host, null, scope, { dry: false, read, problems });
  if (problems.length > 0) throw problems[0]!;
  const stale = change.next.filter(
    ({ spec, before }) => before?.bootId !== host.bootId || before.specDigest !== digestOf(spec),
  );
  await raisePlanes(host, { ...change, next: stale }, report);
  const wanted = new Set([...change.next.map(({ spec }) => spec.id), ...change.frozen.map(({ id }) => id)]);
  for (const record of planeRecords(host).filter(({ spec: { plane } }) => isWithin(scope, plane))) {
    if (wanted.has(record.id)) continue;
    await removeDerived(host, record, report);
    dropUnion(host, record.spec.plane.policyId);
  }
  for (const record of derivedRecords(host)) {
    const isUsed = host.references.referrersOf(record.id).length > 0;
    if (planeOf(record.spec) === undefined && !isUsed) await removeDerived(host, record, report);
  }
}

async function removeDerived(host: Host, record: Record, report: Report): Promise<void> {
  await takeOff(host, record, report);
  noteRecord(host, record.id);
}
