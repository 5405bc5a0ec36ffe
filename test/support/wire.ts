/** Frames of our own making on real interfaces: sent as they are, and seen behind what judges them on the other side. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";
import { ethernet } from "../../provider/network-policy/frames";

const MARK = 0x88b5;
let marks = 0;

/** One interface, in the namespace where `inside` works. */
export class WireEnd {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  private constructor(inside: (work: () => ChildProcess) => ChildProcess, name: string) {
    this.child = inside(() =>
      spawn("python3", [path.join(__dirname, "wire.py"), name], { stdio: ["pipe", "pipe", "inherit"] }),
    );
    // it ends with its input: a suite that failed does not wait for it
    this.child.unref();
    for (const pipe of [this.child.stdin, this.child.stdout]) (pipe as Socket).unref();
    this.lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  static async open(inside: (work: () => ChildProcess) => ChildProcess, name: string): Promise<WireEnd> {
    const end = new WireEnd(inside, name);
    await end.next();
    return end;
  }

  /** Sends frames, and says which of them came to the other end, whatever tags they lost on the way. */
  async send(frames: readonly Buffer[], to: WireEnd): Promise<boolean[]> {
    const mark = Buffer.alloc(46);
    mark.writeUInt32BE(++marks);
    const last = ethernet(MARK, mark).toString("hex");
    this.child.stdin!.write([...frames.map((frame) => frame.toString("hex")), last, ""].join("\n"));
    const came = new Map<string, number>();
    for (let line = await to.next(); line !== last; line = await to.next()) {
      const packet = packetIn(line);
      came.set(packet, (came.get(packet) ?? 0) + 1);
    }
    return frames.map((frame) => {
      const packet = packetIn(frame.toString("hex"));
      const count = came.get(packet) ?? 0;
      came.set(packet, count - 1);
      return count > 0;
    });
  }

  /** What it receives before a packet that ends so; of that the IPv4 packets without options: the kernel's own neighbour discovery is none. */
  async receivesUntil(ending: Buffer): Promise<string[]> {
    const before: string[] = [];
    const last = ending.toString("hex");
    for (let line = await this.next(); !line.endsWith(last); line = await this.next()) {
      if (line.startsWith("080045", 24)) before.push(line);
    }
    return before;
  }

  async end(): Promise<void> {
    this.child.stdin!.end();
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit");
  }

  private async next(): Promise<string> {
    const late = setTimeout(() => this.child.kill(), 30_000);
    const { value, done } = await this.lines.next();
    clearTimeout(late);
    if (done) throw new Error("the wire is cut");
    return String(value);
  }
}

/** What follows the Ethernet header and its tags. */
function packetIn(frame: string): string {
  let at = 24;
  while (frame.startsWith("8100", at) || frame.startsWith("88a8", at)) at += 8;
  return frame.slice(at + 4);
}

/** RFC 1071. */
export function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}
