/**
 * LinkParts: of this Spec, and of other Specs whose program this one makes anew. Nothing is detached before what
 * takes its place is attached, except where the user allows a gap.
 */
import type { ProgramHandle } from "../../bpf";
import { EbpfError } from "../../errors";
import type { Hook } from "../../protocol/hooks";
import type { LinkPart, ProgramRef } from "../../protocol/spec";
import { checkProgramType } from "../hooks/findings";
import type { Findings, Seen } from "../hooks/hook";
import { hookFile, hookOnKernel } from "../hooks/registry";
import { hookScope } from "../hooks/scope";
import { pinPath } from "../layout";
import type { LinkRecord, Record } from "../records";
import type { LinkPlace } from "./actions";
import { openActual } from "./actual";
import { readIntent } from "./intent";
import { loadObject } from "./objects";
import type { Preparation } from "./preparation";
import { setReferences } from "./prepare-references";
import { stillUsed } from "./prepare-entries";

interface Live {
  hook: Hook;
  applied: LinkRecord;
  seen: Seen;
}

export async function prepareLink(preparation: Preparation, part: LinkPart): Promise<void> {
  const { host, spec, words, notes, steps, problems } = preparation;
  const hook = hookOnKernel(part.hook, (major, minor) => host.kernelAtLeast(major, minor));
  const file = hookFile(hook.type);
  const scope = hookScope(host, spec.id, part.name);
  const program = preparation.program(part.program);
  const live = lookAt(preparation, part.name, hook);
  const mine = live?.seen.attached === true && live.hook.type === hook.type ? live.applied : null;
  const current = mine === null ? null : { ...mine, programId: live!.seen.programId };
  const misfits = checkProgramType(file.describe(hook), file.programTypes(hook), program);
  const findings: Findings = { problems: misfits, warnings: [] };
  file.plan?.(scope, hook, program, current, findings);
  problems.push(...findings.problems);
  for (const warning of findings.warnings) preparation.warn(part.name, warning);
  if (findings.problems.length > 0 || program === null) return;
  const wanted = program.info().id;

  if (live === null || !live.seen.attached) {
    if (live !== null)
      notes.push(`${file.describe(hook)} was detached; it is attached anew, nothing judged in between`);
    words.push(`attach ${file.describe(hook)}`);
    steps.links.push({ type: "attach-link", part: part.name, hook, programId: wanted });
    return;
  }
  const transition =
    live.hook.type === hook.type ? file.transition(live.hook, live.applied, hook, live.seen) : "move";
  const running = live.seen.programId;
  const expected =
    running === wanted || (live.applied.cloneOf === wanted && running === live.applied.programId);
  if (transition === "keep" && (expected || file.exchange === "update")) {
    preparation.links[part.name] = expected
      ? live.applied
      : { ...withoutClone(live.applied), programId: wanted };
    const place = livePlace(preparation, part.name, live, preparation.revision);
    if (live.applied.linkId !== 0)
      steps.before.push({ type: "pin-link", part: part.name, linkId: live.applied.linkId });
    if (expected) return;
    words.push(`swap the program of ${file.describe(hook)}`);
    if (running !== live.applied.programId && !isRecorded(preparation, part.program, running)) {
      notes.push(`${file.describe(hook)} ran ${scope.ownerOf(running)}; it is replaced`);
    }
    steps.links.push({ type: "exchange-program", place: { ...place, hook }, from: running, to: wanted });
    return;
  }
  const old = livePlace(preparation, part.name, live, preparation.record!.revision);
  if (transition === "gap") {
    if (!("allowGap" in hook) || !hook.allowGap) {
      problems.push(
        new EbpfError(
          "conflict",
          `change the mode of ${file.describe(hook)}: for an instant nothing would judge`,
          {},
          {
            remedy: "set allowGap: true to accept that",
          },
        ),
      );
      return;
    }
    notes.push(`${file.describe(hook)}: for an instant nothing judged, while its mode changed`);
    steps.links.push({ type: "detach-link", place: old, programId: running });
  }
  const cloneOf = transition === "clone" ? wanted : undefined;
  if (cloneOf !== undefined)
    notes.push(`${file.describe(hook)} changes its place: for an instant the program ran twice`);
  if (file.exchange === "reattach")
    notes.push(`${file.describe(hook)}: for an instant old and new program both ran`);
  const programId = cloneOf === undefined ? wanted : (await clone(preparation, part.program)).info().id;
  words.push(`attach ${file.describe(hook)}, then drop ${hookFile(live.hook.type).describe(live.hook)}`);
  steps.links.push({
    type: "attach-link",
    part: part.name,
    hook,
    programId,
    keep: live.applied,
    ...(cloneOf === undefined ? {} : { cloneOf }),
  });
  if (transition !== "gap") steps.cleanup.push({ type: "drop-link", place: old, programId: running });
}

