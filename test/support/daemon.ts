/** A server or client that runs until it is ended, in a namespace of its own, and all that it says. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

export class Daemon {
  log = "";
  private readonly child: ChildProcess;
  /** It has exited, and all that it said is in `log`. */
  private readonly closed: Promise<unknown>;

  constructor(inside: (work: () => ChildProcess) => ChildProcess, file: string, ...args: string[]) {
    this.child = inside(() => spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] }));
    for (const stream of [this.child.stdout!, this.child.stderr!])
      stream.on("data", (text: Buffer) => (this.log += text.toString()));
    this.closed = once(this.child, "close");
  }

  count(pattern: RegExp): number {
    return [...this.log.matchAll(pattern)].length;
  }

  /** Exit status; null of one that a signal ended. */
  async ended(): Promise<number | null> {
    await this.closed;
    return this.child.exitCode;
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  async end(): Promise<void> {
    this.child.kill("SIGTERM");
    await this.ended();
  }
}
