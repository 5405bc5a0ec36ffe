/**
 * The reference: docs/network-policy.md as code. It looks at every rule for every packet, and shares nothing with the
 * compiler but the policies.
 */
import { parseAddress, parseCidr, sameBits } from "../btf";
import type { AppliedPeer, AppliedPolicy, AppliedPort, AppliedRule, Direction, RuleName } from "./applied";
import { isInfrastructure, opens, sideOf } from "./connections";
import type {
  Connection,
  Evaluation,
  Frame,
  Packet,
  PacketHeader,
  PassedFragment,
  Tracked,
  Verdict,
} from "./packet";
import { hasPorts, hasService, isIcmp, isIcmpError, protocolNumber } from "./protocols";

/**
 * Whether a packet passes an interface with these policies, and which rule decides. `tracked` is what is known from
 * earlier packets: see `track`. Time does not pass here.
 */
export function evaluate(
  policies: readonly AppliedPolicy[],
  tracked: readonly Tracked[],
  packet: Packet | Frame,
): Evaluation {
  return prepare(policies)(tracked, packet);
}

export type Evaluator = (tracked: readonly Tracked[], packet: Packet | Frame) => Evaluation;

/** `evaluate` for many packets: the text of each network is read once. */
export function prepare(policies: readonly AppliedPolicy[]): Evaluator {
  const enforced = policies.filter(({ mode }) => mode === "enforce");
  const exempt = enforced.every(({ infrastructure }) => infrastructure);
  const keep = enforced.some(({ established }) => established === "keep");
  const within = membership();
  const untracked = enforced.some(({ established }) => established === "ignore");
  const enforcedView = { policies: enforced, exempt, keep, untracked, within };
  const auditedView = { policies, exempt, keep: false, untracked, within };

  return (tracked, packet) => {
    const evaluation = judge(enforcedView, tracked, packet);
    const audited = policies.some(
      (policy) => policy.mode === "audit" && policy[packet.direction] !== undefined,
    );
    if (audited) {
      const first = "fragment" in packet ? passedFragment(tracked, packet) : undefined;
      const { verdict, rule } = first?.audit ?? judge(auditedView, tracked, packet);
      evaluation.audit = { verdict, ...(rule === undefined ? {} : { rule }) };
    }
    for (const opened of evaluation.opens ?? []) {
      if (!("fragment" in opened)) continue;
      if (evaluation.rule !== undefined) opened.rule = evaluation.rule;
      if (evaluation.audit !== undefined) opened.audit = evaluation.audit;
    }
    return evaluation;
  };
}

interface View {
  policies: readonly AppliedPolicy[];
  /** ARP and the like pass. */
  exempt: boolean;
  /** Answered connections live on. */
  keep: boolean;
  /** There are no connections. */
  untracked: boolean;
  within: Membership;
}

function judge(view: View, tracked: readonly Tracked[], packet: Packet | Frame): Evaluation {
  const unnamed = !names(view, packet.direction);
  const unjudged = {
    verdict: unnamed ? "allow" : "deny",
    reason: unnamed ? "unnamed" : "malformed",
  } as const;
  if ("frame" in packet) {
    if (packet.frame === "malformed") return unjudged;
    if (packet.frame === "other") return { verdict: "allow", reason: "not-ip" };
    if (view.exempt) return { verdict: "allow", reason: "infrastructure" };
    return { ...unjudged, reason: unnamed ? "unnamed" : "default" };
  }
  if (view.exempt && isInfrastructure(packet)) return { verdict: "allow", reason: "infrastructure" };
  if (packet.fragment?.position === "later") return judgeLaterFragment(view, tracked, packet);
  const protocol = protocolNumber(packet.protocol);
  if (!isIcmp(protocol) || !isIcmpError(protocol, packet.type!)) return judgeWhole(view, tracked, packet);

  const { quotes = "truncated" } = packet;
  if (quotes === "truncated") return unjudged;
  const quoted = protocolNumber(quotes.protocol);
  if (isIcmp(quoted) && isIcmpError(quoted, quotes.type!)) return unjudged;
  return judgeError(view, tracked, packet.direction, quotes);
}

