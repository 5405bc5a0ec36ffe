import assert from "node:assert/strict";
import fc from "fast-check";
import { type Entrypoint, type Judged, REASONS } from "../../../provider/agent/network-policy/loaded";
import type { AppliedPolicy } from "../../../provider/network-policy/applied";
import { compile, type Generation } from "../../support/compiled-union";
import { track } from "../../../provider/network-policy/connections";
import { prepare } from "../../../provider/network-policy/evaluate";
import { protocolNumber, protocolText } from "../../../provider/network-policy/protocols";
import type { Evaluation, Tracked } from "../../../provider/network-policy/packet";
import { closesEverything } from "../bpf/support";
import { conversations, type Sent, traffic, unions } from "../../unit/network-policy/arbitrary";
import { frameOf } from "../../../provider/network-policy/frames";
import { type Counted, DataPlane } from "../../support/data-plane";

/** What the program returns for a packet that passes. */
const PASS = { xdp: 2, tc: 0xffffffff };
const all = process.env["EBPF_TEST_ALL"] === "1";
const UNIONS = 1000;
const PACKETS = 1000;
/** Without connections, of each hook. */
const ALONE = { runs: all ? 1000 : 200, packets: 1000 };
/** Of conversations that go on while the policies change. */
const CHANGING = { runs: all ? 500 : 60, packets: all ? 200 : 50 };

describe("the program and the evaluator", function () {
  this.timeout(3_600_000);
  closesEverything();
  let plane: DataPlane;
  let number = 0n;
  before(() => (plane = new DataPlane({ untracked: 1 })));
  after(() => plane[Symbol.dispose]());

  it(`agree on ${PACKETS} random packets under each of ${UNIONS} random unions`, () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(unions(), traffic(PACKETS), fc.boolean(), (policies, list, xdp) => {
        const generation = compile(policies, { number: ++number });
        plane.forget();
        plane.install(generation);
        follow(plane, policies, generation, list, { xdp, seen });
      }),
      { numRuns: UNIONS, endOnFailure: true },
    );
    assert.deepEqual([...seen].sort(), EVERYTHING);
  });

  for (const hook of ["xdp", "tc"] as const)
    it(`agree at ${hook} without connections, on verdicts and on what is counted`, () => {
      using alone = new DataPlane({ untracked: 1, explain: 0 });
      const seen = new Set<string>();
      fc.assert(
        fc.property(unions(), traffic(ALONE.packets), (union, list) => {
          // what is enforced says that there are no connections
          const policies = union.map((policy, index) => ({
            ...policy,
            ...(index === 0 ? { mode: "enforce" as const } : {}),
            established: "ignore" as const,
          }));
          const generation = compile(policies, { number: ++number });
          alone.forget();
          alone.install(generation);
          const judged = list.filter(({ packet }) =>
            hook === "xdp" ? packet.direction === "ingress" : !("frame" in packet),
          );
          const before = countersOf(alone, generation);
          const expected = judgeAlone(alone, hook, policies, judged, seen);
          const after = countersOf(alone, generation);
          for (const [name, { packets, bytes }] of after) {
            const { packets: packetsBefore, bytes: bytesBefore } = before.get(name)!;
            const counted = { packets: packets - packetsBefore, bytes: bytes - bytesBefore };
            assert.deepEqual(counted, expected.get(name) ?? { packets: 0n, bytes: 0n }, name);
          }
        }),
        { numRuns: ALONE.runs, endOnFailure: true },
      );
      assert.ok(["plain by rule", "plain by default", "plain by unnamed"].every((kind) => seen.has(kind)));
    });

  it("agree on random conversations while the policies change", () => {
    const { runs, packets } = CHANGING;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(unions(), conversations(packets)), { minLength: 2, maxLength: 3 }),
        (phases) => {
          plane.forget();
          let tracked: Tracked[] = [];
          let before: Generation | undefined;
          phases.forEach(([policies, list]) => {
            const options = { number: ++number, ...(before === undefined ? {} : { before }) };
            before = compile(policies, options);
            plane.install(before);
            const sent = list.map((packet) => ({ packet, wire: {} }));
            tracked = follow(plane, policies, before, sent, { tracked });
          });
        },
      ),
      { numRuns: runs, endOnFailure: true },
    );
  });
});

