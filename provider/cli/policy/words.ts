/** What the commands on policies have in common: names of rules, packets, options. */
import { invalid } from "../../errors";
import type { Packet, RuleName } from "../../network-policy";
import type { PolicyTest } from "../../protocol/policy";
import { packetOf, testSchema, wireTest } from "../../resources/policy-tests";
import { problemsOf } from "../../lifecycle/problems";

/** `demo/prod web ingress "ssh from offices"`. */
export function ruleText({ stack, policy, direction, name }: RuleName): string {
  return `${stack} ${policy} ${direction} "${name}"`;
}

/** An option that says how many. */
export function numberOf(
  options: Readonly<Record<string, string>>,
  name: "limit" | "count",
  otherwise: number,
): number {
  const { [name]: text } = options;
  if (text === undefined) return otherwise;
  if (/^[1-9][0-9]{0,6}$/.test(text)) return Number(text);
  throw invalid("read the command line", [
    { property: `--${name}`, reason: `expected a whole number from 1, got "${text}"` },
  ]);
}

/** Tests as a NetworkPolicy takes them, checked; `at` is where they stand. */
export function readTests(at: string, tests: unknown): PolicyTest[] {
  const schema = testSchema.array();
  const parsed = schema.safeParse(tests);
  if (parsed.success) return parsed.data.map(wireTest);
  throw invalid(`read ${at}`, problemsOf(schema, parsed.error.issues));
}

/** The host's end defaults to an address of documentation, which only `self` tells apart. */
export function packetFor(test: PolicyTest): Packet {
  return packetOf(test, test.local ?? (test.address.includes(":") ? "2001:db8::1" : "192.0.2.1"));
}

export interface Answer {
  verdict: "allow" | "deny";
  reason: string;
  rule?: RuleName;
}

export function answerText({ verdict, reason, rule }: Answer): string {
  return rule === undefined ? `${verdict} (${reason})` : `${verdict} by ${ruleText(rule)}`;
}

/** `ingress from 192.0.2.9, TCP 22`. */
export function testText({ direction, address, protocol, port, type }: PolicyTest): string {
  const service = port ?? type;
  const side = direction === "ingress" ? "from" : "to";
  return `${direction} ${side} ${address}, ${protocol}${service === undefined ? "" : ` ${service}`}`;
}
