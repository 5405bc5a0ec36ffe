/**
 * The guard against locking oneself out: what planes are about to judge by is tried, before anything changes, on the
 * SSH connection over which the change comes, on the networks from which the host is managed, and on the tests of its
 * policies. The judge is the program itself, in a load of its own (rehearsal.ts).
 *
 * Owns: which packets are tried, and what a refusal says. Does not own: whether a change waits to be confirmed.
 */
import fs from "node:fs";
import { spawnSync } from "node:child_process";
import { MapCreateFlag, MapHandle } from "../../bpf";
import { formatAddress, parseAddress } from "../../btf";
import { EbpfError } from "../../errors";
import { CELL_WORDS } from "../../network-policy/cells";
import type { Packet } from "../../network-policy/packet";
import type { CompiledUnion } from "../../network-policy/union";
import type { SshFlow } from "../../protocol/messages";
import type { PolicyPart, PolicyTest } from "../../protocol/policy";
import { parseSpecId } from "../../protocol/spec-id";
import type { Host } from "../host";
import type { WishedPlane } from "./derive";
import { type Rehearsal, rehearse } from "./rehearsal";

/** Whom a change must not keep out. */
export interface GuardContext {
  /** `null`: the session runs over no SSH. */
  flow: SshFlow | null;
  /** The change goes back unless it is confirmed. */
  confirm: boolean;
}

export interface Guarded {
  /** The Spec that changes. */
  subject: string;
  policies: ReadonlyMap<string, PolicyPart>;
  wish: WishedPlane;
  union: CompiledUnion;
}

const SSH_PORT = 22;
/** As clients take them: of Linux's ip_local_port_range. */
const CLIENT_PORT = 50_000;
/** More than the load of its own has room for. */
const MANY_CONNECTIONS = 200;

/** Everything for which the change is refused. */
export function guard(host: Host, guarded: Guarded, context: GuardContext): EbpfError[] {
  const problems = blindness(guarded, context);
  const flow = context.flow !== null && isOnTheWay(guarded.wish, context.flow) ? context.flow : null;
  const tests = testsOf(guarded);
  const managed = managedFrom(guarded, context.flow);
  if (flow === null && managed.length === 0 && tests.length === 0) return problems;
  const cells = cellsOf(guarded.union);
  try {
    rehearse(host, cells, (rehearsal) => {
      const trial = new Trial(guarded, rehearsal);
      if (flow !== null && !isLoopback(flow.peer.address)) problems.push(...trial.cuts(flow));
      for (const one of managed) problems.push(...trial.keepsOut(one));
      for (const one of tests) problems.push(...trial.contradicts(one));
    });
  } finally {
    cells.close();
  }
  return problems;
}

/** Nobody can say what would cut off an operator of whom nothing is known. */
function blindness({ subject, policies, wish }: Guarded, { flow, confirm }: GuardContext): EbpfError[] {
  const policy = policies.get(subject);
  if (policy === undefined || policy.mode === "audit" || wish.netns !== undefined) return [];
  if (confirm || policy.management.length > 0 || (flow !== null && !isLoopback(flow.peer.address))) return [];
  const why =
    flow === null
      ? "this session runs over no SSH connection"
      : `this session comes from ${flow.peer.address}, as through a forwarded port`;
  return [
    new EbpfError(
      "conflict",
      `judge ${wish.interfaces.join(", ")} by ${subject}: whether that cuts off whoever manages the host cannot be told: ${why}`,
      {},
      {
        property: "management",
        remedy: "give management, the networks from which the host is managed, or confirm",
      },
    ),
  ];
}

/** Runs packets by the next generation. */
class Trial {
  constructor(
    private readonly guarded: Guarded,
    private readonly rehearsal: Rehearsal,
  ) {}

  /** The live connection in its midst, and a new one of the same peer; with no connection known, and with too many. */
  cuts({ peer, local }: SshFlow): EbpfError[] {
    const what = `the connection this runs over (${peer.address}:${peer.port} → ${local.port})`;
    const again = { ...peer, port: peer.port === CLIENT_PORT ? CLIENT_PORT + 1 : CLIENT_PORT };
    const ways = [
      { packets: exchange({ peer, local }, []), what },
      { packets: exchange({ peer: again, local }, ["SYN"]), what: `a new ${what.slice("the ".length)}` },
    ];
    for (const full of [false, true]) {
      for (const { packets, what: object } of ways) {
        this.rehearsal.forget();
        if (full) this.fill(peer.address, local);
        const refusal = this.firstRefusal(
          packets,
          "ingress",
          `would cut ${object}`,
          `lets through ${object}`,
        );
        if (refusal !== undefined) return [refusal];
      }
    }
    return [];
  }

