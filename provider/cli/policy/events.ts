/** `policy events HOST…`: verdicts of sampled packets as they happen, with the rule that decided, until Ctrl-C. */
import { protocolText } from "../../network-policy/protocols";
import type { EventFacts, EventsResult } from "../../protocol/policy";
import type { AgentSession } from "../../transport/session";
import type { Command } from "../command";
import { openHosts } from "../host";
import { endText } from "./flows";
import { answerText, numberOf } from "./words";

export const events: Command = {
  operands: ["HOST", "[HOST…]"],
  options: ["count", "policy"],
  async run(invocation) {
    const { policy } = invocation.options;
    const count = numberOf(invocation.options, "count", Infinity);
    const sessions = await openHosts(invocation);
    const ending = new AbortController();
    const end = (): void => ending.abort();
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, end);
    let printed = 0;
    const follow = async (session: AgentSession): Promise<void> => {
      for await (const event of eventsOf(session, policy, invocation.report, ending.signal)) {
        if (printed === count) return;
        const where = sessions.length === 1 ? "" : `${session.host}  `;
        invocation.print(where + eventText(event), { host: session.host, ...event });
        if (++printed === count) end();
      }
    };
    // where one connection is lost the others end too: what is missing would look like silence
    await Promise.all(sessions.map((session) => follow(session).finally(end)));
    return { well: true };
  },
};

/** Until `signal`; `report` is told once from where on nothing is missed. */
async function* eventsOf(
  session: AgentSession,
  policy: string | undefined,
  report: (message: string) => void,
  signal: AbortSignal,
): AsyncGenerator<EventFacts> {
  let where = "";
  while (!signal.aborted) {
    const params = policy === undefined ? {} : { policy };
    const { sampled, events } = await session.call("policy.events", params, { signal });
    if (where !== sampledText(sampled)) report(`${session.host}: ${(where = sampledText(sampled))}`);
    yield* events;
  }
}

function sampledText(sampled: EventsResult["sampled"]): string {
  return sampled
    .map(({ interfaces, netns, sampleRate }) => {
      const at = netns === undefined ? "" : ` in ${netns}`;
      const share = sampleRate === 1 ? "every packet" : `one packet in ${sampleRate}`;
      return `${share} of ${interfaces.join(", ")}${at}`;
    })
    .join("; ");
}

/** One line; what enforcing the audit policies would change is marked. */
export function eventText(event: EventFacts): string {
  const { time, interface: name, netns, direction, reason, generation, audit, bytes } = event;
  const at = netns === undefined ? name : `${name} in ${netns}`;
  const why = reason === "rule" && event.rule === undefined ? `a rule of generation ${generation}` : reason;
  const verdict = answerText({ ...event, reason: why });
  const also = event.rule === undefined || reason === "rule" ? "" : ` (${reason})`;
  const marked = audit === undefined ? "" : `; audit: ${answerText({ ...audit, reason: "default" })}`;
  return `${time}  ${at} ${direction}  ${subjectText(event)}, ${bytes} bytes: ${verdict}${also}${marked}`;
}

function subjectText({ packet, frame }: EventFacts): string {
  if (packet === undefined) return { arp: "ARP", other: "not IP", malformed: "malformed" }[frame!];
  const { protocol, source, sourcePort, destination, destinationPort, type, code } = packet;
  const message = type === undefined ? "" : ` ${type}/${code}`;
  const ends = [endText(source, sourcePort), endText(destination, destinationPort)];
  return `${protocolText(protocol)}${message} ${ends.join(" > ")}`;
}
