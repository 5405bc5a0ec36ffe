/**
 * Traffic from a client to a host: a bounded flood of numbered UDP packets, and ping.
 *
 * Owns: starting and counting. Does not own: the packets themselves (flood.c).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { run } from "./command.js";
import { type TestClient } from "./host.js";

export interface FloodOptions {
  /** UDP port. Default 9000. */
  port?: number;
  /** Default 10,000; 0 is as many as one core sends, more than the receiving socket takes. */
  packetsPerSecond?: number;
  /** The flood ends by itself after this long. Default 60. */
  seconds?: number;
  /** Over IPv6. Default false. */
  ipv6?: boolean;
}

export interface FloodCount {
  sent: number;
  /** Different packets that arrived at the host's socket. */
  received: number;
  /** `sent - received`. */
  lost: number;
  duplicates: number;
  /** Most packets in a row that did not arrive, between the first and the last that did. */
  longestGap: number;
}

interface Line {
  packets: number;
  duplicates?: number;
  longestGap?: number;
}

/** One end of a flood: a process that prints its count. */
class End {
  line: Line = { packets: -1 };
  private stderr = "";
  private readonly ended: Promise<void>;

  constructor(private readonly child: ChildProcess) {
    createInterface({ input: child.stdout as NonNullable<typeof child.stdout> }).on("line", (text) => {
      this.line = JSON.parse(text) as Line;
    });
    child.stderr?.on("data", (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.ended = new Promise((done, fail) => {
      child.once("error", fail);
      child.once("close", (code) =>
        code === 0 ? done() : fail(new Error(`flood: status ${code}: ${this.stderr}`)),
      );
    });
    this.ended.catch(() => undefined); // whoever waits gets it
  }

  /** Resolves when at least `packets` are counted. */
  async reaches(packets: number): Promise<void> {
    while (this.line.packets < packets) {
      await Promise.race([new Promise((done) => setTimeout(done, 20)), this.ended]);
      if (this.child.exitCode !== null && this.line.packets < packets) {
        throw new Error(`flood: ended at ${this.line.packets} packets, waiting for ${packets}`);
      }
    }
  }

  async finish(): Promise<Line> {
    this.child.stdin?.end();
    await this.ended;
    return this.line;
  }
}

export class Flood {
  private constructor(
    private readonly sender: End,
    private readonly receiver: End,
  ) {}

  /** Packets so far, as of the last tenth of a second. */
  get sent(): number {
    return this.sender.line.packets;
  }

  get received(): number {
    return this.receiver.line.packets;
  }

  /** Resolves when the host received `packets` more than now. Default 1. */
  flowing(packets = 1): Promise<void> {
    return this.receiver.reaches(this.received + packets);
  }

  /** Resolves when the client sent `packets` more than now. */
  sending(packets: number): Promise<void> {
    return this.sender.reaches(this.sent + packets);
  }

  async stop(): Promise<FloodCount> {
    const { packets: sent } = await this.sender.finish();
    const { packets: received, duplicates = 0, longestGap = 0 } = await this.receiver.finish();
    return { sent, received, lost: sent - received, duplicates, longestGap };
  }

  /** Resolves when the host listens and the client has begun to send. */
  static async start(client: TestClient, host: TestClient, options: FloodOptions = {}): Promise<Flood> {
    const { port = 9000, packetsPerSecond = 10_000, seconds = 60, ipv6 = false } = options;
    const binary = await buildFlood();
    const receiver = start(host.command([await host.install(binary), "receive", String(port)]));
    await receiver.reaches(0);
    const to = ipv6 ? host.address6 : host.address;
    const target = [to, port, packetsPerSecond, seconds].map(String);
    const sender = start(client.command([await client.install(binary), "send", ...target]));
    await sender.reaches(0);
    return new Flood(sender, receiver);
  }
}

/** How many of `count` echo requests were answered. */
export async function ping(client: TestClient, address: string, count = 3): Promise<number> {
  const options = ["-n", "-c", String(count), "-i", "0.05", "-W", "1"];
  const { stdout, stderr } = await client.exec(["ping", ...options, address], { check: false });
  const received = /(\d+) received/.exec(stdout)?.[1];
  if (received === undefined) throw new Error(`ping ${address}: ${stderr}${stdout}`);
  return Number(received);
}

function start(command: string[]): End {
  const [file = "", ...args] = command;
  return new End(spawn(file, args, { stdio: ["pipe", "pipe", "pipe"] }));
}

/** Static, so that it runs in a virtual machine as well; kept outside the clone under its source's digest. */
async function buildFlood(): Promise<string> {
  const source = resolve(__dirname, "flood.c");
  const digest = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 12);
  const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "pulumi-ebpf");
  const binary = join(cache, `flood-${digest}`);
  if (existsSync(binary)) return binary;
  mkdirSync(cache, { recursive: true });
  const temporary = `${binary}.${process.pid}`;
  await run(["clang", "-O2", "-static", "-o", temporary, source]);
  renameSync(temporary, binary);
  return binary;
}