function isRecorded({ host, record, spec }: Preparation, ref: ProgramRef, programId: number): boolean {
  const owner = ref.spec === spec.id ? record : host.records.read(ref.spec);
  return owner?.programs[ref.entrypoint]?.programId === programId;
}

function withoutClone({ cloneOf: _, ...applied }: LinkRecord): LinkRecord {
  return applied;
}

/** The recorded link of that name and what the kernel shows of it, judged by the new wish where its kind is the same. */
function lookAt({ host, spec, record, actual }: Preparation, name: string, wish: Hook): Live | null {
  const applied = record?.links[name];
  if (record === null || applied === undefined || record.bootId !== host.bootId) return null;
  const hook = appliedHook(host, record, name);
  if (hook === null) return null;
  const link = actual?.links.get(name) ?? null;
  const file = hookFile(hook.type);
  const scope = hookScope(host, spec.id, name);
  const seen = file.observe(scope, hook, applied, link);
  const sameKind =
    seen.attached &&
    wish.type === hook.type &&
    file.transition(hook, applied, wish, { ...seen, drift: [] }) !== "move";
  return { hook, applied, seen: sameKind ? file.observe(scope, wish, applied, link) : seen };
}

/** The hook that a recorded link is really on. */
export function appliedHook(host: Preparation["host"], record: Record, name: string): Hook | null {
  const part = record.spec.links.find((link) => link.name === name);
  return part === undefined
    ? null
    : hookOnKernel(part.hook, (major, minor) => host.kernelAtLeast(major, minor));
}

function livePlace(
  { host, spec }: Preparation,
  part: string,
  { hook, applied }: Live,
  revision: number,
): LinkPlace {
  const pin = applied.linkId === 0 ? {} : { pin: pinPath(host.roots, spec.id, revision, "links", part) };
  return { spec: spec.id, part, hook, applied, ...pin };
}

/** A second copy of an entrypoint, on the same maps. */
async function clone(preparation: Preparation, { spec: id, entrypoint }: ProgramRef): Promise<ProgramHandle> {
  const { host, spec, handles } = preparation;
  const record = id === spec.id ? null : host.records.read(id);
  const part = (record?.spec ?? spec).objects.find(({ entrypoints }) => entrypoints.includes(entrypoint))!;
  const maps =
    record === null
      ? new Map([...preparation.maps].map(([name, { handle }]) => [name, handle]))
      : openActual(host, record, handles).maps;
  const prefix = (record?.spec ?? spec).objects.length > 1 ? part.name : "";
  const reuse = new Map(
    [...maps].map(([name, map]) => [
      prefix !== "" && name.startsWith(`${prefix}.`) ? name.slice(prefix.length) : name,
      map,
    ]),
  );
  for (const [name, ref] of Object.entries(part.maps)) {
    const map = preparation.map(ref);
    if (map !== null) reuse.set(name, map);
  }
  const loaded = loadObject(
    { part, entrypoints: [entrypoint], bytes: preparation.readBlob(part.blob), reuse },
    handles,
  );
  return loaded.programs.get(entrypoint)!;
}

