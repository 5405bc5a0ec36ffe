/** How often and how many at once: dials in parallel, and dials in sequence with back-off. */
import { setTimeout as sleep } from "node:timers/promises";
import { EbpfError } from "../errors";
import type { DialOptions } from "./line";

/** sshd drops what comes over its MaxStartups; and each dial costs key exchange on our side. */
const PARALLEL_DIALS = 32;
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 5_000;

/** Runs at most `count` functions at once, in the order they came. */
export class Slots {
  private readonly waiting: (() => void)[] = [];

  constructor(private count: number) {}

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.count > 0) this.count--;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.count++;
      else next();
    }
  }
}

const dials = new Slots(PARALLEL_DIALS);

/**
 * Dials until it works. Only a failure to get through (phase `dial`) is tried again: what the host said about key or
 * login it will say again.
 */
export async function dialWithRetries<T>(
  host: string,
  { dialErrorLimit, signal, onProgress }: DialOptions,
  dial: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(signal, host);
    try {
      return await dials.run(dial);
    } catch (thrown) {
      const error = EbpfError.from(thrown);
      const dialling = EbpfError.is(error, "transport") && error.details.phase === "dial";
      if (!dialling || attempt >= dialErrorLimit) throw error;
      const limit = Number.isFinite(dialErrorLimit) ? ` of ${dialErrorLimit}` : "";
      onProgress?.(`${host}: ${error.message}; dial ${attempt}${limit} failed, trying again`);
      const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
      await sleep(delay, undefined, signal === undefined ? {} : { signal }).catch(() => {});
    }
  }
}

export function throwIfAborted(signal: AbortSignal | undefined, host: string): void {
  if (signal?.aborted) throw new EbpfError("cancelled", "dial: cancelled", {}, { host });
}
