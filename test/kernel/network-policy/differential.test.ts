import assert from "node:assert/strict";
import fc from "fast-check";
import type { Judged } from "../../../provider/agent/network-policy/loaded";
import type { AppliedPolicy } from "../../../provider/network-policy/applied";
import { compile, type Generation } from "../../support/compiled-union";
import { track } from "../../../provider/network-policy/connections";
import { evaluate } from "../../../provider/network-policy/evaluate";
import type { Evaluation, Packet, Tracked } from "../../../provider/network-policy/packet";
import { closesEverything } from "../bpf/support";
import { conversations, packets, unions } from "../../unit/network-policy/arbitrary";
import { frameOf } from "../../../provider/network-policy/frames";
import { DataPlane } from "../../support/data-plane";

const all = process.env["EBPF_TEST_ALL"] === "1";
const UNIONS = all ? 1000 : 60;
const PACKETS = all ? 1000 : 50;

describe("the program and the evaluator", function () {
  this.timeout(all ? 3_600_000 : 60_000);
  closesEverything();
  let plane: DataPlane;
  let number = 0n;
  before(() => (plane = new DataPlane()));
  after(() => plane[Symbol.dispose]());

  it("agree on random packets under random unions", () => {
    fc.assert(
      fc.property(
        unions(),
        fc.array(packets, { minLength: PACKETS, maxLength: PACKETS }),
        (policies, list) => {
          const generation = compile(policies, { number: ++number });
          plane.forget();
          plane.install(generation);
          follow(plane, policies, generation, list);
        },
      ),
      { numRuns: UNIONS, endOnFailure: true },
    );
  });

  it("agree on random conversations while the policies change", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(unions(), conversations(PACKETS)), { minLength: 2, maxLength: 3 }),
        (phases) => {
          plane.forget();
          let tracked: Tracked[] = [];
          let before: Generation | undefined;
          phases.forEach(([policies, list]) => {
            const options = { number: ++number, ...(before === undefined ? {} : { before }) };
            before = compile(policies, options);
            plane.install(before);
            tracked = follow(plane, policies, before, list, tracked);
          });
        },
      ),
      { numRuns: UNIONS, endOnFailure: true },
    );
  });
});

function follow(
  plane: DataPlane,
  policies: readonly AppliedPolicy[],
  generation: Generation,
  list: readonly Packet[],
  tracked: readonly Tracked[] = [],
): Tracked[] {
  let known = [...tracked];
  for (const packet of list) {
    const expected = evaluate(policies, known, packet);
    const judged = plane.judge(packet.direction, frameOf(packet));
    try {
      // what a first fragment passed by may be a rule of an earlier generation, whose slot means another one now
      if (expected.reason === "fragment") assert.equal(judged.verdict, expected.verdict);
      else assert.deepEqual(said(judged, generation, expected), comparable(expected));
    } catch (error) {
      throw new Error(`${JSON.stringify(packet)} with ${JSON.stringify(known)}`, { cause: error });
    }
    known = track(known, expected);
  }
  return known;
}

function comparable({ verdict, rule, audit }: Evaluation) {
  return { verdict, rule, audit: audit && { verdict: audit.verdict, rule: audit.rule } };
}

function said({ verdict, slot, audit }: Judged, { rules }: Generation, expected: Evaluation) {
  const rule = (slot: number | undefined) => rules.find((one) => one.slot === slot)?.id;
  return {
    verdict,
    rule: rule(slot),
    audit: expected.audit && { verdict: audit.verdict, rule: rule(audit.slot) },
  };
}
