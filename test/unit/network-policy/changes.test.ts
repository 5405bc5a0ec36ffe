import assert from "node:assert/strict";
import fc from "fast-check";
import type { AppliedPolicy } from "../../../provider/network-policy/applied";
import { CELL_WORDS } from "../../../provider/network-policy/cells";
import { evaluate } from "../../../provider/network-policy/evaluate";
import { lookup } from "../../../provider/network-policy/lookup";
import { type CheckedPolicy, policySchema } from "../../../provider/network-policy/model";
import { applyPolicy } from "../../../provider/network-policy/applied";
import type { Packet } from "../../../provider/network-policy/packet";
import { protocolNumber } from "../../../provider/network-policy/protocols";
import {
  compileUnion,
  type CompiledUnion,
  deserializeUnion,
  serializeUnion,
  type UnionInput,
} from "../../../provider/network-policy/union";
import { cidr, packets, portEntry, serviceOf } from "./arbitrary";
import { Chunks } from "../../support/compiled-union";

const SETS = ["a", "b", "c"] as const;

/** What a host holds: rules with peers of every kind, and sets that they share. */
interface Held {
  policies: { stack: string; mode: "enforce" | "audit"; ingress: object[]; egress?: object[] }[];
  sets: Record<(typeof SETS)[number], string[]>;
  self: string[];
}

const peer = fc.oneof(
  fc.record({ cidr }),
  fc.record({ cidr: fc.constantFrom("10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32") }).chain((outer) =>
    fc
      .array(
        cidr.filter(
          (inner) =>
            policySchema.safeParse({ ingress: [{ name: "x", from: [{ ...outer, except: [inner] }] }] })
              .success,
        ),
        { maxLength: 2 },
      )
      .map((except) => ({ ...outer, except })),
  ),
  fc.record({ addressSet: fc.constantFrom(...SETS) }),
  fc.constant({ self: true as const }),
  fc.constant({ any: true as const }),
);

const ruleBody = fc.record(
  {
    action: fc.constantFrom("allow" as const, "allow" as const, "deny" as const),
    peers: fc.array(peer, { minLength: 1, maxLength: 3 }),
    ports: fc.array(portEntry, { minLength: 1, maxLength: 2 }),
  },
  { requiredKeys: ["action"] },
);

function rules(side: "from" | "to") {
  return fc
    .uniqueArray(fc.tuple(fc.nat({ max: 15 }), ruleBody), { selector: ([name]) => name, maxLength: 8 })
    .map((list) =>
      list.map(([name, { action, peers, ports }]) => ({
        action,
        ...(peers === undefined ? {} : { [side]: peers }),
        name: `rule ${name}`,
        ...(ports === undefined ? {} : { ports }),
      })),
    );
}

const networks = fc.array(cidr, { maxLength: 12 });
const held: fc.Arbitrary<Held> = fc.record({
  policies: fc.array(
    fc.record(
      {
        stack: fc.constantFrom("acme/prod", "acme/dev"),
        mode: fc.constantFrom("enforce" as const, "enforce" as const, "audit" as const),
        ingress: rules("from"),
        egress: rules("to"),
      },
      { requiredKeys: ["stack", "mode", "ingress"] },
    ),
    { maxLength: 3 },
  ),
  sets: fc.record({ a: networks, b: networks, c: networks }),
  self: fc.subarray(["10.1.2.3", "198.51.100.7", "2001:db8::1"]),
});

