/**
 * The host's lock: one mutating verb at a time, over all agents. `flock` on <run>/lock, so that the kernel
 * releases it when its holder dies; the file's text names the holder and counts the changes made so far.
 */
import fs from "node:fs";
import path from "node:path";
import { EbpfError } from "../errors";
import { tryLock, unlock } from "../bpf";
import { ensureDirectory } from "./durable-file";
import type { Roots } from "./layout";

/** Longest wait for another holder. */
export const LOCK_TIMEOUT_MS = 60_000;
const POLL_MS = 10;

interface LockText {
  /** Counts mutating verbs since boot; an index built at the same number is still right. */
  sequence: number;
  /** The holder; absent when the last one finished. */
  holder?: Holder;
}

interface Holder {
  pid: number;
  verb: string;
  /** Spec ids it works on. */
  ids: string[];
  /** ISO 8601 */
  since: string;
}

/** Proof of holding the lock; what mutates asks for one. */
export interface Held {
  /** Changes before this one. */
  readonly sequence: number;
  /** Specs of a holder that died at work, whose intents want recovery. */
  readonly interrupted: string[];
}

export class Lock {
  #queue: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly roots: Roots,
    private readonly timeoutMs = LOCK_TIMEOUT_MS,
  ) {}

  /** Runs `work` alone on this host. Fails with `locked`, naming the holder, after 60 s. */
  run<T>(
    verb: string,
    ids: string[],
    work: (held: Held) => Promise<T> | T,
    signal?: AbortSignal,
  ): Promise<T> {
    const turn = this.#queue.then(() => this.runAlone(verb, ids, work, signal));
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  /** Changes since boot, as far as an unlocked look can tell. */
  sequence(): number {
    return readText(this.file).sequence;
  }

  /** Whether some living agent is in the midst of a change that names one of the Specs. */
  isBusy(): boolean {
    const { holder } = readText(this.file);
    return holder !== undefined && fs.existsSync(`/proc/${holder.pid}`);
  }

  private get file(): string {
    return path.join(this.roots.run, "lock");
  }

  private async runAlone<T>(
    verb: string,
    ids: string[],
    work: (held: Held) => Promise<T> | T,
    signal?: AbortSignal,
  ): Promise<T> {
    ensureDirectory(this.roots.run);
    const lock = await this.acquire(signal);
    try {
      const { sequence, holder } = readText(this.file);
      write(lock.fd, { sequence, holder: { pid: process.pid, verb, ids, since: new Date().toISOString() } });
      try {
        return await work({ sequence, interrupted: holder?.ids ?? [] });
      } finally {
        write(lock.fd, { sequence: sequence + 1 });
      }
    } finally {
      unlock(lock);
    }
  }

  private async acquire(signal?: AbortSignal): Promise<NonNullable<ReturnType<typeof tryLock>>> {
    const deadline = Date.now() + this.timeoutMs;
    for (;;) {
      const lock = tryLock(this.file);
      if (lock !== undefined) return lock;
      if (signal?.aborted) throw new EbpfError("cancelled", "wait for the host's lock: cancelled", {});
      if (Date.now() > deadline) throw lockedError(readText(this.file).holder, this.timeoutMs);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

function lockedError(holder: Holder | undefined, waitedMs: number): EbpfError {
  const who =
    holder === undefined
      ? "unknown"
      : `pid ${holder.pid}, ${holder.verb} of ${holder.ids.join(", ")} since ${holder.since}`;
  return new EbpfError(
    "locked",
    `take the host's lock: held for ${waitedMs / 1000} s by ${who}`,
    { holder: who },
    {
      remedy: "wait for the other operation to end, then run again",
    },
  );
}

function readText(file: string): LockText {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8")) as LockText;
  } catch {
    // absent, or being written at this moment
    return { sequence: 0 };
  }
}

function write(fd: number, text: LockText): void {
  const bytes = Buffer.from(JSON.stringify(text));
  fs.writeSync(fd, bytes, 0, bytes.length, 0);
  fs.ftruncateSync(fd, bytes.length);
}
