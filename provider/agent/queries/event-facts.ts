/** Events as the program writes them, and what they are called: interfaces, rules, times. */
import { interfaceName } from "../../bpf";
import { decode } from "../../btf";
import type { RuleName } from "../../network-policy/applied";
import type { Frame, Verdict } from "../../network-policy/packet";
import { hasPorts, isIcmp } from "../../network-policy/protocols";
import type { SshFlow } from "../../protocol/messages";
import type { EventFacts, EventPacket } from "../../protocol/policy";
import { EbpfError } from "../../errors";
import type { Host } from "../host";
import { inNetns } from "../hooks/netns";
import { REASONS, slotOf } from "../network-policy/loaded";
import { planeRecords } from "../network-policy/plane-spec";
import { policyProgram } from "../network-policy/program";
import { loadUnion } from "../network-policy/unions";
import { addressOf } from "./flows";
import { isRuleOf, ruleIn } from "./policies";

/** struct event of network-policy.h. */
export interface Event {
  time: string;
  generation: string;
  source: [string, string];
  destination: [string, string];
  source_port: number;
  destination_port: number;
  policy: number;
  ifindex: number;
  length: number;
  rule: number;
  audit: number;
  service: number;
  protocol: number;
  version: number;
  hook: number;
  reason: number;
  pass: number;
  audit_pass: number;
}

export function decodeEvent(record: Buffer): Event {
  return decode(policyProgram().info.maps["explained"]!.value!, record) as Event;
}

export function isAfter({ time }: Event, since: bigint): boolean {
  return BigInt(time) >= since;
}

/** Either way: of the connection that events travel by, each would make the next. */
export function isOf(event: Event, flow: SshFlow | null): boolean {
  const packet = packetOf(event);
  if (flow === null || packet === undefined) return false;
  const ends = [
    `${packet.source} ${packet.sourcePort}`,
    `${packet.destination} ${packet.destinationPort}`,
  ].sort();
  const own = [flow.local, flow.peer].map(({ address, port }) => `${address} ${port}`).sort();
  return ends.join() === own.join();
}

/** `policy`: as EventsParams has it. */
export function eventFacts(host: Host, policy: string | undefined, events: readonly Event[]): EventFacts[] {
  if (events.length === 0) return [];
  const planes = new Map(planeRecords(host).map(({ spec: { plane } }) => [plane.policyId, plane]));
  const interfaces = new Map<string, string>();
  // the wall clock may be set, and the other stops while the machine sleeps
  const bootMs = Date.now() - Number(process.hrtime.bigint() / 1_000_000n);
  return events.flatMap((event): EventFacts[] => {
    const plane = planes.get(event.policy);
    const union = plane?.number === event.generation ? loadUnion(host, plane.policyId, plane.number) : null;
    const verdict = (pass: number, value: number): Verdict => ({
      verdict: pass === 1 ? "allow" : "deny",
      ...ruleIn(union, slotOf(value)),
    });
    const judged = verdict(event.pass, event.rule);
    const audit = verdict(event.audit_pass, event.audit);
    if (policy !== undefined && !isAbout(policy, [judged.rule, audit.rule])) return [];
    const at = plane?.netns === undefined ? {} : { netns: plane.netns };
    const key = `${event.ifindex} ${plane?.netns}`;
    const name = interfaces.get(key) ?? nameOf(event.ifindex, at);
    interfaces.set(key, name);
    const packet = packetOf(event);
    return [
      {
        time: new Date(bootMs + Number(BigInt(event.time) / 1_000_000n)).toISOString(),
        ...{ interface: name, ...at, direction: event.hook === 0 ? "ingress" : "egress" },
        ...{ ...judged, reason: REASONS[event.reason]!, generation: event.generation },
        ...(event.audit === event.rule && event.audit_pass === event.pass ? {} : { audit }),
        bytes: event.length,
        ...(packet === undefined ? { frame: frameOf(event) } : { packet }),
      },
    ];
  });
}

function isAbout(policy: string, rules: (RuleName | undefined)[]): boolean {
  const named = rules.filter((rule) => rule !== undefined);
  return named.length === 0 || named.some((rule) => isRuleOf(policy, rule));
}

function packetOf(event: Event): EventPacket | undefined {
  const { version, protocol, service, source_port: sourcePort, destination_port: destinationPort } = event;
  if (version === 0 || REASONS[event.reason] === "malformed") return undefined;
  const [source, destination] = [event.source, event.destination].map((address) =>
    addressOf(address, version === 6),
  );
  // a later fragment has none of them; that of an echo reply, which is 0, comes with an identifier
  const isWhole = (sourcePort | destinationPort | service) !== 0;
  return {
    ...{ protocol, source: source!, destination: destination! },
    ...(isWhole && hasPorts(protocol) ? { sourcePort, destinationPort } : {}),
    ...(isWhole && isIcmp(protocol) ? { type: service >> 8, code: service & 255 } : {}),
  };
}

function frameOf({ reason }: Event): Frame["frame"] {
  const named = REASONS[reason];
  return named === "malformed" ? "malformed" : named === "not-ip" ? "other" : "arp";
}

function nameOf(ifindex: number, at: { netns?: string }): string {
  const gone = `#${ifindex}`;
  try {
    return inNetns(at, () => interfaceName(ifindex)) ?? gone;
  } catch (error) {
    if (EbpfError.is(error, "not-found")) return gone;
    throw error;
  }
}
