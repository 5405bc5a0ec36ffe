/**
 * All policies of an interface in, the cells of one generation out. A generation is compiled from the one before by what
 * changed: chunks of rules that are new or gone, networks of sets, own addresses. From nothing everything is new.
 */
import type { TextChunk } from "../protocol/policy";
import type { RuleName } from "./applied";
import type { Cells } from "./cell-space";
import { Draft } from "./draft";
import type { CheckedPolicy } from "./model";
import { readDirectory, type StoredBytes } from "./stored";
import { Union } from "./union-state";

export type { Cells, StoredBytes };

export interface UnionPolicy {
  /** `<project>/<stack>`. */
  stack: string;
  name: string;
  mode: "enforce" | "audit";
  infrastructure: boolean;
  established: CheckedPolicy["established"];
  /** Rules as canonical JSON, one a line. Absent: the policy says nothing about the direction. */
  ingress?: readonly TextChunk[];
  egress?: readonly TextChunk[];
  /** Name of a set as rules write it → its key in `UnionInput.sets`. */
  sets: Readonly<Record<string, string>>;
}

export interface UnionInput {
  policies: readonly UnionPolicy[];
  /** Networks of each set, one a line. */
  sets: Readonly<Record<string, readonly TextChunk[]>>;
  /** Addresses of the host, as text without prefix. */
  self: readonly string[];
}

export interface UnionOptions {
  /** Never used before on the host. */
  number: bigint;
  /** Stays as it is, whatever comes of the new generation. */
  before?: CompiledUnion;
  /** Most cells of 64 bytes. Default 2,097,152 (128 MiB). */
  limit?: number;
  /** The text of a chunk. Not called for chunks that `before` was compiled from, but when all is laid out anew. */
  read(blob: string): Uint8Array;
}

export interface CompiledRule {
  id: RuleName;
  action: "allow" | "deny";
  mode: "enforce" | "audit";
}

export interface CompiledUnion {
  readonly number: bigint;
  readonly cells: Cells;
  /** Cells that differ from those of `before`, ascending; absent when there was no `before`. */
  readonly changed: readonly number[] | undefined;
  /** Counters that are needed: one more than the highest slot. */
  readonly slots: number;
  /** Slots of rules that `before` did not have: zero their counters before the generation judges. */
  readonly fresh: readonly number[];
  /** Some rule has the peer `self`. */
  readonly usesSelf: boolean;
  /** The rule that counts in a slot. */
  rule(slot: number): CompiledRule | undefined;
}

/**
 * Fails with `limit`, naming the rules that multiply, when the tables would grow too large, and with `invalid` for sets
 * that the input lacks.
 */
export function compileUnion(input: UnionInput, options: UnionOptions): CompiledUnion {
  const before = options.before as Union | undefined;
  const draft = new Draft(input, options, before?.state, before === undefined);
  const state = draft.compile();
  if (before === undefined || !draft.wasteful) return new Union(state);
  return new Union(new Draft(input, options, before.state, true).compile());
}

/**
 * What a file holds for `deserializeUnion`, or what is appended to the file that holds `since`, so that it holds `union`
 * instead: what changed, and where all the rest is.
 */
export function serializeUnion(union: CompiledUnion, since?: CompiledUnion): Uint8Array[] {
  return (union as Union).stored(since as Union | undefined);
}

/** Undefined when the bytes are cut short, damaged, or of another version: compile from nothing then. */
export function deserializeUnion(stored: StoredBytes): CompiledUnion | undefined {
  const directory = readDirectory(stored);
  return directory === undefined ? undefined : Union.read(stored, directory);
}
