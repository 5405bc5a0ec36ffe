/** Packets, policies and verdicts that tests of the evaluator speak of. */
import assert from "node:assert/strict";
import type { AppliedPolicy, AppliedRule } from "../../../provider/network-policy/applied";
import { applyPolicy } from "../../../provider/network-policy/applied";
import { track } from "../../../provider/network-policy/connections";
import { evaluate } from "../../../provider/network-policy/evaluate";
import { type PolicyInput, policySchema } from "../../../provider/network-policy/model";
import type { Frame, Packet, Tracked } from "../../../provider/network-policy/packet";

export const https: Packet = {
  ...{ direction: "ingress", source: "192.0.2.9", destination: "198.51.100.1" },
  ...{ protocol: "TCP", sourcePort: 50000, destinationPort: 443 },
};
export const answer: Packet = {
  ...{ direction: "egress", source: "198.51.100.1", destination: "192.0.2.9" },
  ...{ protocol: "TCP", sourcePort: 443, destinationPort: 50000 },
};
export const any: AppliedRule = { name: "any", action: "allow" };
export const web: AppliedRule = { name: "https", action: "allow", ports: [{ protocol: "TCP", port: 443 }] };

export function policy(parts: Partial<AppliedPolicy>): AppliedPolicy {
  return {
    stack: "acme/prod",
    name: "web",
    mode: "enforce",
    infrastructure: true,
    established: "recheck",
    ...parts,
  };
}

export function verdict(policies: AppliedPolicy[], packet: Packet | Frame, tracked: Tracked[] = []) {
  return evaluate(policies, tracked, packet).verdict;
}

/** What is known after packets that all must pass. */
export function after(policies: AppliedPolicy[], ...packets: Packet[]): Tracked[] {
  return packets.reduce<Tracked[]>((tracked, packet) => {
    const evaluation = evaluate(policies, tracked, packet);
    assert.equal(evaluation.verdict, "allow");
    return track(tracked, evaluation);
  }, []);
}

/** As a user writes it. */
export function written(
  input: PolicyInput,
  sets: Record<string, string[]> = {},
  self: string[] = [],
): AppliedPolicy {
  const applied = applyPolicy({ stack: "acme/prod", name: "web" }, policySchema.parse(input), {
    sets: new Map(Object.entries(sets)),
    self,
  });
  assert.ok("policy" in applied);
  return applied.policy;
}

export function ping(parts: Partial<Packet> = {}): Packet {
  return echo(https, 8, parts);
}

export function reply(parts: Partial<Packet> = {}): Packet {
  return echo(answer, 0, parts);
}

function echo({ direction, source, destination }: Packet, type: number, parts: Partial<Packet>): Packet {
  return { direction, source, destination, protocol: "ICMP", type, code: 0, identifier: 7, ...parts };
}
