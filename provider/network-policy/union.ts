/**
 * The union of all policies that judge one set of interfaces, from chunks of text to the cells of a generation: the
 * agent's entry to the compiler. Chunks are named by digest, so what did not change need not be read again.
 */
import { EbpfError } from "../errors";
import type { TextChunk } from "../protocol/policy";
import { applyPolicy, type AppliedPolicy } from "./applied";
import { CELL_WORDS } from "./cells";
import { changedCells, compile, type Layout } from "./compile";
import type { CheckedPolicy } from "./model";
import type { OrderedRule } from "./order";

export interface UnionPolicy {
  /** `<project>/<stack>`. */
  stack: string;
  name: string;
  mode: "enforce" | "audit";
  infrastructure: boolean;
  established: "recheck" | "keep";
  ingress?: readonly TextChunk[];
  egress?: readonly TextChunk[];
  /** Name of a set as rules write it → key in `UnionInput.sets`. */
  sets: Readonly<Record<string, string>>;
}

export interface UnionInput {
  policies: readonly UnionPolicy[];
  sets: Readonly<Record<string, readonly TextChunk[]>>;
  /** Addresses of the host, without prefix. */
  self: readonly string[];
}

export interface CompiledUnion {
  number: bigint;
  cells: Uint32Array;
  rules: readonly OrderedRule[];
  layout: Layout;
  /** Some rule has the peer `self`. */
  usesSelf: boolean;
  /** Cells that differ from `before`, ascending; absent: compared with nothing, or laid out anew. */
  changed?: readonly number[];
  /** Counter slots whose rule is not the one that they had in `before`: zero them before this generation judges. */
  fresh: readonly number[];
}

export interface UnionOptions {
  /** Never used before on the host. */
  number: bigint;
  before?: CompiledUnion;
  /** Most cells of 64 bytes. */
  limit?: number;
  /** Bytes of a chunk. */
  read(digest: string): Uint8Array;
}

/** Fails with `limit` when the tables would grow too large, with `invalid` for a set that the input lacks. */
export function compileUnion(
  input: UnionInput,
  { number, before, limit, read }: UnionOptions,
): CompiledUnion {
  const lines = (chunks: readonly TextChunk[]) =>
    chunks.flatMap(({ blob }) => Buffer.from(read(blob)).toString("utf8").split("\n").slice(0, -1));
  const networks = new Map(Object.entries(input.sets).map(([key, chunks]) => [key, lines(chunks)]));
  let usesSelf = false;
  const policies = input.policies.map((policy): AppliedPolicy => {
    const { stack, name, mode, infrastructure, established } = policy;
    const rules = (chunks: readonly TextChunk[]) => lines(chunks).map((line) => JSON.parse(line) as unknown);
    const checked = {
      ...{ mode, infrastructure, established },
      ...(policy.ingress === undefined ? {} : { ingress: rules(policy.ingress) }),
      ...(policy.egress === undefined ? {} : { egress: rules(policy.egress) }),
    } as CheckedPolicy;
    usesSelf ||=
      (checked.ingress ?? []).some(({ from = [] }) => from.some(({ self }) => self === true)) ||
      (checked.egress ?? []).some(({ to = [] }) => to.some(({ self }) => self === true));
    const sets = new Map(
      Object.entries(policy.sets).flatMap(([used, key]) => {
        const known = networks.get(key);
        return known === undefined ? [] : [[used, known] as const];
      }),
    );
    const applied = applyPolicy({ stack, name }, checked, { sets, self: input.self });
    if ("policy" in applied) return applied.policy;
    const { problems } = applied;
    throw new EbpfError(
      "invalid",
      `compile policy ${stack} ${name}: ${problems[0]!.reason}`,
      {},
      { problems },
    );
  });
  const { cells, rules, layout } = compile(policies, {
    number,
    ...(before === undefined ? {} : { before }),
    ...(limit === undefined ? {} : { limit }),
  });
  const known = before?.layout.places.rules ?? {};
  return {
    ...{ number, cells, rules, layout, usesSelf },
    ...(before === undefined ? {} : { changed: changedCells(before.cells, cells) }),
    fresh: Object.entries(layout.places.rules).flatMap(([key, [slot]]) =>
      known[key]?.[0] === slot ? [] : [slot],
    ),
  };
}

const MAGIC = 0x4e504331;

/** What `before` of a later process needs, in pieces of which most stay the same from one generation to the next. */
export function serializeUnion({ number, cells, rules, layout, usesSelf }: CompiledUnion): Uint8Array[] {
  const text = Buffer.from(JSON.stringify({ number: String(number), rules, layout, usesSelf }));
  const head = Buffer.alloc(8);
  head.writeUInt32LE(MAGIC, 0);
  head.writeUInt32LE(text.length, 4);
  return [head, text, Buffer.from(cells.buffer, cells.byteOffset, cells.byteLength)];
}

/** The pieces joined; `undefined` for what another version wrote. */
export function deserializeUnion(bytes: Buffer): CompiledUnion | undefined {
  if (bytes.length < 8 || bytes.readUInt32LE(0) !== MAGIC) return undefined;
  const end = 8 + bytes.readUInt32LE(4);
  const rest = bytes.length - end;
  if (rest <= 0 || rest % (CELL_WORDS * 4) !== 0) return undefined;
  const { number, ...parts } = JSON.parse(bytes.toString("utf8", 8, end)) as Omit<CompiledUnion, "number"> & {
    number: string;
  };
  const cells = new Uint32Array(rest / 4);
  Buffer.from(cells.buffer).set(bytes.subarray(end));
  return { ...parts, number: BigInt(number), cells, fresh: [] };
}
