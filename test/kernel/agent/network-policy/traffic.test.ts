/** Real traffic while policies come and change: no connection that the rules allow is lost, no packet sees two generations. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { closesEverything } from "../../bpf/support";
import { PolicyHost } from "./support";

const CONNECTIONS = 100;
const CHANGES = 1_000;

/** Answers each line on a connection; a line on stdin sends one on every connection that it has accepted. */
const server = `
const sockets = [];
require("net").createServer((socket) => {
  sockets.push(socket);
  socket.on("error", () => undefined);
  socket.on("data", (text) => String(text).startsWith("ask") && socket.write("answer"));
}).listen(Number(process.argv[1]), "0.0.0.0", () => console.log("ready"));
process.stdin.on("data", () => sockets.forEach((socket) => socket.write("push")));
process.stdin.on("end", () => process.exit());
`;
/** Says how many connections stand, then how many got a push, then how many got an answer. */
const client = `
const [, port, address, count] = process.argv;
const state = { connected: 0, push: 0, answer: 0 };
const say = (name) => ++state[name] === Number(count) && console.log(name);
const sockets = Array.from({ length: Number(count) }, () =>
  require("net").connect(Number(port), address, () => say("connected")).on("data", (text) => say(String(text))));
process.stdin.on("data", () => sockets.forEach((socket) => socket.write("ask")));
process.stdin.on("end", () => process.exit());
`;
/** Numbered packets, each of a connection of its own, until stdin ends; says how many. */
const sender = `
const socket = require("dgram").createSocket("udp4");
let sent = 0;
const sockets = Array.from({ length: 200 }, () => require("dgram").createSocket("udp4"));
const timer = setInterval(() => {
  for (let i = 0; i < 5; i++) sockets[sent % sockets.length].send(String(sent++), 9000, "10.98.0.1");
}, 2);
process.stdin.resume().on("end", () => {
  clearInterval(timer);
  setTimeout(() => { console.log(sent); process.exit(); }, 300);
});
`;
const receiver = `
const seen = new Set();
require("dgram").createSocket({ type: "udp4", recvBufferSize: 1 << 20 })
  .on("message", (text) => seen.add(String(text)))
  .bind(9000, "10.98.0.1", () => console.log("ready"));
process.stdin.resume().on("end", () => { console.log(seen.size); process.exit(); });
`;

/** A node process in a namespace, and what it says. */
class Peer {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(
    inside: (work: () => ChildProcess) => ChildProcess,
    script: string,
    ...words: (string | number)[]
  ) {
    this.child = inside(() =>
      spawn(process.execPath, ["-e", script, ...words.map(String)], { stdio: ["pipe", "pipe", "inherit"] }),
    );
    this.lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  async says(): Promise<string> {
    const late = setTimeout(() => this.child.kill(), 10_000);
    const { value } = await this.lines.next();
    clearTimeout(late);
    return String(value);
  }

  tell(): void {
    this.child.stdin!.write("go\n");
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.stdin!.end();
    await once(this.child, "exit");
  }

  /** Ends, and says one thing more. */
  async last(): Promise<number> {
    this.child.stdin!.end();
    return Number(await this.says());
  }
}

describe("traffic under network policies", function () {
  this.timeout(300_000);
  closesEverything();
  let at: PolicyHost;
  let peers: Peer[];
  const near = (script: string, ...words: (string | number)[]) => {
    peers.push(new Peer((work) => at.network.inside(work), script, ...words));
    return peers.at(-1)!;
  };
  const far = (script: string, ...words: (string | number)[]) => {
    peers.push(new Peer((work) => at.network.outside(work), script, ...words));
    return peers.at(-1)!;
  };

  beforeEach(() => {
    at = new PolicyHost();
    peers = [];
  });
  afterEach(async () => {
    for (const peer of peers) await peer.end();
    await at.end();
  });

  it(`34, 54: ${CONNECTIONS} connections of each direction outlive the first enforcement, whoever speaks first`, async () => {
    const own = near(server, 7000);
    const other = far(server, 7001);
    for (const one of [own, other]) assert.equal(await one.says(), "ready");
    const inbound = far(client, 7000, "10.98.0.1", CONNECTIONS);
    const outbound = near(client, 7001, "10.98.0.2", CONNECTIONS);
    for (const one of [inbound, outbound]) assert.equal(await one.says(), "connected");
    const policy = at.policy("both", {
      ingress: [{ name: "in", ports: [{ protocol: "TCP", port: 7000 }] }],
      egress: [{ name: "out", ports: [{ protocol: "TCP", port: 7001 }] }],
    });
    await at.apply(policy);
    const before = at.network.retransmitted();
    // the side that did not open the connection speaks first
    for (const one of [own, other]) one.tell();
    for (const one of [inbound, outbound]) assert.equal(await one.says(), "push");
    for (const one of [inbound, outbound]) one.tell();
    for (const one of [inbound, outbound]) assert.equal(await one.says(), "answer");
    assert.equal(at.network.retransmitted(), before, "nothing was dropped and sent again");
  });

  it(`judges every packet of a flood by one generation in ${CHANGES} changes`, async () => {
    const ports = [{ protocol: "UDP" as const, port: 9000 }];
    // both let the flood in, by other tables: what took its address from one and its ports from the other would not
    const contents = [
      at.policy("flood", { ingress: [{ name: "by address", from: [{ cidr: "10.98.0.0/24" }] }] }),
      at.policy("flood", {
        ingress: [
          { name: "by port", ports },
          {
            name: "not the others",
            action: "deny",
            from: [{ cidr: "10.98.0.0/30" }],
            ports: [{ protocol: "TCP" }],
          },
        ],
      }),
    ];
    await at.apply(contents[0]!);
    const sink = near(receiver);
    assert.equal(await sink.says(), "ready");
    const source = far(sender);
    for (let change = 1; change <= CHANGES; change++) await at.apply(contents[change % 2]!);
    const sent = await source.last();
    const received = await sink.last();
    assert.ok(sent > CHANGES, `${sent} packets`);
    assert.equal(received, sent);
  });
});
