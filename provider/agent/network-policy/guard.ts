/**
 * The guard against locking oneself out: what planes are about to judge by, since a policy or a set comes, changes or goes,
 * is tried before anything changes: on the SSH connection over which the change comes, on the networks from which the
 * host is managed, and on the tests of its policies. Two judges try it (trial.ts), and a drop by either refuses.
 *
 * Owns: which packets are tried, and what a refusal says. Does not own: whether a change waits to be confirmed.
 */
import fs from "node:fs";
import { networkInterfaces, routeInterface } from "../../bpf";
import { formatAddress, parseAddress } from "../../btf";
import { EbpfError } from "../../errors";
import type { AppliedPolicy } from "../../network-policy/applied";
import type { Packet, Verdict } from "../../network-policy/packet";
import type { CompiledUnion } from "../../network-policy/union";
import type { SshFlow } from "../../protocol/messages";
import type { PolicyPart, PolicyTest } from "../../protocol/policy";
import { parseSpecId } from "../../protocol/spec-id";
import type { Host } from "../host";
import type { WishedPlane } from "./derive";
import { Trial, ruleText } from "./trial";

/** Whom a change must not keep out. */
export interface GuardContext {
  /** `null`: the session runs over no SSH. */
  flow: SshFlow | null;
  /** The change goes back unless it is confirmed. */
  confirm: boolean;
}

export interface Guarded {
  /** The Spec that changes, or goes. */
  subject: string;
  /** Its policy as it was. */
  before: PolicyPart | undefined;
  /** As they will be: of the host, by Spec id. */
  policies: ReadonlyMap<string, PolicyPart>;
  wish: WishedPlane;
  union: CompiledUnion;
  /** What the union is compiled from, as far as it concerns these addresses. */
  candidates(addresses: readonly string[]): AppliedPolicy[];
}

const SSH_PORT = 22;
/** As clients take them: of Linux's ip_local_port_range. */
const CLIENT_PORT = 50_000;
/** More than the load of its own has room for. */
const MANY_CONNECTIONS = 200;

/** Everything for which the change is refused. */
export function guard(host: Host, guarded: Guarded, context: GuardContext): EbpfError[] {
  const problems = blindness(guarded, context);
  const { flow } = context;
  const known = flow !== null && !isLoopback(flow.peer.address) && isOnTheWay(guarded.wish, flow);
  const claims = [...(known ? [liveConnection(flow)] : []), ...managedFrom(guarded, flow)];
  // tests say what is to be applied; what goes takes its own with it
  const tests = isRemoval(guarded) ? [] : testsOf(guarded);
  const packets = [
    ...claims.flatMap(({ ways }) => ways.flatMap((way) => way.packets)),
    ...tests.map(({ packet }) => packet),
  ];
  if (packets.length === 0) return problems;
  const addresses = [...new Set(packets.flatMap(({ source, destination }) => [source, destination]))];
  Trial.run(host, guarded.union, guarded.candidates(addresses), (trial) => {
    for (const claim of claims) problems.push(...refusalOf(trial, guarded, claim));
    for (const one of tests) problems.push(...contradiction(trial, guarded, one));
  });
  return problems;
}

function isRemoval({ subject, before, policies }: Guarded): boolean {
  return before !== undefined && !policies.has(subject);
}

/** Nobody can say what would cut off an operator of whom nothing is known. */
function blindness(guarded: Guarded, { flow, confirm }: GuardContext): EbpfError[] {
  const { subject, before, policies, wish } = guarded;
  if (confirm || wish.netns !== undefined) return [];
  if (flow !== null && !isLoopback(flow.peer.address)) return [];
  const own = policies.get(subject);
  const judging = wish.policies.map((id) => policies.get(id)!);
  const concerned =
    own === undefined && before === undefined
      ? judging.filter(({ sets }) => Object.values(sets).includes(subject))
      : [own, before];
  if (!concerned.some((part) => part?.mode === "enforce")) return [];
  const closes = judging.filter(({ mode }) => mode === "enforce");
  if (!closes.some(({ ingress, egress }) => (ingress ?? egress) !== undefined)) return [];
  // who applies a policy says it there; of what goes, or changes as a set, whoever said it
  const said = own === undefined ? [before, ...judging] : [own];
  if (said.some((part) => part !== undefined && part.management.length > 0)) return [];
  const why =
    flow === null
      ? "this session runs over no SSH connection"
      : `this session comes from ${flow.peer.address}, as through a forwarded port`;
  const change = isRemoval(guarded) ? `without ${subject}` : `by ${subject}`;
  return [
    new EbpfError(
      "conflict",
      `judge ${wish.interfaces.join(", ")} ${change}: whether that cuts off whoever manages the host cannot be told: ${why}`,
      {},
      own === undefined
        ? {
            remedy: `give management, the networks from which the host is managed, to ${wish.policies.join(", ")}`,
          }
        : {
            property: "management",
            remedy: "give management, the networks from which the host is managed, or confirm",
          },
    ),
  ];
}