/** Links that the Record has and the Spec has not. */
export function dropLinks(preparation: Preparation): void {
  const { host, spec, record, words, steps } = preparation;
  for (const name of Object.keys(record?.links ?? {})) {
    if (spec.links.some((part) => part.name === name)) continue;
    const hook = appliedHook(host, record!, name);
    if (hook === null) continue;
    const live = lookAt(preparation, name, hook);
    if (live?.seen.attached !== true) continue;
    words.push(`detach ${hookFile(hook.type).describe(hook)}`);
    const place = livePlace(preparation, name, live, record!.revision);
    if (place.pin === undefined)
      steps.cleanup.push({ type: "drop-link", place, programId: live.seen.programId });
  }
}

/** Every attachment of another Spec that runs a program which is made anew follows it in this transaction. */
export async function followPrograms(preparation: Preparation): Promise<void> {
  const { host, spec, record, programs } = preparation;
  if (record === null) return;
  // what an apply that could not be undone left running
  const stray = (readIntent(host.roots, spec.id)?.actions ?? []).flatMap((action) =>
    action.type === "exchange-program" ? [action.to] : [],
  );
  for (const referrer of host.references.referrersOf(spec.id)) {
    const used = referrer.programs.filter((ref) => ref.spec === spec.id).map(({ entrypoint }) => entrypoint);
    if (used.length === 0) continue;
    const gone = used.find((name) => !programs.has(name));
    if (gone !== undefined) {
      if (preparation.problems.length === 0)
        preparation.problems.push(stillUsed(`drop entrypoint "${gone}"`, referrer.id));
      continue;
    }
    if (stray.length === 0 && used.every((name) => programs.get(name)!.kept)) continue;
    const other = host.records.read(referrer.id)!;
    if (other.bootId !== host.bootId) continue;
    followLinks(preparation, other, stray);
    setReferences(preparation, other);
  }
}

function followLinks(preparation: Preparation, other: Record, stray: number[]): void {
  const { host, spec, record, programs, steps, notes, words, problems, handles } = preparation;
  const links = openActual(host, { ...other, programs: {}, maps: {} }, handles).links;
  for (const part of other.spec.links.filter(({ program }) => program.spec === spec.id)) {
    const applied = other.links[part.name];
    const hook = appliedHook(host, other, part.name);
    const next = programs.get(part.program.entrypoint)!;
    if (applied === undefined || hook === null || (next.kept && stray.length === 0)) continue;
    const file = hookFile(hook.type);
    const where = `${file.describe(hook)} of ${other.id}`;
    const { type, id } = next.handle.info();
    if (!file.programTypes(hook).includes(type)) {
      problems.push(
        new EbpfError(
          "conflict",
          `swap the program of ${where}: "${part.program.entrypoint}" is of type ${type} now`,
          { owner: other.id },
        ),
      );
      continue;
    }
    const seen = file.observe(
      hookScope(host, other.id, part.name),
      hook,
      applied,
      links.get(part.name) ?? null,
    );
    if (!seen.attached) {
      notes.push(
        `${where} is detached and was left so; \`pulumi refresh\` shows it, \`pulumi up\` repairs it`,
      );
      continue;
    }
    if (seen.programId === id) continue;
    const ours = [record!.programs[part.program.entrypoint]?.programId, applied.programId, ...stray];
    if (!ours.includes(seen.programId)) {
      notes.push(`${where} runs program ${seen.programId}, which is not ours; it was left so`);
      continue;
    }
    words.push(`swap the program of ${where}`);
    preparation.swappedLinks.push(where);
    if (file.exchange === "reattach") notes.push(`${where}: for an instant old and new program both ran`);
    const pin =
      applied.linkId === 0 ? {} : { pin: pinPath(host.roots, other.id, other.revision, "links", part.name) };
    const place = { spec: other.id, part: part.name, hook, applied, ...pin };
    steps.links.push({ type: "exchange-program", place, from: seen.programId, to: id });
  }
}