function judgeWhole(view: View, tracked: readonly Tracked[], packet: Packet): Evaluation {
  const first: Tracked[] =
    packet.fragment === undefined ? [] : [{ ...flow(packet), fragment: packet.fragment.id }];
  for (const connection of connectionsIn(view, tracked)) {
    const side = sideOf(connection, packet);
    if (side === undefined) continue;
    const evaluation = judgeConnection(view, connection);
    if (evaluation.verdict === "deny") return evaluation;
    const answered = side === "reply" || connection.answered === true;
    return { ...evaluation, opens: [{ ...connection, ...(answered ? { answered } : {}) }, ...first] };
  }
  const verdict = verdictOf(view, packet);
  const evaluation = { ...verdict, reason: reasonOf(view, packet.direction, verdict) };
  if (verdict.verdict === "deny") return evaluation;
  return { ...evaluation, opens: [...(view.untracked ? [] : opens(packet)), ...first] };
}

/** By its opening packet, in the direction of that. */
function judgeConnection(view: View, connection: Connection): Evaluation {
  const opening = verdictOf(view, connection);
  if (opening.verdict === "allow") return { ...opening, reason: "connection" };
  if (view.keep && connection.answered === true) return { verdict: "allow", reason: "connection" };
  return { ...opening, reason: "connection", ends: connection };
}

function judgeLaterFragment(view: View, tracked: readonly Tracked[], packet: Packet): Evaluation {
  const first = passedFragment(tracked, packet);
  if (first !== undefined) {
    const { rule } = first;
    return { verdict: "allow", reason: "fragment", ...(rule === undefined ? {} : { rule }) };
  }
  const protocol = protocolNumber(packet.protocol);
  // what matches for some ports at least: the strongest decides for all if it matches for all
  const decides = strongest(
    view,
    packet,
    ({ ports }) => ports === undefined || ports.some((port) => protocolNumber(port.protocol) === protocol),
  );
  if (decides !== undefined && !matchesAllPorts(decides.rule, protocol)) {
    return { verdict: names(view, packet.direction) ? "deny" : "allow", reason: "fragment-unknown" };
  }
  const verdict = decided(view, packet.direction, decides);
  return { ...verdict, reason: reasonOf(view, packet.direction, verdict) };
}

/** `quoted` travelled against `direction`, in which the error travels. */
function judgeError(
  view: View,
  tracked: readonly Tracked[],
  direction: Direction,
  quoted: PacketHeader,
): Evaluation {
  const sent = { ...quoted, direction: direction === "ingress" ? "egress" : "ingress" } as const;
  for (const connection of connectionsIn(view, tracked)) {
    if (sideOf(connection, sent) !== undefined) return judgeConnection(view, connection);
  }
  const reversed = { ...quoted, direction, source: quoted.destination, destination: quoted.source };
  if (hasPorts(protocolNumber(quoted.protocol))) {
    reversed.sourcePort = quoted.destinationPort!;
    reversed.destinationPort = quoted.sourcePort!;
  }
  const verdict = verdictOf(view, reversed);
  return { ...verdict, reason: reasonOf(view, direction, verdict) };
}

function* connectionsIn({ untracked }: View, tracked: readonly Tracked[]): Generator<Connection> {
  if (untracked) return;
  for (const one of tracked) if (!("fragment" in one)) yield one;
}

function passedFragment(tracked: readonly Tracked[], packet: Packet): PassedFragment | undefined {
  if (packet.fragment?.position !== "later") return undefined;
  const { id } = packet.fragment;
  const { direction, source, destination, protocol } = flow(packet);
  return tracked.find(
    (first): first is PassedFragment =>
      "fragment" in first &&
      first.fragment === id &&
      first.direction === direction &&
      first.source === source &&
      first.destination === destination &&
      protocolNumber(first.protocol) === protocolNumber(protocol),
  );
}

function flow({ direction, source, destination, protocol }: Packet) {
  return { direction, source, destination, protocol };
}

function names({ policies }: View, direction: Direction): boolean {
  return policies.some((policy) => policy[direction] !== undefined);
}

function reasonOf(view: View, direction: Direction, { rule }: Verdict): "rule" | "default" | "unnamed" {
  return rule !== undefined ? "rule" : names(view, direction) ? "default" : "unnamed";
}

