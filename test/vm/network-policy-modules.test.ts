/**
 * Network policies beside modules of the kernel that a container's host may lack: nf_conntrack, from which connections are
 * known that were open before, with address translation too, and 8021q, whose frames have one tag or two.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import type { FlowFacts } from "../../provider/protocol/policy";
import { closeAll, openSession } from "../../provider/transport/pool";
import { ManagedResource } from "../support/managed-resource";
import { connect } from "../support/network-service";
import { Vm } from "./machine/vm";

type Properties = Record<string, unknown>;

/** The machine routes from its client to a server; what goes to .3 is translated. */
const routed = `
modprobe nf_conntrack && modprobe 8021q
ip netns add server
ip link add srv0 type veth peer name srv0 netns server
ip address add 198.21.0.1/24 dev srv0 && ip link set srv0 up
ip -n server address add 198.21.0.2/24 dev srv0 && ip -n server address add 198.21.0.3/24 dev srv0
ip -n server link set srv0 up && ip -n server route add default via 198.21.0.1
ip -n client route add 198.21.0.0/24 via 198.19.0.10
sysctl -qw net.ipv4.ip_forward=1
nft add table inet track
nft 'add chain inet track forward { type filter hook forward priority 0; }'
nft add rule inet track forward ct state established accept
nft add table ip translate
nft 'add chain ip translate out { type nat hook postrouting priority 100; }'
nft add rule ip translate out ip daddr 198.21.0.3 masquerade
sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600
`;

/** `eth0.5` with one tag, `qinq` with two, in a namespace whose addresses end in `end`. */
const tagged = (end: number): string => `
ip link add link eth0 name eth0.5 type vlan id 5
ip link add link eth0 name outer type vlan proto 802.1ad id 7
ip link add link outer name qinq type vlan id 9
ip address add 198.22.5.${end}/24 dev eth0.5 && ip address add 198.22.9.${end}/24 dev qinq
ip link set eth0.5 up && ip link set outer up && ip link set qinq up
`;

describe("Network policies beside nf_conntrack and 8021q in a virtual machine", function () {
  this.timeout(480_000);
  let vm: Vm;
  let policy: ManagedResource;
  const peers: Peer[] = [];

  before(async () => {
    vm = await Vm.boot("6.12");
    await vm.host().exec(["sh", "-ec", routed]);
    await vm.host().exec(["sh", "-ec", tagged(1)]);
    await vm.client.exec(["sh", "-ec", tagged(2)]);
  });

  after(async () => {
    closeAll();
    await Promise.all(peers.map((peer) => peer.end()));
    await vm?.destroy();
  });

  const policyArgs = (interfaces: string[], rest: Properties): Properties => ({
    ...{ connection: vm.host().connection, interfaces, ...rest },
  });

  it("54: connections that the kernel tracks are known at the first enforcement, translated ones too", async () => {
    const [server, host, client] = await openPeers();
    const services = [8001, 8002, 8003, 7, 9];
    client.say("first");
    for (const port of [8001, 8002, 8003]) await server.hears(port, "first");
    for (const port of [7, 9]) await host.hears(port, "first");
    for (const peer of [server, host]) peer.say("answer");
    for (const port of services) await client.hears(port, "answer");

    // two directions that let nothing in or out but what these rules open
    const to = (protocol: string, port: number) => ({ name: `${port}`, ports: [{ protocol, port }] });
    policy = await ManagedResource.create(
      "NetworkPolicy",
      "routed",
      policyArgs(["eth0", "srv0"], {
        ingress: [to("TCP", 8001), to("TCP", 8003), to("UDP", 7), to("UDP", 9)],
        egress: [to("TCP", 8001), to("TCP", 8003)],
      }),
    );
    // the side that answers speaks first: a packet that by itself no rule lets through
    for (const turn of ["one", "two"]) {
      for (const peer of [server, host]) peer.say(turn);
      for (const port of [8001, 8003, 7, 9]) await client.hears(port, turn);
    }
    assert.ok(!client.heard.has("8002 one"), "what no rule opens is not let through since it was open");
    client.say("last");
    for (const port of [8001, 8003]) await server.hears(port, "last");

    const session = await openSession(vm.host().connection);
    const { flows } = await session.call("policy.flows", { limit: 100 });
    assert.deepEqual(
      flows
        .filter(({ destinationPort: port }) => services.includes(port!))
        .map(flowText)
        .sort(),
      [
        "198.19.0.2 > 198.19.0.10:7 ingress",
        "198.19.0.2 > 198.21.0.2:8001 ingress egress",
        "198.19.0.2 > 198.21.0.3:8003 ingress",
        "198.21.0.1 > 198.21.0.3:8003 egress",
        "fd00:198:19::2 > fd00:198:19::10:9 ingress",
      ],
    );
    await policy.delete();
  });

  const addresses = { eth0: "198.19.0.10", "eth0.5": "198.22.5.1", qinq: "198.22.9.1" };

  /** Whether SSH is answered and all else dropped, of the client's connections to each address. */
  async function judged(): Promise<string[]> {
    const names: string[] = [];
    for (const [name, address] of Object.entries(addresses)) {
      // that somebody answers, whatever it is
      while ((await connect(vm.client, address, 22)) === "dropped");
      if ((await connect(vm.client, address, 81)) === "dropped") names.push(name);
    }
    return names;
  }

  it("5, 53: frames with one tag or two are judged on the interface below, or on the VLAN, not on both", async () => {
    const ingress = [{ name: "ssh", ports: [{ protocol: "TCP", port: 22 }] }];
    const on = (interfaces: string[], rest: Properties = {}) => policyArgs(interfaces, { ingress, ...rest });
    policy = await ManagedResource.create("NetworkPolicy", "vlan", on(["eth0"]));
    assert.deepEqual(await judged(), ["eth0", "eth0.5", "qinq"]);
    await policy.update(on(["eth0"], { hook: "xdp" }));
    assert.deepEqual(await judged(), ["eth0", "eth0.5", "qinq"]);
    for (const vlan of ["eth0.5", "qinq"]) {
      await assert.rejects(policy.update(on(["eth0", vlan])), {
        message: new RegExp(`frames of VLAN ${vlan} .* are judged on its parent eth0 already`),
      });
      await policy.update(on([vlan]));
      assert.deepEqual(await judged(), [vlan]);
      await policy.update(on(["eth0"]));
    }
    await policy.delete();
    assert.deepEqual(await judged(), []);
  });

  /** On the server beyond the machine, on the machine, and on the client, which is connected to both. */
  async function openPeers(): Promise<[Peer, Peer, Peer]> {
    await openSession(vm.host().connection);
    const node = await vm.agentNode();
    const start = async (namespace: string[], plan: Plan): Promise<Peer> => {
      const peer = new Peer(vm.host().command([...namespace, node, "-e", PEER, JSON.stringify(plan)]));
      peers.push(peer);
      await peer.ready;
      return peer;
    };
    const inside = (name: string) => ["ip", "netns", "exec", name];
    const server = await start(inside("server"), { tcp: [8001, 8002, 8003] });
    const host = await start([], { udp: [7, 9] });
    const client = await start(inside("client"), {
      tcpTo: [
        { host: "198.21.0.2", port: 8001 },
        { host: "198.21.0.2", port: 8002 },
        { host: "198.21.0.3", port: 8003 },
      ],
      udpTo: [
        { host: vm.host().address, port: 7 },
        { host: vm.host().address6, port: 9 },
      ],
    });
    return [server, host, client];
  }
});

