/**
 * Local files of the operator: ELF objects (compiled when they are C), files of map entries and of networks. Long lists
 * of the program go the same way.
 * Owns all file access of the operator's side besides transport. Only check, create and update open files.
 */
import type { TypeLayout } from "../btf";

export type SourceRequest = ObjectRequest | EntriesRequest | LinesRequest | NetworksRequest;
export type Source = ObjectSource | EntriesSource | LinesSource;

/** An ELF object, or a `.bpf.c` that clang makes one of. Paths are relative to the program's directory. */
export interface ObjectRequest {
  kind: "object";
  /** Input property to blame. */
  property: string;
  path: string;
  /** For C only. */
  includes: string[];
  defines: Record<string, string>;
}

export interface ObjectSource {
  kind: "object";
  property: string;
  /** Base name, for messages. */
  fileName: string;
  /** sha256 (hex) of the ELF bytes. */
  blob: string;
  /**
   * What diff compares: for C the digest of preprocessed text, flags and target (clang versions differ between
   * machines), for an object its sha256.
   */
  sourceDigest: string;
  bytes: Uint8Array;
}

export type EntriesFormat = "csv" | "ndjson" | "binary";

/** Rows given in the program, or in a CSV, NDJSON or binary file. */
export interface EntriesRequest {
  kind: "entries";
  property: string;
  file?: { path: string; format: EntriesFormat };
  /** `{ key, value }[]`, values as `{ perCpu: [...] }` where `perCpu` is `each`. */
  rows?: unknown[];
  /** `bpf_map_type` in lower case: array indexes and LPM prefixes are checked by it. */
  mapType: string;
  keySize: number;
  valueSize: number;
  perCpu?: "all" | "each";
  /** Values are other kernel objects: the rows' keys are all that is encoded, into `keys`. */
  keysOnly?: true;
  keyLayout?: TypeLayout;
  valueLayout?: TypeLayout;
  maxEntries: number;
}

export interface EntriesSource {
  kind: "entries";
  property: string;
  /** sha256 of the manifest; see EntriesPart. */
  manifest: string;
  count: number;
  /** base64, of a request with `keysOnly`, in the order of its rows; the manifest is then that of no rows. */
  keys?: string[];
  /** The manifest's and every chunk's bytes by digest. */
  blobs(): Map<string, Uint8Array>;
}

/** A list of the program that travels as text. */
export interface LinesRequest {
  kind: "lines";
  property: string;
  what: "rules" | "networks";
  /** Asked only where they must be cut. */
  lines(): string[];
  /** What check made of them. */
  manifest?: string;
}

/** A file of networks. */
export interface NetworksRequest {
  kind: "networks";
  property: string;
  file: string;
  /** Longest list. */
  most: number;
}

export interface LinesSource {
  kind: "lines";
  property: string;
  /** sha256 of the manifest; see TextContent. */
  manifest: string;
  count: number;
  /** The manifest's and every chunk's bytes by digest. */
  blobs(): Map<string, Uint8Array>;
}

/** Opens all; throws one EbpfError `invalid` with every problem found. */
export type OpenSources = (requests: SourceRequest[]) => Promise<Source[]>;