/** What becomes another from one generation to the next; often only one of many. */
const change: fc.Arbitrary<(before: Held) => Held> = fc.oneof(
  held.map((next) => () => next),
  fc
    .record({ name: fc.constantFrom(...SETS), list: networks })
    .map(({ name, list }) => (before: Held) => ({ ...before, sets: { ...before.sets, [name]: list } })),
  fc
    .record({ name: fc.constantFrom(...SETS), drop: fc.nat(), add: cidr })
    .map(({ name, drop, add }) => (before: Held) => {
      const list = before.sets[name].filter((_, index) => index !== drop % 12);
      return { ...before, sets: { ...before.sets, [name]: [...list, add] } };
    }),
  fc.record({ rules: rules("from"), at: fc.nat({ max: 2 }) }).map(({ rules, at }) => (before: Held) => ({
    ...before,
    policies: before.policies.map((policy, index) =>
      index !== at
        ? policy
        : { ...policy, ingress: [...policy.ingress.slice(1, 5), ...rules.slice(0, 2)].filter(uniqueName) },
    ),
  })),
  fc.subarray(["10.1.2.3", "10.1.2.4"]).map((self) => (before: Held) => ({ ...before, self })),
);

function uniqueName(rule: object, index: number, list: object[]): boolean {
  const name = (rule: object) => (rule as { name: string }).name;
  return list.findIndex((other) => name(other) === name(rule)) === index;
}

const COMMON = { infrastructure: true, established: "recheck" } as const;

function inputOf({ policies, sets, self }: Held, chunks: Chunks): UnionInput {
  const lines = (list: object[]) => chunks.of(list.map((rule) => JSON.stringify(rule)));
  return {
    policies: policies.map(({ stack, mode, ingress, egress }, index) => ({
      ...{ stack, name: `policy ${index}`, mode, ...COMMON, ingress: lines(ingress) },
      ...(egress === undefined ? {} : { egress: lines(egress) }),
      sets: { a: "key of a", b: "key of b", c: "key of c" },
    })),
    sets: {
      "key of a": chunks.of(sets.a),
      "key of b": chunks.of(sets.b),
      "key of c": chunks.of(sets.c),
    },
    self,
  };
}

function applied({ policies, sets, self }: Held): AppliedPolicy[] {
  return policies.map(({ stack, mode, ingress, egress }, index) => {
    const checked = {
      mode,
      ...COMMON,
      ingress,
      ...(egress === undefined ? {} : { egress }),
    } as CheckedPolicy;
    const named = { stack, name: `policy ${index}` };
    const result = applyPolicy(named, checked, { sets: new Map(Object.entries(sets)), self });
    assert.ok("policy" in result);
    return result.policy;
  });
}

function agree(policies: AppliedPolicy[], union: CompiledUnion, list: readonly Packet[]): void {
  const words = union.cells.flat();
  for (const packet of list) {
    const { verdict, rule, audit, reason } = evaluate(policies, [], packet);
    if (reason === "infrastructure") continue; // is not the cells' business
    const answer = lookup(words, packet.direction, {
      address: packet.direction === "ingress" ? packet.source : packet.destination,
      protocol: protocolNumber(packet.protocol),
      service: serviceOf(packet),
    });
    const id = (slot: number | undefined) => (slot === undefined ? undefined : union.rule(slot)?.id);
    assert.deepEqual(
      {
        verdict: answer.verdict,
        rule: id(answer.slot),
        audit: answer.audit && [answer.audit.verdict, id(answer.audit.slot)],
      },
      { verdict, rule, audit: audit && [audit.verdict, audit.rule] },
    );
  }
}

/** What a file would hold. */
class Stored {
  private bytes = Buffer.alloc(0);

  keep(union: CompiledUnion, since?: CompiledUnion): void {
    const pieces = serializeUnion(union, since);
    this.bytes = Buffer.concat(since === undefined ? pieces : [this.bytes, ...pieces]);
  }

  load(): CompiledUnion {
    const { bytes } = this;
    const read = (at: number, length: number) => Uint8Array.from(bytes.subarray(at, at + length));
    return deserializeUnion({ size: bytes.length, read })!;
  }

  cut(by: number): CompiledUnion | undefined {
    const bytes = this.bytes.subarray(0, this.bytes.length - by);
    return deserializeUnion({ size: bytes.length, read: (at, length) => bytes.subarray(at, at + length) });
  }
}

const list = fc.array(packets, { minLength: 15, maxLength: 15 });

