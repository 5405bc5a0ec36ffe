/** `policy explain HOST`: which rule decides about a packet, by a test-run of the program that judges. */
import { invalid } from "../../errors";
import type { AgentSession } from "../../transport/session";
import { type Command } from "../command";
import { openHost } from "../host";
import { answerText, packetFor, readTests, testText } from "./words";

export const explain: Command = {
  operands: ["HOST"],
  options: ["interface", "netns", "from", "to", "local", "protocol", "port", "type", "code"],
  async run(invocation) {
    const { interface: name, netns, ...packet } = invocation.options;
    const [test] = readTests("the packet", [{ expect: "allow", ...withNumbers(packet) }]);
    const session = await openHost(invocation);
    const at = netns === undefined ? {} : { netns };
    const on = name ?? (await onlyInterface(session, netns));
    const answer = await session.call("policy.explain", { interface: on, ...at, packet: packetFor(test!) });
    const audited =
      answer.audit.verdict === answer.verdict
        ? ""
        : `\nwith the audit policies enforced: ${answerText({ ...answer.audit, reason: "audit" })}`;
    return {
      well: true,
      text: `${on}, ${testText(test!)}: ${answerText(answer)}${audited}`,
      json: { host: session.host, interface: on, ...answer },
    };
  },
};

function withNumbers(packet: Record<string, string>): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(packet).map(([name, text]) => [
      name,
      ["port", "type", "code", "protocol"].includes(name) && /^\d+$/.test(text) ? Number(text) : text,
    ]),
  );
}

/** Where nothing was said, and there is one only. */
export async function onlyInterface(session: AgentSession, netns: string | undefined): Promise<string> {
  const planes = await session.call("policy.show", { limit: 1 });
  const judged = planes.flatMap(({ interfaces, netns: path }) =>
    netns === undefined ? (path === undefined ? interfaces : []) : path === undefined ? [] : interfaces,
  );
  if (judged.length === 1) return judged[0]!;
  const reason =
    judged.length === 0 ? "no interface is judged there" : `which one? judged are ${judged.join(", ")}`;
  throw invalid("read the command line", [{ property: "--interface", reason }]);
}