/** By rules alone, for a packet whose ports are known. */
function verdictOf(view: View, packet: JudgedHeader): Verdict {
  const decides = strongest(
    view,
    packet,
    ({ ports }) => ports === undefined || ports.some((port) => portMatches(port, packet)),
  );
  return decided(view, packet.direction, decides);
}

function decided(view: View, direction: Direction, decides: NamedRule | undefined): Verdict {
  if (decides === undefined) return { verdict: names(view, direction) ? "deny" : "allow" };
  return { verdict: decides.rule.action, rule: decides.name };
}

type JudgedHeader = PacketHeader & { direction: Direction };

interface NamedRule {
  rule: AppliedRule;
  name: RuleName;
}

/** Of the rules that match: denies first, then by stack, policy and name. */
function strongest(
  { policies, within }: View,
  { direction, source, destination }: JudgedHeader,
  portsMatch: (rule: AppliedRule) => boolean,
): NamedRule | undefined {
  const address = bytesOf(direction === "ingress" ? source : destination);
  let first: NamedRule | undefined;
  for (const { stack, name: policy, [direction]: rules = [] } of policies) {
    for (const rule of rules) {
      if (!addressMatches(rule.peers, address, within) || !portsMatch(rule)) continue;
      const one = { rule, name: { stack, policy, direction, name: rule.name } };
      if (first === undefined || comesBefore(one, first)) first = one;
    }
  }
  return first;
}

function comesBefore(a: NamedRule, b: NamedRule): boolean {
  const order =
    Number(b.rule.action === "deny") - Number(a.rule.action === "deny") ||
    compare(a.name.stack, b.name.stack) ||
    compare(a.name.policy, b.name.policy) ||
    compare(a.name.name, b.name.name);
  return order < 0;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function addressMatches(
  peers: readonly AppliedPeer[] | undefined,
  address: Buffer,
  within: Membership,
): boolean {
  return peers?.some(({ cidrs, except = [] }) => within(cidrs, address) && !within(except, address)) ?? true;
}

function bytesOf(address: string): Buffer {
  const bytes = parseAddress(address, sizeOf(address));
  if (bytes === undefined) throw new RangeError(`${JSON.stringify(address)} is no address`);
  return bytes;
}

function sizeOf(text: string): 4 | 16 {
  return text.includes(":") ? 16 : 4;
}

/** Whether a list of networks holds an address. */
type Membership = (cidrs: readonly string[], address: Buffer) => boolean;

/** Each list is read once: rules that name one set share its list. */
function membership(): Membership {
  const known = new Map<readonly string[], { address: Buffer; prefix: number }[]>();
  return (cidrs, address) => {
    let networks = known.get(cidrs);
    if (networks === undefined) {
      const read = cidrs.map((cidr) => parseCidr(cidr, sizeOf(cidr)));
      networks = read.filter((network) => typeof network === "object");
      known.set(cidrs, networks);
    }
    return networks.some((network) => sameBits(network.address, address, network.prefix));
  };
}

function portMatches(port: AppliedPort, packet: PacketHeader): boolean {
  if (protocolNumber(port.protocol) !== protocolNumber(packet.protocol)) return false;
  if (port.port !== undefined) {
    const { destinationPort = -1 } = packet;
    return destinationPort >= port.port && destinationPort <= (port.endPort ?? port.port);
  }
  return (
    (port.type === undefined || port.type === packet.type) &&
    (port.code === undefined || port.code === packet.code)
  );
}

function matchesAllPorts({ ports }: AppliedRule, protocol: number): boolean {
  if (ports === undefined || !hasService(protocol)) return true;
  const own = ports.filter((port) => protocolNumber(port.protocol) === protocol);
  if (own.some(({ port, type }) => port === undefined && type === undefined)) return true;
  const services = new Set<number>();
  for (const { port, endPort = port, type = 0, code } of own) {
    const first = port ?? type * 256 + (code ?? 0);
    const last = endPort ?? type * 256 + (code ?? 255);
    for (let service = first; service <= last; service++) services.add(service);
  }
  return services.size === 65536;
}