describe("a generation compiled from the one before", () => {
  it("decides what the evaluator decides after any changes of rules, sets and own addresses", function () {
    this.timeout(120_000);
    fc.assert(
      fc.property(
        held,
        fc.array(fc.tuple(change, fc.boolean(), list), { minLength: 3, maxLength: 6 }),
        (first, changes) => {
          const chunks = new Chunks();
          const stored = new Stored();
          let state = first;
          let before = compileUnion(inputOf(state, chunks), { number: 1n, read: chunks.read });
          stored.keep(before);
          changes.forEach(([change, reload, packets], index) => {
            state = change(state);
            if (reload) before = stored.load();
            const input = inputOf(state, chunks);
            const union = compileUnion(input, { number: BigInt(index + 2), before, read: chunks.read });
            agree(applied(state), union, packets);
            assert.deepEqual(union.changed, differing(before.cells.flat(), union.cells.flat()));
            assert.ok(
              union.cells.count <=
                2 * compileUnion(input, { number: 9n, read: chunks.read }).cells.count + 1024,
            );
            stored.keep(union, before);
            before = union;
          });
        },
      ),
      { numRuns: 150 },
    );
  });

  it("is read from where it was kept, and nothing is where the file is cut short", () => {
    fc.assert(
      fc.property(held, change, list, fc.integer({ min: 1, max: 5000 }), (state, change, packets, cut) => {
        const chunks = new Chunks();
        const stored = new Stored();
        const first = compileUnion(inputOf(state, chunks), { number: 1n, read: chunks.read });
        stored.keep(first);
        const next = change(state);
        const union = compileUnion(inputOf(next, chunks), { number: 2n, before: first, read: chunks.read });
        stored.keep(union, first);
        const loaded = stored.load();
        agree(applied(next), loaded, packets);
        assert.deepEqual(loaded.cells.flat(), union.cells.flat());
        for (const field of ["number", "changed", "fresh", "slots", "usesSelf"] as const) {
          assert.deepEqual(loaded[field], union[field]);
        }
        assert.ok([undefined, 1n].includes(stored.cut(cut)?.number));
      }),
      { numRuns: 50 },
    );
  });

  it("reads no chunk that the one before had", () => {
    fc.assert(
      fc.property(held, change, (state, change) => {
        const chunks = new Chunks();
        const first = inputOf(state, chunks);
        const before = compileUnion(first, { number: 1n, read: chunks.read });
        const known = new Set(chunks.reads);
        chunks.reads.length = 0;
        compileUnion(first, { number: 2n, before, read: chunks.read });
        assert.deepEqual(chunks.reads, []);
        compileUnion(inputOf({ ...change(state), policies: state.policies }, chunks), {
          number: 3n,
          before,
          read: chunks.read,
        });
        assert.deepEqual(
          chunks.reads.filter((blob) => known.has(blob)),
          [],
        );
      }),
    );
  });

  it("leaves the one before as it is", () => {
    fc.assert(
      fc.property(held, change, (state, change) => {
        const chunks = new Chunks();
        const before = compileUnion(inputOf(state, chunks), { number: 1n, read: chunks.read });
        const was = [before.cells.flat(), serializeUnion(before)];
        compileUnion(inputOf(change(state), chunks), { number: 2n, before, read: chunks.read });
        assert.deepEqual([before.cells.flat(), serializeUnion(before)], was);
      }),
      { numRuns: 50 },
    );
  });
});

function differing(from: Uint32Array, to: Uint32Array): number[] {
  return Array.from({ length: to.length / CELL_WORDS }, (_, cell) => cell).filter((cell) => {
    const [was, is] = [from, to].map((words) => words.subarray(cell * CELL_WORDS, (cell + 1) * CELL_WORDS));
    return (
      Buffer.compare(
        Buffer.from(Uint32Array.from(was!).buffer),
        Buffer.from(Uint32Array.from(is!).buffer),
      ) !== 0
    );
  });
}
