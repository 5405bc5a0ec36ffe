/** Calls of the engine under way: what they report, when they are over time, and the engine's wish to end them all. */
import { EbpfError } from "../../errors";
import type { Call } from "../../lifecycle";
import { PartialError } from "../../lifecycle/partial-error"; // alone: the rest is loaded later
import type { EngineLog } from "./engine-log";

export interface Subject {
  urn: string;
  /** `create Program web`: for the text about a time that is over. */
  text: string;
  /** customTimeouts of the resource, by the name of its property. */
  timeout?: { name: "create" | "update" | "delete" | "read"; seconds: number };
}

export interface Calls {
  /** Where lines go; none are shown before. */
  log: EngineLog | undefined;
  /** `work` with a call of its own, which is aborted by cancel and when the time is up. */
  run<T>(subject: Subject, work: (call: Call) => Promise<T>): Promise<T>;
  /** Aborts the calls under way, and those to come. */
  cancel(): void;
}

export function createCalls(): Calls {
  const running = new Set<AbortController>();
  let cancelled = false;
  const calls: Calls = {
    log: undefined,

    async run({ urn, text, timeout }, work) {
      const abort = new AbortController();
      const lines: Promise<void>[] = [];
      const call: Call = {
        report(message, severity = "info") {
          if (calls.log !== undefined) lines.push(calls.log.write(urn, severity, message));
        },
        explain: (text) => call.report(text),
        signal: abort.signal,
      };
      if (cancelled) abort.abort();
      running.add(abort);
      let late = false;
      const timer =
        timeout === undefined || timeout.seconds <= 0
          ? undefined
          : setTimeout(() => {
              late = true;
              abort.abort();
            }, timeout.seconds * 1000);
      try {
        return await work(call);
      } catch (thrown) {
        throw late
          ? overdue(thrown, `${text}: not done within ${timeout!.seconds} s`, timeout!.name)
          : thrown;
      } finally {
        clearTimeout(timer);
        running.delete(abort);
        // the engine forgets lines of a resource whose step is over
        await Promise.all(lines);
      }
    },

    cancel() {
      cancelled = true;
      for (const abort of running) abort.abort();
    },
  };
  return calls;
}

/** What the end of its time made of a call; any other error stays what it is. */
function overdue(thrown: unknown, message: string, name: string): unknown {
  const cause = thrown instanceof PartialError ? thrown.cause : thrown;
  if (!EbpfError.is(cause, "cancelled")) return thrown;
  const remedy = `see to what is slow, or raise \`customTimeouts.${name}\``;
  const error = new EbpfError("cancelled", `${message} (${cause.render()})`, {}, { remedy, cause });
  return thrown instanceof PartialError ? new PartialError(error, thrown.id, thrown.properties) : error;
}
