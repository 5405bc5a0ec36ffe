/**
 * What must become of the planes when a policy or a set comes, changes or goes: from the policies to those that are new,
 * those that go on, and what each is to judge by. Compiles, and changes nothing. Does not own: bringing them up
 * (planes.ts).
 */
import { EbpfError } from "../../errors";
import type { Host } from "../host";
import { type Change, type Derived, type Holdings, type WishedPlane, derive, holdingsOf } from "./derive";
import { canonicalNetns } from "./interfaces";
import { TRIED_GENERATION, nextGeneration, nextPlane } from "./numbers";
import {
  type PlanePart,
  type PlaneRecord,
  type PlaneSpec,
  countersFor,
  planeRecords,
  planeSpec,
} from "./plane-spec";
import { type ReadBlob, type UnionChange, compileWish, loadUnion } from "./unions";
import { subjectsOf, waitingProblem } from "./waiting";

/** A plane as it shall be. */
export interface NextPlane {
  wish: WishedPlane;
  /** The plane whose place it takes: its interfaces are all of those, or some of those, of the wish. */
  before: PlaneRecord | null;
  spec: PlaneSpec;
  union(): UnionChange;
}

/** By other rules than before, or for the first time. */
export function judgesAnew({ before, spec }: NextPlane): boolean {
  return before?.spec.plane.number !== spec.plane.number;
}

export interface PlaneChange {
  scope: Scope;
  /** It goes back by itself after that, unless it is confirmed. */
  withinSeconds?: number;
  next: NextPlane[];
  /** Planes whose policies contradict each other since an interface came: left as they are. */
  frozen: PlaneRecord[];
}

/** Namespaces that a change concerns: paths, `""` for the host's. */
export type Scope = string[];

export function isWithin(scope: Scope, { netns = "" }: { netns?: string }): boolean {
  return scope.includes(netns);
}

/** Where its policies are, or were. */
export function scopeOf(host: Host, change: Change): Scope {
  const scope = [holdingsOf(host, change), holdingsOf(host)].flatMap((holdings) =>
    [...subjectsOf(change.id, holdings)].flatMap((id) => {
      const policy = holdings.policies.get(id);
      return policy === undefined ? [] : [canonicalNetns(policy.netns) ?? ""];
    }),
  );
  return [...new Set(scope)];
}

/** What must become of the planes; every problem that can be known before acting is added to `problems`. */
export function planPlanes(
  host: Host,
  change: Change | null,
  scope: Scope,
  { dry, read, problems }: { dry: boolean; read: ReadBlob; problems: EbpfError[] },
): PlaneChange {
  const holdings = holdingsOf(host, change ?? undefined);
  const subjects = change === null ? new Set<string>() : subjectsOf(change.id, holdings);
  const unknown = [...subjects].flatMap((id) => unknownSets(id, holdings));
  if (!dry) problems.push(...unknown);
  const derived = derive(holdings, subjects);
  problems.push(...derived.problems);
  for (const { policies, error } of derived.conflicts) {
    if (policies.some((id) => subjects.has(id))) problems.push(error);
  }
  // in a preview: a set that the host lacks today may come with the apply before this one
  if (problems.length > 0 || unknown.length > 0) return { scope, next: [], frozen: [] };
  const existing = planeRecords(host).filter(({ spec: { plane } }) => isWithin(scope, plane));
  const frozen = existing.filter((record) => isFrozen(record, derived));
  const free = existing.filter((record) => !frozen.includes(record));
  const matches = matchPlanes(
    derived.planes
      .filter((wish) => isWithin(scope, wish))
      .map((wish) => withoutFrozen(wish, frozen))
      .filter(({ interfaces }) => interfaces.length > 0),
    free,
  );
  const next: NextPlane[] = [];
  for (const [wish, before] of matches) {
    const waits =
      before === null || change === null || wish.content === before.spec.plane.content
        ? undefined
        : waitingProblem(host, before, change.id, holdings);
    if (waits !== undefined) {
      problems.push(waits);
      continue;
    }
    try {
      next.push(nextPlaneFor(host, wish, before, holdings, { dry, read }));
    } catch (error) {
      const problem = EbpfError.from(error);
      if (problem.code === "internal") throw error;
      problems.push(problem);
    }
  }
  return { scope, next, frozen };
}

