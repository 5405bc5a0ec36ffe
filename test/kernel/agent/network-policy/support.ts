/** Specs of policies and sets, as the operator's side makes them, and packets that meet them. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { interfaceIndex, networkInterfaces, queryTcx, queryXdp } from "../../../../provider/bpf";
import { EbpfError } from "../../../../provider/errors";
import type { EgressRule, IngressRule } from "../../../../provider/network-policy";
import type { PlanResult } from "../../../../provider/protocol/messages";
import type { PolicyPart, TextChunk, TextContent } from "../../../../provider/protocol/policy";
import { canonicalJson, digestOf, type Spec } from "../../../../provider/protocol/spec";
import type { Status } from "../../../../provider/protocol/status";
import { bpftool, ip, PrivateNetwork } from "../../bpf/support";
import { type Agent, emptySpec, TestHost } from "../support";

export interface Delivery {
  spec: Spec;
  blobs: Buffer[];
}

/** Lines in chunks of `perChunk`, with their manifest. */
function content(lines: string[], blobs: Buffer[], perChunk = 100): TextContent {
  const chunks: TextChunk[] = [];
  for (let at = 0; at < lines.length; at += perChunk) {
    const some = lines.slice(at, at + perChunk);
    const bytes = Buffer.from(some.map((line) => `${line}\n`).join(""));
    blobs.push(bytes);
    chunks.push({ blob: digestOf(bytes), count: some.length });
  }
  const manifest = Buffer.from(canonicalJson(chunks));
  blobs.push(manifest);
  return { manifest: digestOf(manifest), count: lines.length };
}

export const tcp = (port: number) => [{ protocol: "TCP" as const, port }];

export interface Wish extends Partial<Omit<PolicyPart, "ingress" | "egress">> {
  ingress?: IngressRule[];
  egress?: EgressRule[];
}

export function policySpec(name: string, { ingress, egress, ...wish }: Wish, stack = "demo/test"): Delivery {
  const blobs: Buffer[] = [];
  const rules = (list: (IngressRule | EgressRule)[]) =>
    content(
      list.map((rule) => canonicalJson({ action: "allow", ...rule })),
      blobs,
    );
  const policy: PolicyPart = {
    ...{ interfaces: ["veth0"], hook: "tc", mode: "enforce", infrastructure: true, established: "recheck" },
    ...{ sets: {}, management: [], sampleRate: 0, tests: [] },
    ...wish,
    ...(ingress === undefined ? {} : { ingress: rules(ingress) }),
    ...(egress === undefined ? {} : { egress: rules(egress) }),
  };
  return { spec: { ...emptySpec(`${stack}/NetworkPolicy/${name}`), policy }, blobs };
}

export function setSpec(name: string, networks: string[], stack = "demo/test"): Delivery {
  const blobs: Buffer[] = [];
  const addressSet = { networks: content(networks, blobs) };
  return { spec: { ...emptySpec(`${stack}/AddressSet/${name}`), addressSet }, blobs };
}

/** What a test needs of one host with policies in a namespace. */
export class PolicyHost {
  readonly host = new TestHost();
  readonly network: PolicyNetwork;

  constructor(pairs = 1) {
    this.network = new PolicyNetwork(pairs);
  }

  get agent(): Agent {
    return this.host.agent;
  }

  /** The agent as it goes to work on an older kernel, which this one can do as well. */
  onKernel(kernel: string): Agent {
    return this.host.open(kernel);
  }

  policy(name: string, wish: Wish, stack?: string): Delivery {
    return policySpec(name, { netns: this.network.name, ...wish }, stack);
  }

  apply({ spec, blobs }: Delivery): Promise<Status> {
    return this.agent.deliver(spec, blobs);
  }

  plan({ spec, blobs }: Delivery, by = this.agent): Promise<PlanResult> {
    const named = Object.fromEntries(blobs.map((bytes) => [digestOf(bytes), bytes]));
    return by.call("plan", { spec, blobs: named });
  }

  remove({ spec }: Delivery): Promise<void> {
    return this.agent.remove(spec.id);
  }

  /** Code and words of what an apply fails with. */
  async refusal(delivery: Delivery): Promise<string> {
    const error = await this.apply(delivery).then(
      () => assert.fail("it was applied"),
      (thrown: unknown) => EbpfError.from(thrown),
    );
    return `${error.code}: ${error.message}`;
  }

