/**
 * Spec: what one resource wants on one host. The wire contract between operator and agent.
 *
 * Plain JSON, digestible, without credentials, handles or file names of the operator. Integers wider than
 * 53 bits are decimal strings; bytes are base64. Bulk bytes (ELF objects, chunks of map entries) travel as
 * blobs named by their sha256, never inside a Spec.
 */
import { createHash } from "node:crypto";
import type { Hook } from "./hooks";
import type { AddressSetPart, PolicyPart } from "./policy";

export const SPEC_FORMAT = 1;

export interface Spec {
  format: typeof SPEC_FORMAT;
  /** `[<owner>:]<project>/<stack>/<Kind>/<name>`; see spec-id.ts. */
  id: string;
  objects: ObjectPart[];
  maps: MapPart[];
  entries: EntriesPart[];
  links: LinkPart[];
  /** Absent in all kinds but NetworkPolicy. */
  policy?: PolicyPart;
  /** Absent in all kinds but AddressSet. */
  addressSet?: AddressSetPart;
}

/** A map of this or another Spec on the same host, by name. `map` is an object's map or a MapPart's name. */
export interface MapRef {
  spec: string;
  map: string;
}

/** An entrypoint of this or another Spec on the same host. */
export interface ProgramRef {
  spec: string;
  entrypoint: string;
}

/** What happens to the contents of a map whose shape changes; see design, "Maps across revisions". */
export type MapDataPolicy = "fail" | "migrate" | "replace";

/** One ELF object: the chosen entrypoints are loaded and pinned, and so are all its maps. */
export interface ObjectPart {
  name: string;
  /** sha256 (hex) of the ELF file. */
  blob: string;
  /** For messages only, e.g. `filter.bpf.c`. */
  fileName: string;
  /** At least one. */
  entrypoints: string[];
  globals: GlobalValue[];
  /** The object's map name → the map that stands in for it. */
  maps: Record<string, MapRef>;
  mapDataPolicy: MapDataPolicy;
}

/** Initial bytes of one global variable, written before load. */
export interface GlobalValue {
  name: string;
  /** `.rodata`, `.data`, `.bss` or a custom section such as `.rodata.config`. */
  section: string;
  offset: number;
  /** base64 */
  bytes: string;
}

/** A map declared on its own. Sizes in bytes. */
export interface MapPart extends MapShape {
  name: string;
  mapDataPolicy: MapDataPolicy;
}

export interface MapShape {
  /** The kernel's spelling in lower case, e.g. `lru_hash`; `bpf_map_type` of uapi/linux/bpf.h. */
  type: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  /** `map_flags` of bpf(2). */
  flags: number;
  numaNode?: number;
  /** `map_extra`, decimal string. */
  mapExtra?: string;
  /** Raw BTF (base64) and the ids of key and value in it. */
  btf?: { raw: string; keyTypeId: number; valueTypeId: number };
  /** Template of the inner map of a map-in-map. */
  inner?: MapShape;
}

/** Rows of one map. */
export interface EntriesPart {
  name: string;
  map: MapRef;
  /** Bytes of key and of one CPU's value, as the map must have them. */
  keySize: number;
  valueSize: number;
  /** A row holds one value for every possible CPU (`all`), or a value per CPU in order (`each`, padded to 8 bytes). */
  perCpu?: "all" | "each";
  /**
   * `authoritative`: keys that are not declared are removed and are drift.
   * `own`: only the declared keys are managed. `seed`: as `own`, but written once: what the data plane does
   * with them later is no drift.
   */
  mode: "authoritative" | "own" | "seed";
  /**
   * sha256 (hex) of the manifest blob: canonical JSON of EntriesChunk[]. A chunk blob holds packed `key|value`
   * records, cut at content-defined boundaries so that a small change makes few new chunks.
   */
  manifest: string;
  /** Rows in all chunks together. */
  count: number;
  /** Rows whose value is another kernel object: map-in-map, prog_array. */
  references: EntryReference[];
  /** TypeLayouts (provider/btf) that turn keys and values into words; absent for raw bytes. */
  keyLayout?: unknown;
  valueLayout?: unknown;
  /** Values are not shown in drift texts. */
  secret?: boolean;
}

export interface EntriesChunk {
  /** sha256 (hex) of `count * (keySize + row value size)` bytes. */
  blob: string;
  count: number;
}

export interface EntryReference {
  /** base64 */
  key: string;
  map?: MapRef;
  program?: ProgramRef;
}

/** A program on a hook. */
export interface LinkPart {
  name: string;
  program: ProgramRef;
  hook: Hook;
}

/** JSON with sorted keys and without `undefined`: equal values have equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}

/** sha256 (hex) of bytes, text, or of a JSON value's canonical text. */
export function digestOf(value: Uint8Array | string | object): string {
  const bytes = typeof value === "string" || value instanceof Uint8Array ? value : canonicalJson(value);
  return createHash("sha256").update(bytes).digest("hex");
}