function unknownSets(id: string, { policies, sets }: Holdings): EbpfError[] {
  return Object.entries(policies.get(id)?.sets ?? {}).flatMap(([name, set]) => {
    if (sets.has(set)) return [];
    const message = `find address set "${name}" of ${id}: ${set} is not on this host`;
    return [
      new EbpfError("not-found", message, { what: "AddressSet", name: set }, { remedy: "apply it first" }),
    ];
  });
}

function isFrozen({ spec: { plane } }: PlaneRecord, { conflicts }: Derived): boolean {
  return conflicts.some(
    ({ netns, interfaces }) =>
      netns === plane.netns && interfaces.some((name) => plane.interfaces.includes(name)),
  );
}

function withoutFrozen(wish: WishedPlane, frozen: PlaneRecord[]): WishedPlane {
  const taken = frozen
    .filter(({ spec: { plane } }) => plane.netns === wish.netns)
    .flatMap(({ spec: { plane } }) => plane.interfaces);
  return { ...wish, interfaces: wish.interfaces.filter((name) => !taken.includes(name)) };
}

/**
 * A plane goes on where its interfaces stay together: what it gains or loses then is judged by a plane of the same
 * content as it will be, or is, at every instant. Those that neither only gained nor only lost get a plane anew.
 */
function matchPlanes(wishes: WishedPlane[], existing: PlaneRecord[]): [WishedPlane, PlaneRecord | null][] {
  const pairs = wishes.flatMap((wish) =>
    existing.flatMap((record) => {
      const { plane } = record.spec;
      const shared = wish.interfaces.filter((name) => plane.interfaces.includes(name)).length;
      const fits =
        plane.netns === wish.netns && plane.hook === wish.hook && plane.linkHeader === wish.linkHeader;
      const together = shared === wish.interfaces.length || shared === plane.interfaces.length;
      if (!fits || shared === 0 || !together) return [];
      return [{ wish, record, same: plane.content === wish.content, shared }];
    }),
  );
  pairs.sort((a, b) => Number(b.same) - Number(a.same) || b.shared - a.shared);
  const matched = new Map<WishedPlane, PlaneRecord>();
  const taken = new Set<PlaneRecord>();
  for (const { wish, record } of pairs) {
    if (matched.has(wish) || taken.has(record)) continue;
    matched.set(wish, record);
    taken.add(record);
  }
  return wishes.map((wish) => [wish, matched.get(wish) ?? null]);
}

function nextPlaneFor(
  host: Host,
  wish: WishedPlane,
  before: PlaneRecord | null,
  holdings: Holdings,
  { dry, read }: { dry: boolean; read: ReadBlob },
): NextPlane {
  const old = before?.spec.plane;
  const isSame =
    old !== undefined &&
    old.content === wish.content &&
    (old.self === undefined || old.self.join() === wish.self.join());
  const kept =
    old === undefined || before?.bootId !== host.bootId ? null : loadUnion(host, old.policyId, old.number);
  const compiled = (number: bigint, from: typeof kept): UnionChange => ({
    union: compileWish(wish, holdings, { number, before: from, read }),
    before: from,
  });
  const { self, ...wished } = wish;
  // once so, it stays so: a generation that judges again, since nobody confirmed the next, may need it
  const lasting = { ...wished, untracked: wish.untracked || old?.untracked === true };
  if (isSame) {
    let known: UnionChange | undefined;
    const union = () =>
      (known ??= kept === null ? compiled(BigInt(old.number), null) : { union: kept, before: null });
    const plane = { ...old, ...lasting };
    return { wish, before, spec: planeSpec(host, plane), union };
  }
  const change = compiled(dry ? TRIED_GENERATION : nextGeneration(host.roots), kept);
  const { union } = change;
  const plane: PlanePart = {
    ...lasting,
    policyId: old?.policyId ?? (dry ? 0 : nextPlane(host.roots)),
    number: String(union.number),
    cells: union.cells.count,
    ...countersFor(union.slots, old),
    ...(union.usesSelf ? { self } : {}),
  };
  return { wish, before, spec: planeSpec(host, plane), union: () => change };
}
