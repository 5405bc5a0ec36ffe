/** observe: what the kernel shows of a Spec, and where that differs from its Record. Takes no lock, changes nothing. */
import os from "node:os";
import type { MapHandle } from "../../bpf";
import type { ObserveResult } from "../../protocol/messages";
import type { Status } from "../../protocol/status";
import { EbpfError } from "../../errors";
import type { Host } from "../host";
import { observeAddressSet, observeGeneration, observePolicy } from "../network-policy/observe";
import { hookFile } from "../hooks/registry";
import { hookScope } from "../hooks/scope";
import { type PinKind, pinPath } from "../layout";
import type { Record } from "../records";
import { type Actual, openActual } from "./actual";
import { markDrifted } from "./drift-mark";
import { type Handles, withHandles } from "./handles";
import { intentFiles, readIntent } from "./intent";
import { globalsStand } from "./objects";
import { observeEntries } from "./observe-entries";
import { appliedHook } from "./prepare-links";
import { openProgram } from "./resolve";
import { confirmDrift } from "./unconfirmed";

/** How often a look is repeated while some other Spec is being applied, and the pause between. */
const MOST_LOOKS = 50;
const PAUSE_MS = 100;

/** What several looks in a row need to ask once. */
export interface Moment {
  sequence: number;
  intents: ReadonlySet<string>;
}

export function momentOf(host: Host): Moment {
  return { sequence: host.lock.sequence(), intents: intentFiles(host.roots) };
}

