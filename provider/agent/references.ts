/**
 * Who refers to whom, and which blobs are named: an index over all Records, kept in memory.
 *
 * It is built once per session and stays right at the cost of one stat per verb: all writers hold the host's
 * lock, and each counts its change there; a Record that somebody changed by hand shows in the directory's time.
 */
import fs from "node:fs";
import { EbpfError } from "../errors";
import type { EntriesChunk, LinkPart, MapRef, ProgramRef, Spec } from "../protocol/spec";
import type { Blobs } from "./blobs";
import { systemCode } from "./durable-file";
import { pathPart } from "./layout";
import type { Lock } from "./lock";
import type { Record, Records } from "./records";

/** What one Record says about others. */
export interface References {
  id: string;
  programs: ProgramRef[];
  maps: MapRef[];
  links: LinkPart[];
  /** Address sets that a policy names. */
  sets: string[];
  blobs: string[];
  /** It is to go once nobody refers to it. */
  leaving?: true;
}

export class ReferenceIndex {
  /** By the Record's file name. */
  #entries = new Map<string, References>();
  /** Spec id → file names of the Records that refer to it. */
  #referrers = new Map<string, Set<string>>();
  #builtAt = "";
  #damaged = false;

  constructor(
    private readonly records: Records,
    private readonly blobs: Blobs,
    private readonly lock: Lock,
  ) {}

  /** Records of other Specs that refer to a part of this one. */
  referrersOf(id: string): References[] {
    return [...(this.#referrers.get(id) ?? [])]
      .map((name) => this.#entries.get(name)!)
      .filter((entry) => entry.id !== id);
  }

  /** The next that waited to go, and may. */
  nextLeaving(): References | undefined {
    for (const entry of this.#entries.values()) {
      if (entry.leaving === true && this.referrersOf(entry.id).length === 0) return entry;
    }
    return undefined;
  }

  all(): Iterable<References> {
    return this.#entries.values();
  }

  /** Blobs that some Record names; `null` when a damaged Record leaves that open. */
  namedBlobs(): Set<string> | null {
    if (this.#damaged) return null;
    return new Set([...this.#entries.values()].flatMap(({ blobs }) => blobs));
  }

  /** After the holder of the lock wrote or deleted a Record itself. */
  update(id: string, record: Record | null, sequence: number): void {
    const name = `${pathPart(id)}.json`;
    this.forget(name);
    if (record !== null) this.remember(name, referencesOfRecord(record, this.blobs));
    this.#builtAt = this.stamp(sequence + 1);
  }

  /**
   * To be called once by each verb, before it asks anything. `sequence` is that of the lock's holder; without the
   * lock a look at its file must do.
   */
  refresh(sequence = this.lock.sequence()): void {
    if (this.stamp(sequence) === this.#builtAt) return;
    this.#entries.clear();
    this.#referrers.clear();
    this.#damaged = false;
    const stamp = this.stamp(sequence);
    for (const name of this.records.files()) {
      try {
        this.remember(name, referencesOfRecord(this.records.readFile(name), this.blobs));
      } catch (error) {
        if (!EbpfError.is(error, "record", "not-found")) throw error;
        this.#damaged = true;
      }
    }
    this.#builtAt = stamp;
  }

  private stamp(sequence: number): string {
    try {
      return `${sequence} ${fs.statSync(this.records.directory, { bigint: true }).mtimeNs}`;
    } catch (error) {
      if (systemCode(error) === "ENOENT") return `${sequence} empty`;
      throw error;
    }
  }

  private remember(name: string, entry: References): void {
    this.#entries.set(name, entry);
    for (const target of targetsOf(entry)) {
      const referrers = this.#referrers.get(target) ?? new Set();
      this.#referrers.set(target, referrers.add(name));
    }
  }

  private forget(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    for (const target of targetsOf(entry)) this.#referrers.get(target)?.delete(name);
  }
}

/** What can be rolled back to keeps its blobs, but refers to nothing: others may go, and then it cannot come back. */
function referencesOfRecord({ spec, previous, leaving }: Record, blobs: Blobs): References {
  const references = { ...referencesOf(spec, blobs), ...(leaving === undefined ? {} : { leaving }) };
  if (previous === undefined || previous === null) return references;
  return { ...references, blobs: [...references.blobs, ...referencesOf(previous.spec, blobs).blobs] };
}

export function referencesOf(spec: Spec, blobs: Blobs): References {
  const references = spec.entries.flatMap((part) => part.references);
  return {
    id: spec.id,
    programs: [
      ...spec.links.map(({ program }) => program),
      ...references.flatMap(({ program }) => (program === undefined ? [] : [program])),
    ],
    maps: [
      ...spec.objects.flatMap(({ maps }) => Object.values(maps)),
      ...spec.entries.map(({ map }) => map),
      ...references.flatMap(({ map }) => (map === undefined ? [] : [map])),
    ],
    links: spec.links,
    sets: Object.values(spec.policy?.sets ?? {}),
    blobs: [
      ...spec.objects.map(({ blob }) => blob),
      ...spec.entries.flatMap(({ manifest }) => [
        manifest,
        ...readManifest(blobs, manifest).map(({ blob }) => blob),
      ]),
      ...[spec.policy?.ingress, spec.policy?.egress, spec.addressSet?.networks].flatMap((content) =>
        content === undefined
          ? []
          : [content.manifest, ...readManifest(blobs, content.manifest).map(({ blob }) => blob)],
      ),
    ],
  };
}

/** EntriesChunk and TextChunk are the same. */
export function readManifest(blobs: Blobs, digest: string): EntriesChunk[] {
  return JSON.parse(blobs.read(digest).toString("utf8")) as EntriesChunk[];
}

function targetsOf({ programs, maps, sets }: References): Set<string> {
  return new Set([...[...programs, ...maps].map(({ spec }) => spec), ...sets]);
}