/** What random traffic must have been of, else it shows less than it says. */
const EVERYTHING = [
  ...["IPv4", "IPv6", "TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "other protocol", "error", "tagged"],
  ...["first fragment", "later fragment", "connection", "default", "fragment", "fragment-unknown"],
  ...["infrastructure", "malformed", "not-ip", "rule", "unnamed"],
].sort();

function* kindsOf({ packet, wire }: Sent, { reason }: Evaluation): Generator<string> {
  yield reason;
  if (wire.vlans!.length > 0) yield "tagged";
  if ("frame" in packet) return;
  yield packet.source.includes(":") ? "IPv6" : "IPv4";
  const protocol = protocolText(protocolNumber(packet.protocol));
  yield ["TCP", "UDP", "SCTP", "ICMP", "ICMPv6"].includes(protocol) ? protocol : "other protocol";
  if (packet.fragment !== undefined) yield `${packet.fragment.position} fragment`;
  if (packet.quotes !== undefined) yield "error";
}

interface Following {
  tracked?: readonly Tracked[];
  /** Ingress is judged at XDP. */
  xdp?: boolean;
  /** Collects what the packets were. */
  seen?: Set<string>;
}

function follow(
  plane: DataPlane,
  policies: readonly AppliedPolicy[],
  generation: Generation,
  list: readonly Sent[],
  { tracked = [], xdp = false, seen }: Following,
): Tracked[] {
  let known = [...tracked];
  const evaluate = prepare(policies);
  for (const one of list) {
    const { packet, wire } = one;
    const expected = evaluate(known, packet);
    const malformed = "frame" in packet && packet.frame === "malformed";
    const entrypoint =
      (xdp || malformed) && packet.direction === "ingress" ? "judge_xdp" : `judge_${packet.direction}`;
    const judged = plane.judge(packet.direction, frameOf(packet, wire), entrypoint as Entrypoint);
    try {
      // what a first fragment passed by may be a rule of an earlier generation, whose slot means another one now
      if (expected.reason === "fragment") assert.equal(judged.verdict, expected.verdict);
      else assert.deepEqual(said(judged, generation, expected), comparable(expected));
    } catch (error) {
      throw new Error(`${JSON.stringify(one)} with ${JSON.stringify(known)}`, { cause: error });
    }
    if (seen !== undefined) for (const kind of kindsOf(one, expected)) seen.add(kind);
    known = track(known, expected);
  }
  return known;
}

/** Verdicts of the evaluator, which the program's must equal; answers what counters shall have counted, by name. */
function judgeAlone(
  plane: DataPlane,
  hook: keyof typeof PASS,
  policies: readonly AppliedPolicy[],
  list: readonly Sent[],
  seen: Set<string>,
): Map<string, Counted> {
  const expected = new Map<string, Counted>();
  const count = (name: string, bytes: number): void => {
    const before = expected.get(name) ?? { packets: 0n, bytes: 0n };
    expected.set(name, { packets: before.packets + 1n, bytes: before.bytes + BigInt(bytes) });
  };
  const evaluate = prepare(policies);
  let known: Tracked[] = [];
  for (const { packet, wire } of list) {
    const evaluation = evaluate(known, packet);
    const { verdict, reason, rule, audit } = evaluation;
    const frame = frameOf(packet, wire);
    const program = plane.program(hook === "xdp" ? "judge_xdp" : `judge_${packet.direction}`);
    const { returnValue } = program.testRun({ data: frame });
    assert.equal(returnValue === PASS[hook] ? "allow" : "deny", verdict, JSON.stringify({ packet, wire }));
    count(`${packet.direction} ${reason} ${verdict}`, frame.length);
    if (rule !== undefined) count(JSON.stringify(rule), frame.length);
    if (audit?.rule !== undefined && JSON.stringify(audit.rule) !== JSON.stringify(rule))
      count(JSON.stringify(audit.rule), frame.length);
    if (verdict === "allow" && audit?.verdict === "deny")
      count(`${packet.direction} audit drops`, frame.length);
    if (isPlain({ packet, wire })) seen.add(`plain by ${reason}`);
    known = track(known, evaluation);
  }
  return expected;
}

/** By the names that `judgeAlone` counts under. */
function countersOf(plane: DataPlane, { rules }: Generation): Map<string, Counted> {
  const counters = new Map<string, Counted>();
  for (const [hook, direction] of ["ingress", "egress"].entries()) {
    counters.set(`${direction} audit drops`, plane.counted("audit_drops", hook));
    for (const [index, reason] of REASONS.entries()) {
      const total = (index * 2 + hook) * 2;
      counters.set(`${direction} ${reason} deny`, plane.counted("totals", total));
      counters.set(`${direction} ${reason} allow`, plane.counted("totals", total + 1));
    }
  }
  for (const { slot, id } of rules) counters.set(JSON.stringify(id), plane.counted("rule_counters", slot));
  return counters;
}

/** What `parse_plain` of the program takes. */
function isPlain({ packet, wire }: Sent): boolean {
  if ("frame" in packet || wire.vlans!.length > 0 || (wire.options ?? 0) > 0) return false;
  const ported = [6, 17].includes(protocolNumber(packet.protocol)) && packet.fragment === undefined;
  return ported && !packet.source.includes(":");
}

function comparable({ verdict, reason, rule, audit }: Evaluation) {
  return { verdict, reason, rule, audit: audit && { verdict: audit.verdict, rule: audit.rule } };
}

function said({ verdict, reason, slot, audit }: Judged, { rules }: Generation, expected: Evaluation) {
  const rule = (slot: number | undefined) => rules.find((one) => one.slot === slot)?.id;
  return {
    ...{ verdict, reason },
    rule: rule(slot),
    audit: expected.audit && { verdict: audit.verdict, rule: rule(audit.slot) },
  };
}