/** `null`: neither Record nor pin. */
export async function observe(
  host: Host,
  id: string,
  moment = momentOf(host),
): Promise<ObserveResult | null> {
  for (let look = 1; ; look++, moment = momentOf(host)) {
    const record = host.records.read(id);
    if (record === null) return observeWithoutRecord(host, id);
    const status = await statusOf(host, record, [], { intents: moment.intents });
    // a program that is exchanged at this very moment is no drift
    const isQuiet = () => host.lock.sequence() === moment.sequence && !host.lock.isBusy();
    if (status.drift.length === 0 || look === MOST_LOOKS || isQuiet()) {
      if (status.drift.some(({ code }) => code.startsWith("entry-"))) markDrifted(host.roots, id);
      return { status, inputs: record.inputs };
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

function observeWithoutRecord(host: Host, id: string): ObserveResult | null {
  const intent = readIntent(host.roots, id);
  if (intent === null && host.pins.revisions(id).length === 0) return null;
  const status = emptyStatus(id, "", intent?.to ?? 0, "");
  const message = "pins without a Record: an earlier operation did not end";
  return { status: { ...status, drift: [{ code: "incomplete", part: "", message }] }, inputs: null };
}

function emptyStatus(id: string, incarnation: string, revision: number, specDigest: string): Status {
  return {
    id,
    incarnation,
    revision,
    specDigest,
    programs: {},
    maps: {},
    entries: {},
    links: {},
    drift: [],
    notes: [],
  };
}

interface StatusOptions {
  written?: boolean;
  /** As in a Moment. */
  intents?: ReadonlySet<string> | undefined;
}

/**
 * `written`: entries were written a moment ago, each command of the kernel's answering success; a second reading of
 * a million rows would say no more.
 */
export function statusOf(
  host: Host,
  record: Record,
  notes: string[] = [],
  { written = false, intents }: StatusOptions = {},
): Promise<Status> {
  return withHandles(async (handles) => {
    const { id, incarnation, revision, specDigest, swappedLinks } = record;
    const status = { ...emptyStatus(id, incarnation, revision, specDigest), notes };
    if (swappedLinks !== undefined) status.swappedLinks = swappedLinks;
    if (record.unconfirmed !== undefined) status.revertsAt = record.unconfirmed.until;
    status.drift.push(...confirmDrift(record));
    const actual = openActual(host, record, handles);
    const intent = readIntent(host.roots, id, intents);
    if (intent?.mixed !== undefined) {
      const message = `some links run the old, some the new program: ${intent.mixed.new.join(", ")} the new`;
      status.drift.push({ code: "mixed", part: "", message });
    } else if (intent !== null && !host.lock.isBusy()) {
      status.drift.push({ code: "incomplete", part: "", message: `${intent.verb} was interrupted` });
    }
    if (!actual.sameBoot) {
      const message = `not loaded since boot at ${bootTime()}`;
      status.drift.push({ code: "not-loaded", part: "", message });
      return status;
    }
    observePrograms(host, actual, status);
    observeMaps(host, actual, status);
    for (const part of record.spec.entries) {
      const declared = part.count + part.references.length;
      if (written) status.entries[part.name] = { matching: declared, declared };
      else observeEntries(host, part, actual, status, handles);
    }
    for (const part of record.spec.links) observeLink(host, part.name, actual, status, handles);
    observeGeneration(actual, status);
    if (record.spec.policy !== undefined) await observePolicy(host, record, status, statusOf);
    if (record.spec.addressSet !== undefined) observeAddressSet(host, record, status);
    return status;
  });
}

function bootTime(): string {
  return new Date(Date.now() - os.uptime() * 1000).toISOString().slice(0, 16);
}

function observePrograms(host: Host, actual: Actual, status: Status): void {
  const { record, programs } = actual;
  for (const name of Object.keys(record.programs)) {
    const program = programs.get(name);
    if (program === undefined) {
      status.drift.push({ code: "not-loaded", part: name, message: `program "${name}" is not loaded` });
      continue;
    }
    const { id, tag, type, verifiedInstructions, jitedBytes } = program.info();
    const pin = notePin(host, actual, "programs", name, status);
    status.programs[name] = { programId: id, tag, type, verifiedInstructions, jitedBytes, pin };
  }
  for (const part of record.spec.objects) {
    if (globalsStand({ actual, spec: record.spec }, part)) continue;
    status.drift.push({
      code: "global-changed",
      part: part.name,
      message: `a global of ${part.fileName} has another value`,
    });
  }
}

function observeMaps(host: Host, actual: Actual, status: Status): void {
  for (const [name, { mapId }] of Object.entries(actual.record.maps)) {
    const map = actual.maps.get(name);
    if (map === undefined) {
      status.drift.push({ code: "not-loaded", part: name, message: `map "${name}" is gone` });
      continue;
    }
    const info = map.info();
    if (info.id !== mapId) {
      status.drift.push({
        code: "map-replaced",
        part: name,
        message: `another map is pinned in place of map "${name}"`,
      });
    }
    const pin = notePin(host, actual, "maps", name, status);
    status.maps[name] = { ...sizes(map), mapId: info.id, frozen: map.frozen(), pin };
  }
}

function sizes(map: MapHandle) {
  const { type, keySize, valueSize, maxEntries, flags } = map.info();
  return { type, keySize, valueSize, maxEntries, flags };
}

function notePin(
  host: Host,
  { record, unpinned }: Actual,
  kind: PinKind,
  part: string,
  status: Status,
): string {
  const path = pinPath(host.roots, record.id, record.revision, kind, part);
  if (unpinned.has(`${kind}/${part}`)) {
    status.drift.push({ code: "pin-missing", part, message: `pin ${path} is gone` });
  }
  return path;
}

function observeLink(host: Host, name: string, actual: Actual, status: Status, handles: Handles): void {
  const { record, links } = actual;
  const applied = record.links[name];
  const hook = appliedHook(host, record, name);
  if (applied === undefined || hook === null) return;
  const file = hookFile(hook.type);
  const link = links.get(name) ?? null;
  const seen = file.observe(hookScope(host, record.id, name), hook, applied, link);
  for (const { code, message } of seen.drift) status.drift.push({ code, part: name, message });
  if (!seen.attached) return;
  if (applied.linkId !== 0) notePin(host, actual, "links", name, status);
  const wanted = wantedProgram(host, record, name, actual, handles);
  const isClone = wanted !== null && applied.cloneOf === wanted.id && seen.programId === applied.programId;
  if (wanted !== null && seen.programId !== wanted.id && !isClone) {
    const owner = hookScope(host, record.id, name).ownerOf(seen.programId);
    const message = `${file.describe(hook)} runs another program: ${owner}`;
    status.drift.push({ code: "other-program", part: name, message });
  }
  const { programId, facts } = seen;
  const programTag = wanted === null ? "" : wanted.tag;
  status.links[name] = { linkId: link?.info().id ?? 0, programId, programTag, hook: hook.type, facts };
}

/** The program that the link is declared to run; its absence is the other Spec's drift, and ours when it runs nothing. */
function wantedProgram(host: Host, record: Record, name: string, actual: Actual, handles: Handles) {
  const ref = record.spec.links.find((part) => part.name === name)!.program;
  if (ref.spec === record.id) return actual.programs.get(ref.entrypoint)?.info() ?? null;
  try {
    return openProgram(host, ref, handles).program.info();
  } catch (error) {
    if (EbpfError.is(error, "not-found")) return null;
    throw error;
  }
}
