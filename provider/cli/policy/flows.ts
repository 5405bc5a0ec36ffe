/** `policy flows HOST`: connections that passed, with the rule that decided about each. */
import type { FlowFacts } from "../../protocol/policy";
import { protocolText } from "../../network-policy/protocols";
import { columns, type Command } from "../command";
import { openHost } from "../host";
import { numberOf, ruleText } from "./words";

export const flows: Command = {
  operands: ["HOST"],
  options: ["netns", "limit"],
  async run(invocation) {
    const { netns } = invocation.options;
    const limit = numberOf(invocation.options, "limit", 100);
    const session = await openHost(invocation);
    const found = await session.call("policy.flows", { limit, ...(netns === undefined ? {} : { netns }) });
    const head = ["PROTOCOL", "FROM", "TO", "STATE", "PACKETS", "REPLIES", "JUDGED BY"];
    const table = columns([head, ...found.flows.map(row)]);
    return {
      well: true,
      text:
        found.flows.length === 0
          ? `${session.host}: no connections`
          : `${table}${found.more ? "\nthere are more; see --limit" : ""}`,
      json: { host: session.host, ...found },
    };
  },
};

function row(flow: FlowFacts): string[] {
  const { protocol, source, sourcePort, destination, destinationPort, answered, original, reply, judged } =
    flow;
  const by = judged.map(({ direction, rule, again }) =>
    again
      ? `${direction}: judged again at its next packet`
      : rule === undefined
        ? `${direction}: no rule`
        : ruleText(rule),
  );
  return [
    protocolText(protocol),
    endText(source, sourcePort),
    endText(destination, destinationPort),
    answered ? "answered" : "half open",
    original.packets,
    reply.packets,
    by.join("; "),
  ];
}

export function endText(address: string, port: number | undefined): string {
  if (port === undefined) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
