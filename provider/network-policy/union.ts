/**
 * The compiler as the agent calls it: policies as lists of chunks in, one generation out, with all that the next one
 * needs to compile a change only.
 */
import { EbpfError } from "../errors";
import type { TextChunk } from "../protocol/policy";
import { applyPolicy, type AppliedPolicy, type RuleName } from "./applied";
import { CELL_WORDS } from "./cells";
import { changedCells, compile, type Layout } from "./compile";
import { policySchema } from "./model";

export interface UnionPolicy {
  /** `<project>/<stack>`. */
  stack: string;
  name: string;
  mode: "enforce" | "audit";
  infrastructure: boolean;
  established: "recheck" | "keep";
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
  /** Most cells of 64 bytes. */
  limit?: number;
  /** The text of a chunk. Not called for chunks that `before` was compiled from. */
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
  readonly changed?: readonly number[];
  /** Counters that are needed: one more than the highest slot. */
  readonly slots: number;
  /** Slots of rules that `before` did not have: zero their counters before the generation judges. */
  readonly fresh: readonly number[];
  /** Some rule has the peer `self`. */
  readonly usesSelf: boolean;
  /** The rule that counts in a slot. */
  rule(slot: number): CompiledRule | undefined;
}

/** Where a serialised union lies: a file, read where it is needed as long as the union or one compiled from it is. */
export interface StoredBytes {
  size: number;
  /** A copy that the reader may keep. */
  read(offset: number, length: number): Uint8Array;
}

/** The cells of a generation, 16 words each. */
export class Cells {
  constructor(private readonly words: Uint32Array) {}

  get count(): number {
    return this.words.length / CELL_WORDS;
  }

  /** A copy of `count` cells. */
  copy(cell: number, count = 1): Uint32Array {
    return this.words.slice(cell * CELL_WORDS, (cell + count) * CELL_WORDS);
  }

  /** Numbers of the cells that differ from those of an earlier generation, or that it did not have; ascending. */
  changedSince(earlier: Cells): number[] {
    return changedCells(earlier.words, this.words).filter((cell) => cell < this.count);
  }

  /** All words in one array. */
  flat(): Uint32Array {
    return this.words;
  }
}

interface State {
  number: string;
  layout: Layout;
  rules: [slot: number, rule: CompiledRule][];
  changed?: readonly number[];
  slots: number;
  fresh: readonly number[];
  usesSelf: boolean;
}

class Union implements CompiledUnion {
  readonly number: bigint;
  readonly changed?: readonly number[];
  readonly slots: number;
  readonly fresh: readonly number[];
  readonly usesSelf: boolean;
  private readonly rules: Map<number, CompiledRule>;

  constructor(
    readonly state: State,
    readonly cells: Cells,
  ) {
    this.number = BigInt(state.number);
    if (state.changed !== undefined) this.changed = state.changed;
    this.slots = state.slots;
    this.fresh = state.fresh;
    this.usesSelf = state.usesSelf;
    this.rules = new Map(state.rules);
  }

  rule(slot: number): CompiledRule | undefined {
    return this.rules.get(slot);
  }
}

export function compileUnion(
  { policies, sets, self }: UnionInput,
  { number, before, limit, read }: UnionOptions,
): CompiledUnion {
  const earlier = before as Union | undefined;
  const lines = (chunks: readonly TextChunk[]) =>
    chunks.flatMap(({ blob }) => Buffer.from(read(blob)).toString("utf8").split("\n").filter(Boolean));
  const networks = new Map(Object.entries(sets).map(([key, chunks]) => [key, lines(chunks)]));
  let usesSelf = false;
  const applied = policies.map(({ stack, name, sets: named, ingress, egress, ...rest }): AppliedPolicy => {
    const rules = (chunks: readonly TextChunk[]) => lines(chunks).map((line) => JSON.parse(line) as unknown);
    const policy = policySchema.parse({
      ...rest,
      ...(ingress === undefined ? {} : { ingress: rules(ingress) }),
      ...(egress === undefined ? {} : { egress: rules(egress) }),
    });
    usesSelf ||=
      (policy.ingress ?? []).some(({ from = [] }) => from.some((peer) => peer.self === true)) ||
      (policy.egress ?? []).some(({ to = [] }) => to.some((peer) => peer.self === true));
    const own = Object.entries(named).map(([as, key]) => [as, networks.get(key) ?? []] as const);
    const result = applyPolicy({ stack, name }, policy, { sets: new Map(own), self });
    if ("policy" in result) return result.policy;
    const problems = result.problems.map(({ property, reason }) => `${property}: ${reason}`).join("; ");
    throw new EbpfError("invalid", `compile ${stack} ${name}: ${problems}`, {}, result);
  });
  const generation = compile(applied, {
    number,
    ...(earlier === undefined
      ? {}
      : { before: { cells: earlier.cells.flat(), layout: earlier.state.layout } }),
    ...(limit === undefined ? {} : { limit }),
  });
  const cells = new Cells(generation.cells);
  const known = new Set(earlier?.state.rules.map(([slot]) => slot));
  const retired = new Set(generation.layout.places.retired);
  const slots = generation.rules.map(({ slot }) => slot);
  const state: State = {
    number: String(number),
    layout: generation.layout,
    rules: generation.rules.map(({ id, rule, mode, slot }) => [slot, { id, action: rule.action, mode }]),
    ...(earlier === undefined ? {} : { changed: cells.changedSince(earlier.cells) }),
    slots: Math.max(0, ...slots.map((slot) => slot + 1)),
    fresh: slots.filter((slot) => !known.has(slot) || retired.has(slot)),
    usesSelf,
  };
  return new Union(state, cells);
}

/** What a file holds for `deserializeUnion`, or what is appended to a file that holds `since`. */
export function serializeUnion(union: CompiledUnion, since?: CompiledUnion): Uint8Array[] {
  const { state, cells } = union as Union;
  void since; // the last union in a file is the one that counts
  const words = cells.flat();
  const text = Buffer.from(JSON.stringify(state));
  const sizes = new Uint32Array([words.byteLength, text.length]);
  return [
    new Uint8Array(words.buffer, words.byteOffset, words.byteLength),
    text,
    new Uint8Array(sizes.buffer),
  ];
}

/** Undefined when the file is cut short, or of another version: compile from nothing then. */
export function deserializeUnion({ size, read }: StoredBytes): CompiledUnion | undefined {
  if (size < 8) return undefined;
  const sizes = Buffer.from(read(size - 8, 8));
  const [words, text] = [sizes.readUInt32LE(0), sizes.readUInt32LE(4)];
  if (words + text + 8 > size) return undefined;
  const state = JSON.parse(Buffer.from(read(size - 8 - text, text)).toString("utf8")) as State;
  const cells = Uint8Array.from(read(size - 8 - text - words, words));
  return new Union(state, new Cells(new Uint32Array(cells.buffer)));
}
