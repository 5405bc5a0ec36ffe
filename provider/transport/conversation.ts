/**
 * Lines to and from the bootstrap script, until the agent takes over the stream. Owns: finding the script's lines in
 * whatever a login prints, time limits, and the command's last words. Does not own: what the lines mean (delivery.ts).
 */
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { EbpfError, type ErrorDetails } from "../errors";
import type { RemoteCommand } from "./line";

/** What a login may print before the script speaks. */
const NOISE_LIMIT = 1 << 20;
const STDERR_LIMIT = 16 << 10;
/** Slowest upload that is waited for. */
const LEAST_BYTES_PER_MS = 10;
const UPLOAD_CHUNK = 256 << 10;
/** How long the end of a command is waited for, once its output has ended. */
const LAST_WORDS_MS = 1_000;

export class Conversation {
  private readonly stdio: Duplex;
  private stderr = "";
  private ended: string | undefined;
  private received = Buffer.alloc(0);

  constructor(
    private readonly command: RemoteCommand,
    private readonly host: string,
    private readonly nonce: string,
  ) {
    this.stdio = command.stdio;
    this.stdio.on("error", () => {}); // the command's end follows and says more
    command.stderr.on("data", (chunk: Buffer) => {
      this.stderr = (this.stderr + chunk.toString("utf8")).slice(-STDERR_LIMIT);
    });
    void command.ended.then((text) => (this.ended = text));
  }

  /** The words of the script's next line; undefined when the command ended instead. */
  async line(timeoutMs: number): Promise<string[] | undefined> {
    const start = this.nonce + " ";
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        this.stdio.pause();
        this.stdio.off("data", take).off("end", end).off("close", end);
      };
      const take = (chunk: Buffer): void => {
        this.received = Buffer.concat([this.received, chunk]);
        const from = this.received.indexOf(`\n${start}`);
        const to = from < 0 ? -1 : this.received.indexOf("\n", from + 1);
        if (to >= 0) {
          const words = this.received.toString("utf8", from + 1 + start.length, to).split(" ");
          // what follows is the next line's, or the agent's
          const rest = this.received.subarray(to + 1);
          this.received = Buffer.alloc(0);
          settle();
          if (rest.length > 0) this.stdio.unshift(rest);
          resolve(words);
        } else if (this.received.length > NOISE_LIMIT) {
          settle();
          reject(this.error("start the agent: the login prints without end", "exec"));
        }
      };
      const end = (): void => {
        settle();
        resolve(undefined);
      };
      const timer = setTimeout(() => {
        settle();
        reject(this.error(`start the agent: no answer in ${timeoutMs / 1000} s`, "exec"));
      }, timeoutMs);
      if (this.stdio.readableEnded || this.stdio.destroyed) return end();
      this.stdio.on("data", take).once("end", end).once("close", end);
      this.stdio.resume(); // a stream that was paused stays so until told
    });
  }

  write(text: string): void {
    this.stdio.write(text);
  }

  /** Resolves when the stream has taken all; also when it ended, which the next line() tells. */
  async upload(bytes: Buffer, onSent: (bytes: number) => void): Promise<void> {
    const deadline = Date.now() + 60_000 + bytes.length / LEAST_BYTES_PER_MS;
    for (let offset = 0; offset < bytes.length; offset += UPLOAD_CHUNK) {
      const chunk = bytes.subarray(offset, offset + UPLOAD_CHUNK);
      if (this.stdio.destroyed || this.ended !== undefined) return;
      await Promise.race([
        new Promise((resolve) => this.stdio.write(chunk, resolve)),
        this.command.ended,
        sleep(Math.max(0, deadline - Date.now()), undefined, { ref: false }),
      ]);
      if (Date.now() > deadline) {
        throw this.error(
          "deliver the agent: the connection is too slow, or the host stopped reading",
          "deliver",
        );
      }
      onSent(offset + chunk.length);
    }
  }

  /** How the command ended and what it printed: `exit status 1: sudo: a password is required`. */
  async lastWords(): Promise<string> {
    if (this.ended === undefined) {
      await Promise.race([this.command.ended, sleep(LAST_WORDS_MS, undefined, { ref: false })]);
    }
    return [this.ended ?? "the connection was lost", this.stderr.trim()]
      .filter((text) => text !== "")
      .join(": ");
  }

  error(message: string, phase: ErrorDetails["transport"]["phase"], remedy?: string): EbpfError {
    return new EbpfError(
      "transport",
      message,
      { phase },
      { host: this.host, ...(remedy === undefined ? {} : { remedy }) },
    );
  }
}