  /** Programs in the order in which they run. Debian 12's bpftool is older than TCX; this is BPF_PROG_QUERY. */
  programs(direction: "ingress" | "egress", name = "veth0"): number[] {
    return this.network.inside(() =>
      queryTcx(interfaceIndex(name), direction).programs.map(({ programId }) => programId),
    );
  }

  /** Pins of all planes: path below bpffs. */
  planePins(kind: "programs" | "maps" | "links"): string[] {
    return this.host.pins().filter((pin) => pin.includes("/Plane/") && pin.includes(`/${kind}/`));
  }

  /** Packets of the connections that rules allowed, by slot, as bpftool shows them, in the only plane. */
  hits(): number[] {
    const pin = this.planePins("maps").find((path) => path.endsWith("/rule_counters"))!;
    const rows = bpftool("map", "dump", "pinned", `${this.host.roots.bpffs}/${pin}`) as {
      values: { value: string[] }[];
    }[];
    return rows.map(({ values }) =>
      values.reduce(
        (sum, { value }) => sum + Number(Buffer.from(value.slice(0, 8).map(Number)).readBigUInt64LE()),
        0,
      ),
    );
  }

  /** Ids of the arrays of cells in both slots of the only plane, as bpftool shows them. */
  arrays(): number[] {
    const pin = this.planePins("maps").find((path) => path.includes("/maps/generations"))!;
    const rows = bpftool("map", "dump", "pinned", `${this.host.roots.bpffs}/${pin}`) as { value: string[] }[];
    return rows.map(({ value }) => Buffer.from(value.map(Number)).readUInt32LE());
  }

  /** In a table of the namespace, as bpftool shows it. */
  connections(table: "half_open" | "established"): number {
    const pin = this.host.pins().find((path) => path.endsWith(`/maps/${table}`))!;
    return (bpftool("map", "dump", "pinned", `${this.host.roots.bpffs}/${pin}`) as unknown[]).length;
  }

  /** The same where the counters are sharded. */
  shardHits(shards = 8): number[] {
    const pin = this.planePins("maps").find((path) => path.endsWith("/rule_shards"))!;
    const shown = execFileSync(
      "bpftool",
      ["-j", "map", "dump", "pinned", `${this.host.roots.bpffs}/${pin}`],
      {
        encoding: "utf8",
        maxBuffer: 2 ** 26,
      },
    );
    const rows = JSON.parse(shown) as { value: string[] }[];
    const hits: number[] = [];
    rows.forEach(({ value }, index) => {
      // 256 slots of one shard, then the same of the next
      const slot = Math.floor(index / (256 * shards)) * 256 + (index % 256);
      hits[slot] = (hits[slot] ?? 0) + Number(Buffer.from(value.slice(0, 8).map(Number)).readBigUInt64LE());
    });
    return hits;
  }

  /** Policies first, since they refer to sets. */
  async removeAll(): Promise<void> {
    const all = (await this.agent.call("list", {})).reverse();
    for (const { id, incarnation } of all) await this.agent.call("remove", { id, incarnation });
  }

  /** Removes all, and checks that nothing is left. */
  async end(): Promise<void> {
    await this.removeAll();
    await this.host.endSessions();
    this.host.assertEmpty();
    const names = this.network.inside(() => networkInterfaces().map(({ name }) => name));
    for (const name of names) {
      assert.deepEqual([this.programs("ingress", name), this.programs("egress", name)], [[], []], name);
      assert.deepEqual(
        this.network.inside(() => queryXdp(interfaceIndex(name)).programIds),
        {},
        name,
      );
    }
    await this.host.remove();
    this.network.remove();
  }
}

const HOST = { ipv4: "10.98.0.1", ipv6: "fd98::1" };
const PEER = { ipv4: "10.98.0.2", ipv6: "fd98::2" };

/** For a SYN that is to be answered: a busy machine is slow, and TCP sends another one after a second. */
const PATIENCE_SECONDS = 10;
/** After which a SYN counts as not answered. */
const SILENCE_SECONDS = 0.4;

interface To {
  /** Default the first. */
  pair?: number;
  ipv6?: boolean;
}