  keepsOut({ property, network, local }: Managed): EbpfError[] {
    for (const address of samplesOf(network)) {
      this.rehearsal.forget();
      const who = `SSH of ${address} in ${network} to ${local.address}:${local.port}`;
      const packets = exchange({ peer: { address, port: CLIENT_PORT }, local }, ["SYN"]);
      const refusal = this.firstRefusal(packets, property, `would keep out ${who}`, `lets in ${who}`);
      if (refusal !== undefined) return [refusal];
    }
    return [];
  }

  contradicts({ policy, property, test, packet }: Case): EbpfError[] {
    this.rehearsal.forget();
    const judged = this.rehearsal.judge(packet);
    const { mode } = this.guarded.policies.get(policy)!;
    const { verdict, slot } = mode === "audit" ? judged.audit : judged;
    const rule = slot === undefined ? undefined : this.guarded.union.rule(slot)?.id;
    const by = rule === undefined ? "by no rule" : `by rule "${rule.name}" of ${rule.stack}/${rule.policy}`;
    const rightRule = test.rule === undefined || test.rule === rule?.name;
    if (verdict === test.expect && rightRule) return [];
    const wanted = test.rule === undefined ? test.expect : `${test.expect} by rule "${test.rule}"`;
    const port = test.port === undefined ? "" : ` port ${test.port}`;
    const message = `test ${policy}: ${test.direction} of ${test.address}, ${test.protocol}${port}: ${verdict} ${by}, expected ${wanted}`;
    return [new EbpfError("conflict", message, { owner: policy }, { property })];
  }

  private firstRefusal(
    packets: Packet[],
    property: string,
    cuts: string,
    lets: string,
  ): EbpfError | undefined {
    for (const packet of packets) {
      const { verdict, slot } = this.rehearsal.judge(packet);
      if (verdict === "allow") continue;
      const rule = slot === undefined ? undefined : this.guarded.union.rule(slot)?.id;
      const message =
        rule === undefined
          ? `${this.subjectName()}: no ${packet.direction} rule ${lets}`
          : `${rule.policy}: rule "${rule.name}" ${cuts}`;
      const owner = rule === undefined ? this.guarded.subject : `${rule.stack}/${rule.policy}`;
      return new EbpfError("conflict", message, { owner }, { property });
    }
    return undefined;
  }

  private subjectName(): string {
    return parseSpecId(this.guarded.subject).name;
  }

  /** Connections that the rules allow, more than there is room for. */
  private fill(peer: string, local: SshFlow["local"]): void {
    for (let port = 1024; port < 1024 + MANY_CONNECTIONS; port++) {
      for (const packet of exchange({ peer: { address: peer, port }, local }, ["SYN"]))
        this.rehearsal.judge(packet);
    }
  }
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

interface Managed {
  property: string;
  network: string;
  /** The host's address of the same family, and the port of SSH. */
  local: SshFlow["local"];
}

function managedFrom({ policies, wish, subject }: Guarded, flow: SshFlow | null): Managed[] {
  return wish.policies.flatMap((id) =>
    policies.get(id)!.management.flatMap((network, index): Managed[] => {
      const address = localAddress(network.includes(":"), wish, flow);
      if (address === undefined) return [];
      const property = id === subject ? `management[${index}]` : "ingress";
      return [{ property, network, local: { address, port: flow?.local.port ?? SSH_PORT } }];
    }),
  );
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

/** Whether the flow may use an interface of the plane: in doubt it does. */
function isOnTheWay({ netns, interfaces }: WishedPlane, { peer, local }: SshFlow): boolean {
  if (netns !== undefined) return false;
  const { stdout } = spawnSync("ip", ["-j", "route", "get", peer.address, "from", local.address], {
    encoding: "utf8",
  });
  const device = deviceOf(stdout);
  if (device === undefined) return true;
  const used = withLower(device);
  return interfaces.some((name) => used.has(name));
}

function deviceOf(json: string | null): string | undefined {
  try {
    return (JSON.parse(json ?? "") as { dev?: string }[])[0]?.dev;
  } catch {
    return undefined; // no `ip`, or no route: nobody knows
  }
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

/** The generation in an array of its own. */
function cellsOf({ cells }: CompiledUnion): MapHandle {
  const map = MapHandle.create({
    ...{ type: "array", name: "cells", keySize: 4, valueSize: CELL_WORDS * 4, maxEntries: cells.count },
    flags: MapCreateFlag.BPF_F_INNER_MAP,
  });
  try {
    for (let first = 0; first < cells.count; first += BATCH) {
      const count = Math.min(BATCH, cells.count - first);
      const keys = Uint32Array.from({ length: count }, (_, index) => first + index);
      const words = cells.copy(first, count);
      map.updateBatch(
        Buffer.from(keys.buffer),
        Buffer.from(words.buffer, words.byteOffset, words.byteLength),
        count,
      );
    }
    return map;
  } catch (error) {
    map.close();
    throw error;
  }
}

const BATCH = 65_536;
