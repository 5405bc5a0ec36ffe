/** `tests` of a NetworkPolicy: what a user says that packets shall meet, and whether the policy's own rules agree. Pure. */
import * as z from "zod";
import { parseAddress } from "../btf";
import type { Problem } from "../errors";
import { applyPolicy, type CheckedPolicy, evaluate, type Evaluation, type Packet } from "../network-policy";
import { byteNumber, portNumber, portProblems, protocolSchema } from "../network-policy/model";
import { hasPorts, isIcmp, protocolNumber, PROTOCOLS, protocolText } from "../network-policy/protocols";
import type { PolicyTest } from "../protocol/policy";
import { available } from "./closest";
import { peersOf, type Rules } from "./policy-rules";

const addressSchema = z.string().refine((text) => parseAddress(text, familyOf(text)) !== undefined, {
  error: ({ input }) => `expected an address such as 192.0.2.9 or 2001:db8::9, got ${JSON.stringify(input)}`,
});

export const testSchema = z
  .strictObject({
    from: addressSchema.optional().meta({
      description: "Address that the packet comes from: it is one of ingress.",
      example: "192.0.2.9",
    }),
    to: addressSchema.optional().meta({
      description: "Address that the packet goes to: it is one of egress.",
      example: "198.51.100.1",
    }),
    local: addressSchema.optional().meta({
      description: "Address of the host. Default: one of the interface.",
    }),
    protocol: protocolSchema.meta({ description: "Name, or number of the IP protocol.", example: "TCP" }),
    port: portNumber.optional().meta({
      description: "Destination port; TCP, UDP and SCTP need one.",
      example: 22,
    }),
    type: byteNumber.optional().meta({
      description: "Type of ICMP or ICMPv6. Default: that of an echo request.",
    }),
    code: byteNumber.optional().meta({ description: "Code of that type. Default 0." }),
    expect: z.enum(["allow", "deny"]).meta({
      typeName: "PolicyAction",
      description: "What the packet shall meet.",
      example: "deny",
    }),
    rule: z.string().min(1).optional().meta({
      description: "Name of the rule of this policy that shall decide. Default: any, or none.",
    }),
  })
  .superRefine((test, context) => {
    const issue = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
    const sides = (["from", "to"] as const).filter((side) => test[side] !== undefined);
    if (sides.length !== 1) {
      issue([], `expected one of from and to, got ${sides.length === 0 ? "none" : "both"}`);
    }
    const [address, local] = [test.from ?? test.to, test.local];
    if (address !== undefined && local !== undefined && familyOf(address) !== familyOf(local)) {
      issue(["local"], `is of another family than ${address}`);
    }
    for (const [property, message] of portProblems(test)) issue([property], message);
    const protocol = protocolNumber(test.protocol);
    if (hasPorts(protocol) && test.port === undefined) {
      issue(["port"], `is missing: packets of ${protocolText(protocol)} have one`);
    }
  })
  .meta({ typeName: "PolicyTest", typeDescription: "A first packet, and what it shall meet." });

export type Test = z.output<typeof testSchema>;

/** As the host takes it. */
export function wireTest({ from, to, ...test }: Test): PolicyTest {
  const protocol = protocolNumber(test.protocol);
  const echo = { type: protocol === PROTOCOLS.ICMP ? 8 : 128, code: 0 };
  return {
    direction: from === undefined ? "egress" : "ingress",
    address: (from ?? to)!,
    ...(isIcmp(protocol) ? { ...echo, ...defined({ type: test.type, code: test.code }) } : {}),
    protocol: test.protocol,
    expect: test.expect,
    ...defined({ local: test.local, port: test.port, rule: test.rule }),
  };
}

function defined<T extends object>(members: T): { [Name in keyof T]: NonNullable<T[Name]> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as never;
}

/**
 * Tests that the policy contradicts by its own rules, as if it were enforced. Those that hang on what only the host
 * knows, the networks of a set or its own addresses, are left to it; so is what other policies of the interface say.
 */
export function contradictions(policy: CheckedPolicy, tests: readonly Test[]): Problem[] {
  return tests.map(wireTest).flatMap((test, index) => {
    const property = `tests[${index}]`;
    const { direction, rule } = test;
    const names = policy[direction]?.map(({ name }) => name) ?? [];
    if (rule !== undefined && !names.includes(rule)) {
      const reason = `${direction} has no rule "${rule}"; ${available("rules", rule, names.slice(0, 20))}`;
      return [{ property: `${property}.rule`, reason }];
    }
    const [strictest, mildest] = [verdictOf(policy, test, "deny"), verdictOf(policy, test, "allow")];
    if (strictest.verdict !== mildest.verdict) return [];
    if (strictest.verdict !== test.expect) {
      return [{ property, reason: `expected ${test.expect}, but ${words(strictest, direction)}` }];
    }
    const decides = strictest.rule?.name === mildest.rule?.name ? strictest.rule?.name : rule;
    if (rule === undefined || decides === rule) return [];
    return [{ property, reason: `expected rule "${rule}", but ${words(strictest, direction)}` }];
  });
}

function words({ verdict, rule, reason }: Evaluation, direction: string): string {
  if (rule !== undefined) return `rule "${rule.name}" ${verdict === "deny" ? "denies" : "allows"} it`;
  if (reason === "unnamed") return `the policy says nothing about ${direction}`;
  return verdict === "deny" ? "no rule allows it" : "such packets always pass (`infrastructure`)";
}

/** Peers that only the host knows count for everything in rules of that action, and for nothing in others. */
function verdictOf(policy: CheckedPolicy, test: PolicyTest, everything: "allow" | "deny"): Evaluation {
  const known: Rules = { [test.direction]: withKnownPeers(policy[test.direction], everything) };
  const enforced = { ...policy, ingress: undefined, egress: undefined, ...known, mode: "enforce" as const };
  const applied = applyPolicy({ stack: "", name: "" }, enforced, { sets: new Map(), self: [] });
  if ("problems" in applied) throw new Error("a peer that nobody knows is left");
  const local = test.local ?? (familyOf(test.address) === 16 ? "::" : "0.0.0.0");
  return evaluate([applied.policy], [], packetOf(test, local));
}

/** The first packet that a test speaks of; `local` is the host's end. */
export function packetOf(
  { direction, address, protocol, port, type, code }: PolicyTest,
  local: string,
): Packet {
  const [source, destination] = direction === "ingress" ? [address, local] : [local, address];
  return {
    ...{ direction, source, destination, protocol: protocol as Packet["protocol"] },
    ...(port === undefined ? {} : { sourcePort: EPHEMERAL_PORT, destinationPort: port }),
    ...(type === undefined ? {} : { type, code: code ?? 0 }),
    tcpFlags: ["SYN"],
  };
}

/** Source port of a test's packet: one that no service has. */
const EPHEMERAL_PORT = 49152;

function withKnownPeers(rules: CheckedPolicy["ingress" | "egress"], everything: "allow" | "deny") {
  return rules?.map((rule) => {
    const peers = peersOf(rule);
    if (peers === undefined || peers.every(isKnown)) return rule;
    const side = "to" in rule ? "to" : "from";
    if (rule.action === everything) return { ...rule, [side]: [{ any: true }] };
    return { ...rule, [side]: peers.filter(isKnown) };
  }) as CheckedPolicy["ingress"];
}

function isKnown({ addressSet, self }: { addressSet?: unknown; self?: unknown }): boolean {
  return addressSet === undefined && self === undefined;
}

function familyOf(address: string): 4 | 16 {
  return address.includes(":") ? 16 : 4;
}
