/**
 * Many looks at one host as one call: a refresh reads each resource by itself, and a call costs more than the look. What
 * is asked within one turn of the event loop goes together, so nobody waits for it.
 */
import { setImmediate } from "node:timers/promises";
import { EbpfError } from "../errors";
import type { ObserveAnswer, ObserveResult } from "../protocol/messages";
import type { AgentSession } from "../transport/session";
import type { Call } from "./call";

interface Question {
  ids: string[];
  answers: Promise<ObserveAnswer[]>;
}

/** The question of this turn. */
const open = new WeakMap<AgentSession, Question>();

/** `null`: the host holds nothing of it. Fails as the verb does for this Spec alone, and with `cancelled`. */
export async function observeTogether(
  session: AgentSession,
  id: string,
  call: Pick<Call, "signal"> = {},
): Promise<ObserveResult | null> {
  const { ids, answers } = open.get(session) ?? begin(session);
  const index = ids.push(id) - 1;
  const answer = (await unlessAborted(answers, id, call))[index]!;
  if (answer === null || !("error" in answer)) return answer;
  throw EbpfError.fromWire(answer.error).with({ host: session.host });
}

function begin(session: AgentSession): Question {
  const ids: string[] = [];
  const answers = setImmediate().then(() => {
    open.delete(session);
    return session.call("observe", { ids });
  });
  const question = { ids, answers };
  open.set(session, question);
  return question;
}

/** Others may want the answers of `work`: it goes on when this caller gives up, who gets `cancelled`. */
export function unlessAborted<T>(work: Promise<T>, id: string, { signal }: Pick<Call, "signal">): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const cancel = () => reject(new EbpfError("cancelled", `observe ${id}: cancelled`, {}));
    if (signal.aborted) cancel();
    signal.addEventListener("abort", cancel, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener("abort", cancel));
  });
}