/** Packets that pass one after the other, or else the change is refused. */
interface Way {
  packets: Packet[];
  /** What a rule that drops one of them does, and what none of the rules does. */
  cuts: string;
  lets: string;
  /** What fills the program's tables before. */
  crowd: Packet[];
}

/** The first of the ways that is not open is told. */
interface Claim {
  /** Of the Spec that changes; absent: the direction of the packet. */
  property?: string;
  ways: Way[];
}

/** The connection in its midst, and a new one of the same peer; with no connection known, and with too many. */
function liveConnection({ peer, local }: SshFlow): Claim {
  const what = `connection this runs over (${peer.address}:${peer.port} → ${local.port})`;
  const again = { ...peer, port: peer.port === CLIENT_PORT ? CLIENT_PORT + 1 : CLIENT_PORT };
  const many = Array.from({ length: MANY_CONNECTIONS }, (_, index) => 1024 + index).flatMap((port) =>
    exchange({ peer: { ...peer, port }, local }, ["SYN"]),
  );
  const ways = [[], many].flatMap((crowd): Way[] => [
    {
      packets: exchange({ peer, local }, []),
      ...{ cuts: `would cut the ${what}`, lets: `lets through the ${what}`, crowd },
    },
    {
      packets: exchange({ peer: again, local }, ["SYN"]),
      ...{ cuts: `would cut a new ${what}`, lets: `lets through a new ${what}`, crowd },
    },
  ]);
  return { ways };
}

function managedFrom(guarded: Guarded, flow: SshFlow | null): Claim[] {
  const { policies, wish, subject, before } = guarded;
  const gone = isRemoval(guarded) ? [subject] : [];
  return [...wish.policies, ...gone].flatMap((id) =>
    (policies.get(id) ?? before!).management.flatMap((network, index): Claim[] => {
      const address = localAddress(network.includes(":"), wish, flow);
      if (address === undefined) return [];
      const local = { address, port: flow?.local.port ?? SSH_PORT };
      const peers = samplesOf(network).map((sample) => ({ address: sample, port: CLIENT_PORT }));
      // the policy that goes said it of all its interfaces, of which those that still judge may lead elsewhere
      if (!policies.has(id) && !peers.some((peer) => leadsThrough(wish, { peer, local }))) return [];
      const property = id === subject ? `management[${index}]` : "ingress";
      return [{ property, ways: peers.map((peer) => wayOf(peer, local, network)) }];
    }),
  );
}

function wayOf(peer: SshFlow["peer"], local: SshFlow["local"], network: string): Way {
  const who = `SSH of ${peer.address} in ${network} to ${local.address}:${local.port}`;
  const packets = exchange({ peer, local }, ["SYN"]);
  return { packets, cuts: `would keep out ${who}`, lets: `lets in ${who}`, crowd: [] };
}

function refusalOf(trial: Trial, guarded: Guarded, { property, ways }: Claim): EbpfError[] {
  for (const way of ways) {
    trial.forget();
    for (const packet of way.crowd) trial.fillWith(packet);
    for (const packet of way.packets) {
      const { defect, ...judged } = trial.judge(packet);
      if (defect !== undefined) return [defect];
      if (judged.verdict === "deny") return [refusal(guarded, way, packet.direction, judged, property)];
    }
  }
  return [];
}

function refusal(
  guarded: Guarded,
  { cuts, lets }: Way,
  direction: Packet["direction"],
  { rule }: Verdict,
  property: string = direction,
): EbpfError {
  const { subject, policies, wish } = guarded;
  const { name } = parseSpecId(subject);
  const isPolicy = policies.has(subject);
  const closing = wish.policies.filter((id) => {
    const { mode, [direction]: rules } = policies.get(id)!;
    return mode === "enforce" && rules !== undefined;
  });
  const change = isRemoval(guarded) ? `remove ${name}: ` : isPolicy ? "" : `${name}: `;
  const why =
    rule !== undefined
      ? `${change}${rule.policy}: rule "${rule.name}" ${cuts}`
      : isPolicy
        ? `${name}: no ${direction} rule ${lets}`
        : `${change}no ${direction} rule of ${closing.join(", ")} ${lets}`;
  const owner = rule !== undefined ? `${rule.stack}/${rule.policy}` : isPolicy ? subject : closing.join(", ");
  return new EbpfError(
    "conflict",
    why,
    { owner },
    {
      ...(isPolicy ? { property } : {}),
      ...(isRemoval(guarded) ? { remedy: "let what stays allow it, or remove that first" } : {}),
    },
  );
}

