/**
 * `pulumi-ebpf/network-policy`: what a policy does to a packet, for unit tests of programs. No host, no Pulumi.
 *
 *     import { evaluate, policy } from "pulumi-ebpf/network-policy";
 *
 *     const web = policy("web", { ingress }, { sets: { offices: ["198.51.100.0/24"] } });
 *     const packet = { direction: "ingress", source: "192.0.2.9", destination: "203.0.113.1", protocol: "TCP" } as const;
 *     evaluate([web], [], { ...packet, sourcePort: 40000, destinationPort: 22, tcpFlags: ["SYN"] });
 *     // { verdict: "deny", reason: "default" }
 *
 * The meaning is that of docs/network-policy.md. `track` gives what is known after a packet, for replies.
 */
import { EbpfError, invalid, type Problem } from "../../provider/errors";
import { problemsOf } from "../../provider/lifecycle/problems";
import {
  type AppliedPolicy,
  applyPolicy,
  type PolicyInput,
  policySchema,
} from "../../provider/network-policy";

export { evaluate, track } from "../../provider/network-policy";
export type {
  AppliedPolicy,
  Connection,
  EgressRule,
  Evaluation,
  Frame,
  IngressRule,
  Packet,
  PacketHeader,
  PolicyInput,
  PolicyPeer,
  PolicyPort,
  RuleName,
  Tracked,
  Verdict,
} from "../../provider/network-policy";

/** What only a host or another resource knows. */
export interface PolicySurroundings {
  /** Networks of each address set, by what `addressSet` says. Default: none. */
  sets?: Readonly<Record<string, readonly string[]>>;
  /** The host's addresses, for `self`. Default: none. Example: `["192.0.2.1"]`. */
  self?: readonly string[];
  /** `<project>/<stack>` of the policy, in verdicts and among policies of other stacks. Default `"project/stack"`. */
  stack?: string;
}

/**
 * A policy as `evaluate` takes it: `ingress`, `egress`, `mode`, `infrastructure` and `established` as of NetworkPolicy, sets
 * by name. Fails with an error that names every problem of it.
 */
export function policy(
  name: string,
  rules: PolicyInput,
  { sets = {}, self = [], stack = "project/stack" }: PolicySurroundings = {},
): AppliedPolicy {
  // a test's report shows the message alone
  const refuse = (problems: Problem[]) =>
    new EbpfError("invalid", invalid(`read policy "${name}"`, problems).render(), {}, { problems });
  const parsed = policySchema.safeParse(rules);
  if (!parsed.success) throw refuse(problemsOf(policySchema, parsed.error.issues));
  const surroundings = { sets: new Map(Object.entries(sets)), self };
  const applied = applyPolicy({ stack, name }, parsed.data, surroundings);
  if ("problems" in applied) throw refuse(applied.problems);
  return applied.policy;
}
