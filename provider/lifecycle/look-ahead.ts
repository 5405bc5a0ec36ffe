/**
 * Looks at what a refresh will ask for next. The engine asks for one resource after another, some at a time: each would
 * cost a round trip. Once several of a stack were asked for, the host's others are looked at with them, so that a refresh
 * of a thousand takes a handful of calls.
 *
 * Owns: how far ahead is looked, and how old an answer may be. Does not own: how looks travel (observe-together.ts).
 */
import { setImmediate } from "node:timers/promises";
import type { ObserveResult } from "../protocol/messages";
import type { AgentSession } from "../transport/session";
import { observeTogether, unlessAborted } from "./observe-together";

/** So many looks without any ahead: few are asked for by name, as with `--target`. */
const FIRST = 8;
/** How many more are looked at than were asked for by then, */
const FACTOR = 4;
/** and at most: so that they come while the engine is busy with those before them, and do not grow old. */
const MOST = 256;
/** Of an early answer; then the host is asked again. */
const MAX_AGE_MS = 10_000;

/** As observeTogether. */
export type Look = typeof observeTogether;

interface Early {
  time: number;
  answer: Promise<ObserveResult | null>;
}

interface Seen {
  asked: Set<string>;
  /** Not looked at yet, in the order in which they were applied, which is about the engine's. */
  others: string[];
  early: Map<string, Early>;
}

/** `allowed`: nothing was applied in this process, so what was seen is still so as far as we know. */
export function lookAhead(allowed: () => boolean): Look {
  const hosts = new WeakMap<AgentSession, Seen>();

  return async (session, id, call = {}) => {
    if (!allowed()) return observeTogether(session, id, call);
    let seen = hosts.get(session);
    if (seen === undefined) hosts.set(session, (seen = { asked: new Set(), others: [], early: new Map() }));
    const early = seen.early.get(id);
    seen.early.delete(id);
    seen.asked.add(id);
    const known = early !== undefined && Date.now() - early.time <= MAX_AGE_MS;
    const answer = known ? unlessAborted(early.answer, id, call) : observeTogether(session, id, call);
    if (seen.asked.size === FIRST) void listOthers(session, stackOf(id), seen);
    else if (!known || seen.early.size < ahead(seen) / 2) lookFurther(session, seen);
    return answer;
  };
}

async function listOthers(session: AgentSession, stack: string, seen: Seen): Promise<void> {
  await setImmediate(); // after what the engine waits for
  // a host that cannot say what it holds says why when it is asked for one
  const records = await session.call("list", {}).catch(() => []);
  seen.others = records
    .sort((a, b) => (a.appliedAt < b.appliedAt ? -1 : 1))
    .map(({ id }) => id)
    .filter((id) => id.startsWith(stack) && !seen.asked.has(id));
  lookFurther(session, seen);
}

function ahead({ asked }: Seen): number {
  return Math.min(FACTOR * asked.size, MOST);
}

/** Before the engine has asked for all that is known: it shall not wait. In one call with a look of the same turn. */
function lookFurther(session: AgentSession, seen: Seen): void {
  const { asked, others, early } = seen;
  const time = Date.now();
  for (const id of others.splice(0, ahead(seen))) {
    if (asked.has(id)) continue;
    const answer = observeTogether(session, id);
    early.set(id, { time, answer });
    answer.catch(() => early.delete(id)); // who asks for it later asks anew
  }
}

/** `[<owner>:]<project>/<stack>/` of a Spec's id. */
function stackOf(id: string): string {
  return id.split("/", 2).join("/") + "/";
}