/** A packet of the peer's and the answer; the answer meets what the first one opened. */
function exchange({ peer, local }: SshFlow, tcpFlags: "SYN"[]): Packet[] {
  return [
    {
      ...{ direction: "ingress", protocol: "TCP", source: peer.address, destination: local.address },
      ...{ sourcePort: peer.port, destinationPort: local.port },
      tcpFlags: tcpFlags.length === 0 ? ["ACK"] : tcpFlags,
    },
    {
      ...{ direction: "egress", protocol: "TCP", source: local.address, destination: peer.address },
      ...{ sourcePort: local.port, destinationPort: peer.port },
      tcpFlags: [...tcpFlags, "ACK"],
    },
  ];
}

function localAddress(ipv6: boolean, { self }: WishedPlane, flow: SshFlow | null): string | undefined {
  const own = flow === null ? self : [flow.local.address, ...self];
  return own.find((address) => address.includes(":") === ipv6 && !isLoopback(address));
}

/** The first, the last and a middle address of a network without host bits. */
export function samplesOf(network: string): string[] {
  const [text = "", prefix = ""] = network.split("/");
  const size = text.includes(":") ? 16 : 4;
  const first = BigInt(`0x${parseAddress(text, size)!.toString("hex")}`);
  const count = 1n << BigInt(size * 8 - Number(prefix));
  const numbers = new Set([first, first + count / 2n, first + count - 1n]);
  return [...numbers].map((number) =>
    formatAddress(Buffer.from(number.toString(16).padStart(size * 2, "0"), "hex")),
  );
}

interface Case {
  policy: string;
  property: string;
  test: PolicyTest;
  packet: Packet;
}

function testsOf({ policies, wish, subject }: Guarded): Case[] {
  return wish.policies.flatMap((policy) =>
    policies.get(policy)!.tests.flatMap((test, index): Case[] => {
      const own = test.local ?? localAddress(test.address.includes(":"), wish, null);
      if (own === undefined) return [];
      const { direction, address, protocol, port, type, code } = test;
      const [source, destination] = direction === "ingress" ? [address, own] : [own, address];
      const packet: Packet = {
        ...{ direction, source, destination, protocol: protocol as Packet["protocol"] },
        ...(port === undefined ? {} : { sourcePort: CLIENT_PORT, destinationPort: port }),
        ...(type === undefined ? {} : { type, code: code ?? 0 }),
        ...(protocol === "TCP" || protocol === 6 ? { tcpFlags: ["SYN"] } : {}),
      };
      return [{ policy, property: policy === subject ? `tests[${index}]` : "", test, packet }];
    }),
  );
}

function contradiction(trial: Trial, { policies }: Guarded, one: Case): EbpfError[] {
  const { policy, property, test, packet } = one;
  trial.forget();
  const { defect, audit, ...enforced } = trial.judge(packet);
  if (defect !== undefined) return [defect];
  const { verdict, rule } = policies.get(policy)!.mode === "audit" ? audit : enforced;
  const rightRule = test.rule === undefined || test.rule === rule?.name;
  if (verdict === test.expect && rightRule) return [];
  const wanted = test.rule === undefined ? test.expect : `${test.expect} by rule "${test.rule}"`;
  const port = test.port === undefined ? "" : ` port ${test.port}`;
  const message = `test ${policy}: ${test.direction} of ${test.address}, ${test.protocol}${port}: ${verdict} by ${ruleText(rule)}, expected ${wanted}`;
  return [new EbpfError("conflict", message, { owner: policy }, { property })];
}

/** Whether the connection of a session may use an interface of the plane. */
function isOnTheWay(wish: WishedPlane, flow: SshFlow): boolean {
  return wish.netns === undefined && leadsThrough(wish, flow);
}

/** By the host's routes; in doubt it does. */
function leadsThrough({ netns, interfaces }: WishedPlane, { peer, local }: SshFlow): boolean {
  if (netns !== undefined) return true;
  const [source, destination] = [local, peer].map(({ address }) =>
    parseAddress(address, address.includes(":") ? 16 : 4),
  );
  const ifindex = routeInterface(source!, destination!);
  const device = networkInterfaces().find((one) => one.ifindex === ifindex);
  if (device === undefined) return true;
  const used = withLower(device.name);
  return interfaces.some((name) => used.has(name));
}

/** An interface and what it stands on: the parent of a VLAN, members of a bond or a bridge. */
function withLower(device: string, found = new Set<string>()): Set<string> {
  if (found.has(device)) return found;
  found.add(device);
  const directory = `/sys/class/net/${device}`;
  const entries = fs.existsSync(directory) ? fs.readdirSync(directory) : [];
  for (const entry of entries) if (entry.startsWith("lower_")) withLower(entry.slice("lower_".length), found);
  return found;
}

function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}
