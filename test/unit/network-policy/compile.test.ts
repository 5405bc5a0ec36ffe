import assert from "node:assert/strict";
import fc from "fast-check";
import { formatAddress, masked } from "../../../provider/btf";
import { EbpfError } from "../../../provider/errors";
import type { AppliedPolicy, AppliedRule } from "../../../provider/network-policy/applied";
import { CELL_WORDS, kindOf, SET, SPREAD, TABLE } from "../../../provider/network-policy/cells";
import { compile, type Generation } from "../../support/compiled-union";
import { manyNetworks, packetsAmong } from "../../support/many-networks";
import { evaluate } from "../../../provider/network-policy/evaluate";
import { lookup } from "../../../provider/network-policy/lookup";
import type { Packet, Verdict } from "../../../provider/network-policy/packet";
import { protocolNumber } from "../../../provider/network-policy/protocols";
import { laterFragment, packets, serviceOf, unions } from "./arbitrary";

describe("compiled cells", () => {
  it("decide what the evaluator decides, by the same rule, for random unions and packets", function () {
    this.timeout(60_000);
    fc.assert(
      fc.property(unions(), fc.array(packets, { minLength: 30, maxLength: 30 }), (policies, list) => {
        const generation = compile(policies, { number: 1n });
        for (const packet of list) agree(policies, generation, packet);
      }),
      { numRuns: 300 },
    );
  });

  it("decide the same after any chain of changes as when compiled from nothing", function () {
    this.timeout(60_000);
    fc.assert(
      fc.property(
        fc.array(unions({ policies: 3 }), { minLength: 3, maxLength: 3 }),
        fc.array(packets, { minLength: 20, maxLength: 20 }),
        (chain, list) => {
          let generation: Generation | undefined;
          for (const [index, policies] of chain.entries()) {
            const before = generation;
            generation = compile(policies, {
              number: BigInt(index + 1),
              ...(before === undefined ? {} : { before }),
            });
            for (const packet of list) agree(policies, generation, packet);
          }
        },
      ),
      { numRuns: 100 },
    );
  });
});

/** Nested networks, ranges and sets of both families, enough of them for the table and the wide layer. */
function large(): AppliedPolicy[] {
  let seed = 7;
  const below = (limit: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * limit);
  };
  const ipv4 = () => {
    const prefix = 8 + below(25);
    return `${formatAddress(masked(Buffer.of(10 + below(8), below(256), below(256), below(256)), prefix))}/${prefix}`;
  };
  const ipv6 = () => {
    const prefix = 32 + below(97);
    const bytes = Buffer.from("20010db8000000000000000000000000", "hex");
    for (let at = 4; at < 16; at++) bytes[at] = below(at === 5 ? 256 : 3);
    return `${formatAddress(masked(bytes, prefix))}/${prefix}`;
  };
  const ingress = Array.from({ length: 1500 }, (_, index): AppliedRule => {
    const port = 1 + below(60000);
    return {
      name: `rule ${index}`,
      action: below(10) === 0 ? "deny" : "allow",
      peers: [{ cidrs: index % 3 === 0 ? [ipv6()] : [ipv4(), ipv4()] }],
      ...(index % 7 === 0 ? {} : { ports: [{ protocol: "TCP", port, endPort: port + below(3) * 1000 }] }),
    };
  });
  return [{ ...POLICY, ingress }];
}

const POLICY = {
  stack: "acme/prod",
  name: "large",
  mode: "enforce",
  infrastructure: true,
  established: "recheck",
} as const;

