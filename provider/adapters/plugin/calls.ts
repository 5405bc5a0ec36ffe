/** Calls of the engine under way: what they report, when they are over time, and the engine's wish to end them all. */
import { setMaxListeners } from "node:events";
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
  /** Of all calls without a time of their own: a controller each would be a good part of what a call costs. */
  const untimed = new AbortController();
  setMaxListeners(0, untimed.signal);
  const timed = new Set<AbortController>();
  const calls: Calls = {
    log: undefined,

    async run({ urn, text, timeout }, work) {
      const limit = timeout !== undefined && timeout.seconds > 0 ? timeout : undefined;
      const abort = limit === undefined ? untimed : new AbortController();
      const lines: Promise<void>[] = [];
      const call: Call = {
        report(message, severity = "info") {
          if (calls.log !== undefined) lines.push(calls.log.write(urn, severity, message));
        },
        explain: (text) => call.report(text),
        signal: abort.signal,
      };
      let late = false;
      let timer: NodeJS.Timeout | undefined;
      if (limit !== undefined) {
        if (untimed.signal.aborted) abort.abort();
        timed.add(abort);
        const expire = (): void => {
          late = true;
          abort.abort();
        };
        timer = setTimeout(expire, limit.seconds * 1000);
      }
      try {
        return await work(call);
      } catch (thrown) {
        throw late
          ? overdue(thrown, `${text}: not done within ${timeout!.seconds} s`, timeout!.name)
          : thrown;
      } finally {
        clearTimeout(timer);
        timed.delete(abort);
        // the engine forgets lines of a resource whose step is over
        await Promise.all(lines);
      }
    },

    cancel() {
      for (const abort of [untimed, ...timed]) abort.abort();
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