/** Two namespaces joined by `pairs` veth pairs `veth0`, `veth2` …: this host's, and one of peers with the odd ends. */
export class PolicyNetwork {
  private readonly host = new PrivateNetwork();
  private readonly peer = new PrivateNetwork();
  readonly name = this.host.name;

  constructor(readonly pairs = 1) {
    for (const { name } of [this.host, this.peer])
      execFileSync("ip", ["-n", name, "link", "delete", "veth0"]);
    for (let pair = 0; pair < pairs; pair++) this.addPair(pair);
  }

  addPair(pair: number): void {
    const [near, far] = [`veth${2 * pair}`, `veth${2 * pair + 1}`];
    execFileSync("ip", [
      ...["-n", this.host.name, "link", "add", near, "type", "veth"],
      ...["peer", "name", far, "netns", this.peer.name],
    ]);
    for (const [network, name, ends] of [
      [this.host, near, HOST],
      [this.peer, far, PEER],
    ] as const) {
      network.inside(() => {
        ip("address", "add", `${addressOf(ends.ipv4, pair)}/24`, "dev", name);
        ip("address", "add", `${addressOf(ends.ipv6, pair)}/64`, "dev", name, "nodad");
        ip("link", "set", name, "up");
      });
    }
  }

  inside<T>(work: () => T): T {
    return this.host.inside(work);
  }

  outside<T>(work: () => T): T {
    return this.peer.inside(work);
  }

  /** Whether a TCP SYN of the peer is answered; that nobody listens is an answer, too. Waits for one that comes late. */
  enters(port: number, to: To = {}): boolean {
    return this.answersPeer(port, to, PATIENCE_SECONDS);
  }

  /** Whether a TCP SYN of the peer is not answered. */
  keptOut(port: number, to: To = {}): boolean {
    return !this.answersPeer(port, to, SILENCE_SECONDS);
  }

  /** The peer sends a TCP SYN, whatever becomes of it. */
  knocks(port: number): void {
    this.answersPeer(port, {}, SILENCE_SECONDS);
  }

  /** As `enters`, from the host to the peer. */
  leaves(port: number, to: To = {}): boolean {
    return this.answersHost(port, to, PATIENCE_SECONDS);
  }

  /** As `keptOut`, from the host to the peer. */
  keptIn(port: number, to: To = {}): boolean {
    return !this.answersHost(port, to, SILENCE_SECONDS);
  }

  private answersPeer(port: number, { pair = 0, ipv6 = false }: To, seconds: number): boolean {
    return this.outside(() => answers(addressOf(ipv6 ? HOST.ipv6 : HOST.ipv4, pair), port, seconds));
  }

  private answersHost(port: number, { pair = 0, ipv6 = false }: To, seconds: number): boolean {
    return this.inside(() => answers(addressOf(ipv6 ? PEER.ipv6 : PEER.ipv4, pair), port, seconds));
  }

  /** So many datagrams of the peer. */
  floods(count: number): void {
    const script = `exec 3<>/dev/udp/${HOST.ipv4}/9; for ((i = 0; i < ${count}; i++)); do echo >&3; done 2>&-; true`;
    this.outside(() => execFileSync("bash", ["-c", script]));
  }

  /** TCP segments that either namespace sent again. */
  retransmitted(): number {
    const show = () => execFileSync("nstat", ["-aszj", "TcpRetransSegs"], { encoding: "utf8" });
    const figures = [this.inside(show), this.outside(show)].map(
      (text) => (JSON.parse(text) as { kernel: { TcpRetransSegs: number } }).kernel.TcpRetransSegs,
    );
    return figures[0]! + figures[1]!;
  }

  remove(): void {
    this.peer.remove();
    this.host.remove();
  }
}

function addressOf(first: string, pair: number): string {
  return first.includes(":")
    ? first.replace("fd98::", `fd98:${pair}::`)
    : first.replace(".98.0.", `.98.${pair}.`);
}

function answers(address: string, port: number, seconds: number): boolean {
  const { status } = spawnSync(
    "timeout",
    [String(seconds), "bash", "-c", `exec 3<>/dev/tcp/${address}/${port}`],
    {
      stdio: "ignore",
    },
  );
  return status !== 124;
}
