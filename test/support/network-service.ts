/**
 * TCP and UDP services on a host, and whether somebody reaches them: over a real TCP connection the service speaks
 * first, a datagram it answers.
 *
 * Owns: the process on the host that listens. Does not own: what stands in the way.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { run } from "./command.js";
import type { TestClient } from "./host.js";

const GREETING = "hello";

/** Ends when its standard input does, so with the process that started it at the latest. */
const SERVER = `
const { createServer } = require("node:net");
const { createSocket } = require("node:dgram");
const { tcp, udp } = JSON.parse(process.argv[1]);
let closed = tcp.length + udp.length;
const opened = () => --closed === 0 && console.log("ready");
for (const port of tcp)
  createServer((socket) => socket.on("error", () => {}).end("${GREETING}")).listen(port, "::", opened);
for (const port of udp) {
  const socket = createSocket("udp6", (_, { port: to, address }) => socket.send("${GREETING}", to, address));
  socket.bind(port, "::", opened);
}
process.stdin.resume().on("end", () => process.exit());
`;

export interface Ports {
  tcp?: readonly number[];
  udp?: readonly number[];
  /** Path of Node on the host. Default: this machine's. */
  node?: string;
}

export class NetworkService {
  private constructor(private readonly child: ChildProcess) {}

  /** Resolves when all ports are open, IPv4 and IPv6. */
  static async start(
    host: Pick<TestClient, "command">,
    { tcp = [], udp = [], node = process.execPath }: Ports,
  ): Promise<NetworkService> {
    const [program, ...words] = host.command([node, "-e", SERVER, JSON.stringify({ tcp, udp })]);
    const child = spawn(program!, words, { stdio: ["pipe", "pipe", "inherit"] });
    await new Promise<void>((done, fail) => {
      child
        .once("error", fail)
        .once("exit", (code) => fail(new Error(`network service: exit status ${code}`)));
      child.stdout!.once("data", () => done());
    });
    return new NetworkService(child);
  }

  async stop(): Promise<void> {
    const ended = new Promise((done) => this.child.removeAllListeners("exit").once("exit", done));
    this.child.stdin!.end();
    await ended;
  }
}

/** Longer than it takes until a SYN is sent again. */
const patienceOf = ({ patience = 1.5 }: Pick<TestClient, "patience">): string => String(patience);

/** `dropped`: no answer within the patience of `from`. */
export async function connect(
  from: Pick<TestClient, "command" | "patience">,
  address: string,
  port: number,
): Promise<"open" | "refused" | "dropped"> {
  const script = `exec 3<>"/dev/tcp/$0/$1" && head -c ${GREETING.length} <&3`;
  const words = ["timeout", patienceOf(from), "bash", "-c", script, address, String(port)];
  const { code, stdout } = await run(from.command(words), { check: false });
  if (code === 0 && stdout === GREETING) return "open";
  return code === 124 ? "dropped" : "refused";
}

/** Whether a datagram is answered. */
export async function connectUdp(
  from: Pick<TestClient, "command" | "patience">,
  address: string,
  port: number,
): Promise<boolean> {
  const script = `exec 3<>"/dev/udp/$0/$1" && echo >&3 && head -c ${GREETING.length} <&3`;
  const words = ["timeout", patienceOf(from), "bash", "-c", script, address, String(port)];
  return (await run(from.command(words), { check: false })).stdout === GREETING;
}

/** Ports by what a connection to them met. */
export async function connectAll(
  from: Pick<TestClient, "command" | "patience">,
  address: string,
  ports: readonly number[],
): Promise<Record<number, string>> {
  const met = await Promise.all(ports.map((port) => connect(from, address, port)));
  return Object.fromEntries(ports.map((port, index) => [port, met[index]!]));
}