function flowText({ source, destination, destinationPort, judged }: FlowFacts): string {
  return `${source} > ${destination}:${destinationPort} ${judged.map(({ direction }) => direction).join(" ")}`;
}

interface Plan {
  /** Ports to listen at. */
  tcp?: number[];
  udp?: number[];
  /** Where to connect. */
  tcpTo?: { host: string; port: number }[];
  udpTo?: { host: string; port: number }[];
}

/** Says a line of its standard input to every end that it knows, and prints what it hears: `port text`. */
const PEER = `
const { createServer, connect } = require("node:net");
const { createSocket } = require("node:dgram");
const { tcp = [], udp = [], tcpTo = [], udpTo = [] } = JSON.parse(process.argv[1]);
const ends = [];
let waiting = tcp.length + udp.length + tcpTo.length + udpTo.length;
const opened = () => --waiting === 0 && console.log("ready");
const hear = (port, bytes) => console.log(port + " " + String(bytes).trim());
const talk = (port, socket) => {
  ends.push((text) => socket.write(text));
  socket.setNoDelay().on("error", () => {}).on("data", (bytes) => hear(port, bytes));
};
for (const port of tcp) createServer((socket) => talk(port, socket)).listen(port, "::", opened);
for (const to of tcpTo) talk(to.port, connect(to, opened));
for (const port of udp) {
  const known = new Map();
  const socket = createSocket("udp6", (bytes, from) => (known.set(from.address, from), hear(port, bytes)));
  ends.push((text) => known.forEach((to) => socket.send(text, to.port, to.address)));
  socket.bind(port, "::", opened);
}
for (const { host, port } of udpTo) {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4", (bytes) => hear(port, bytes));
  ends.push((text) => socket.send(text));
  socket.connect(port, host, opened);
}
process.stdin.on("data", (text) => ends.forEach((say) => say(text))).on("end", () => process.exit());
`;

/** Connections that are held open by a process in the machine. */
class Peer {
  readonly heard = new Set<string>();
  readonly ready: Promise<void>;
  private readonly child: ChildProcess;
  private listeners: (() => void)[] = [];

  constructor([file, ...args]: string[]) {
    this.child = spawn(file!, args, { stdio: ["pipe", "pipe", "inherit"] });
    let rest = "";
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.heard.add(line);
      for (const listener of this.listeners.splice(0)) listener();
    });
    this.ready = this.until("ready");
  }

  say(text: string): void {
    this.child.stdin!.write(`${text}\n`);
  }

  hears(port: number, text: string): Promise<void> {
    return this.until(`${port} ${text}`);
  }

  private async until(line: string): Promise<void> {
    while (!this.heard.has(line)) await new Promise<void>((done) => this.listeners.push(done));
  }

  async end(): Promise<void> {
    const ended = new Promise((done) => this.child.once("close", done));
    this.child.stdin!.end();
    await ended;
  }
}
