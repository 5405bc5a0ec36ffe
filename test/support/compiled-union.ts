/** Policies as the compiler gets them, chunks of text, and what it makes of them. */
import { createHash } from "node:crypto";
import type { AppliedPolicy, AppliedRule, RuleName } from "../../provider/network-policy/applied";
import { compileUnion, type CompiledUnion, type UnionInput } from "../../provider/network-policy/union";

export interface Generation {
  number: bigint;
  cells: Uint32Array;
  rules: { id: RuleName; slot: number }[];
  union: CompiledUnion;
}

/** What an agent keeps on disk: chunks by their names. */
export class Chunks {
  private readonly texts = new Map<string, Uint8Array>();
  /** Names of the chunks that were read. */
  readonly reads: string[] = [];

  /** Chunks end where a line says so, as with content-defined boundaries: a change leaves the others as they are. */
  of(lines: readonly string[]): { blob: string; count: number }[] {
    const chunks: { blob: string; count: number }[] = [];
    for (let start = 0; start < lines.length;) {
      let end = start + 1;
      while (end < lines.length && digest(lines[end]!).charCodeAt(0) % 4 !== 0) end++;
      const text = lines.slice(start, end).join("\n") + "\n";
      const blob = digest(text);
      this.texts.set(blob, Buffer.from(text));
      chunks.push({ blob, count: end - start });
      start = end;
    }
    return chunks;
  }

  readonly read = (blob: string): Uint8Array => {
    this.reads.push(blob);
    return this.texts.get(blob)!;
  };
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

export function inputOf(policies: readonly AppliedPolicy[], chunks: Chunks): UnionInput {
  return {
    policies: policies.map(({ ingress, egress, ...policy }) => ({
      ...policy,
      ...(ingress === undefined ? {} : { ingress: chunks.of(ingress.map((rule) => line(rule, "from"))) }),
      ...(egress === undefined ? {} : { egress: chunks.of(egress.map((rule) => line(rule, "to"))) }),
      sets: {},
    })),
    sets: {},
    self: [],
  };
}

function line({ name, action, peers, ports }: AppliedRule, side: "from" | "to"): string {
  const list = peers?.flatMap(({ cidrs, except }) =>
    cidrs.map((cidr) => ({ cidr, ...(except === undefined ? {} : { except }) })),
  );
  return JSON.stringify({ action, ...(list === undefined ? {} : { [side]: list }), name, ports });
}

export function compile(
  policies: readonly AppliedPolicy[],
  { number, before, limit }: { number: bigint; before?: Generation; limit?: number },
  chunks = new Chunks(),
): Generation {
  const union = compileUnion(inputOf(policies, chunks), {
    ...{ number, read: chunks.read },
    ...(before === undefined ? {} : { before: before.union }),
    ...(limit === undefined ? {} : { limit }),
  });
  return generationOf(union);
}

export function generationOf(union: CompiledUnion): Generation {
  const rules = Array.from({ length: union.slots }, (_, slot) => ({ slot, id: union.rule(slot)?.id }));
  return {
    ...{ union, number: union.number, cells: union.cells.flat() },
    rules: rules.filter((rule): rule is { slot: number; id: RuleName } => rule.id !== undefined),
  };
}
