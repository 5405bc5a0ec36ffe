/**
 * TCP services on a host, and whether somebody reaches them: a real connection over which the service speaks first.
 *
 * Owns: the process on the host that listens. Does not own: what stands in the way.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { run } from "./command.js";
import type { TestClient, TestHost } from "./host.js";

const GREETING = "hello";

/** Ends when its standard input does, so with the process that started it at the latest. */
const SERVER = `
const { createServer } = require("node:net");
const ports = process.argv.slice(1).map(Number);
let open = 0;
for (const port of ports) {
  createServer((socket) => socket.on("error", () => {}).end("${GREETING}"))
    .listen(port, "::", () => ++open === ports.length && console.log("ready"));
}
process.stdin.resume().on("end", () => process.exit());
`;

export class TcpService {
  private constructor(private readonly child: ChildProcess) {}

  /** Resolves when all ports are open, IPv4 and IPv6. */
  static async start(host: TestHost, ports: readonly number[]): Promise<TcpService> {
    const [program, ...words] = host.command([process.execPath, "-e", SERVER, ...ports.map(String)]);
    const child = spawn(program!, words, { stdio: ["pipe", "pipe", "inherit"] });
    await new Promise<void>((done, fail) => {
      child.once("error", fail).once("exit", (code) => fail(new Error(`TCP service: exit status ${code}`)));
      child.stdout!.once("data", () => done());
    });
    return new TcpService(child);
  }

  async stop(): Promise<void> {
    const ended = new Promise((done) => this.child.removeAllListeners("exit").once("exit", done));
    this.child.stdin!.end();
    await ended;
  }
}

/** `dropped`: no answer within the time that a SYN is sent again. */
export async function connect(
  from: Pick<TestClient, "command">,
  address: string,
  port: number,
): Promise<"open" | "refused" | "dropped"> {
  const script = `exec 3<>"/dev/tcp/$0/$1" && head -c ${GREETING.length} <&3`;
  const words = ["timeout", "1.5", "bash", "-c", script, address, String(port)];
  const { code, stdout } = await run(from.command(words), { check: false });
  if (code === 0 && stdout === GREETING) return "open";
  return code === 124 ? "dropped" : "refused";
}

/** Ports by what a connection to them met. */
export async function connectAll(
  from: Pick<TestClient, "command">,
  address: string,
  ports: readonly number[],
): Promise<Record<number, string>> {
  const met = await Promise.all(ports.map((port) => connect(from, address, port)));
  return Object.fromEntries(ports.map((port, index) => [port, met[index]!]));
}