describe("a large union", () => {
  const policies = large();
  let generation: Generation;
  const edges = policies[0]!.ingress!.flatMap(({ peers }) => peers!.flatMap(({ cidrs }) => cidrs));
  const packetsOf = (count: number, from = 0) =>
    Array.from({ length: count }, (_, index): Packet => {
      const source = edges[(index * 37 + from) % edges.length]!.split("/")[0]!;
      const destination = source.includes(":") ? "2001:db8::1" : "198.51.100.1";
      const { ports } = policies[0]!.ingress![(index * 31) % 1500]!;
      const destinationPort = (ports?.[0]?.endPort ?? 1) + (index % 2);
      return { direction: "ingress", source, destination, protocol: "TCP", sourcePort: 1, destinationPort };
    });

  it("decides what the evaluator decides", function () {
    this.timeout(60_000);
    generation = compile(policies, { number: 1n });
    assert.notEqual(generation.cells[CELL_WORDS + SET.table4], 0, "large enough for the table");
    for (const packet of packetsOf(60)) agree(policies, generation, packet);
  });

  it("changes few cells when one rule changes, and keeps the slots of the others", function () {
    this.timeout(60_000);
    const [policy] = policies;
    const ingress = policy!.ingress!.map((rule, index) =>
      index === 700 ? { ...rule, peers: [{ cidrs: ["10.77.0.0/19"] }] } : rule,
    );
    const changed = [
      {
        ...policy!,
        ingress: [
          ...ingress,
          { name: "one more", action: "deny" as const, ports: [{ protocol: "UDP" as const }] },
        ],
      },
    ];
    const next = compile(changed, { number: 2n, before: generation });
    assert.ok(next.union.changed!.length < 100);
    for (const { id, slot } of generation.rules) {
      assert.equal(next.rules.find((rule) => rule.id.name === id.name)?.slot, slot);
    }
    for (const packet of packetsOf(40, 11)) agree(changed, next, packet);
  });

  it("beyond the limit names the rules that multiply, before it is built", () => {
    assert.throws(
      () => compile(policies, { number: 1n, limit: 1000 }),
      (error) =>
        EbpfError.is(error, "limit") &&
        /"rule \d+" of acme\/prod large/.test(error.message) &&
        Number(error.details.needed) > 1000,
    );
  });
});

describe("many IPv6 networks that begin alike", () => {
  const at = (number: bigint, policies: AppliedPolicy[], before?: Generation) =>
    compile(policies, { number, ...(before === undefined ? {} : { before }) });
  const kindBelow = ({ cells }: Generation, group: number) =>
    kindOf(cells[cells[CELL_WORDS + SET.table6]! * CELL_WORDS + group]!);

  it("have a table of their second group: from nothing, once they are enough, and through changes", function () {
    this.timeout(60_000);
    const [few, many] = [manyNetworks(700), manyNetworks(4000)];
    const grown = at(1n, [few]);
    assert.equal(kindBelow(grown, 0x2001), SPREAD);
    const chain = [
      [at(2n, [many]), [many]],
      [at(3n, [many], grown), [many]],
    ] as [Generation, AppliedPolicy[]][];
    const all = { name: "all", action: "deny" as const, peers: [{ cidrs: ["2000::/15"] }] };
    const fewer = manyNetworks(3500);
    for (const policies of [[{ ...many, ingress: [...many.ingress!, all] }], [fewer], [few], [many]])
      chain.push([at(BigInt(chain.length + 2), policies, chain.at(-1)![0]), policies]);
    for (const [generation, policies] of chain) {
      assert.equal(kindBelow(generation, 0x2001), TABLE);
      for (const packet of packetsAmong(4000, 50)) agree(policies, generation, packet);
    }
  });
});

function agree(policies: readonly AppliedPolicy[], { cells, rules }: Generation, packet: Packet): void {
  for (const asked of [packet, laterFragment(packet, 1)]) {
    const { verdict, rule, audit, reason } = evaluate(policies, [], asked);
    if (reason === "infrastructure") continue; // is not the cells' business
    const service = asked === packet ? serviceOf(packet) : undefined;
    const answer = lookup(cells, packet.direction, {
      address: packet.direction === "ingress" ? packet.source : packet.destination,
      protocol: protocolNumber(packet.protocol),
      ...(service === undefined ? {} : { service }),
    });
    const named = ({ verdict, slot }: { verdict: Verdict["verdict"]; slot?: number }) => ({
      verdict,
      rule: rules.find((one) => one.slot === slot)?.id,
    });
    assert.deepEqual(
      { ...named(answer), audit: answer.audit && named(answer.audit) },
      { verdict, rule, audit: audit && { verdict: audit.verdict, rule: audit.rule } },
    );
  }
}
