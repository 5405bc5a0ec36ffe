/** `policy show HOST`: the rules that judge, with what each decided, and why packets were dropped. */
import type { PlaneFacts, RuleFacts } from "../../protocol/policy";
import { columns, type Command, indented } from "../command";
import { openHost } from "../host";
import { numberOf, ruleText } from "./words";

export const show: Command = {
  operands: ["HOST", "[ID]"],
  options: ["limit"],
  async run(invocation) {
    const [policy] = invocation.operands;
    const limit = numberOf(invocation.options, "limit", 50);
    const session = await openHost(invocation);
    const planes = await session.call("policy.show", {
      limit,
      ...(policy === undefined ? {} : { policy }),
    });
    const none = policy === undefined ? "no policy judges there" : `${policy} judges nothing there`;
    return {
      well: policy === undefined || planes.length > 0,
      text: planes.length === 0 ? `${session.host}: ${none}` : planes.map(planeText).join("\n\n"),
      json: { host: session.host, planes },
    };
  },
};

export function planeText(plane: PlaneFacts): string {
  const { interfaces, netns, hook, generation, cells, revertsInSeconds, rules, ruleCount, totals } = plane;
  const where = `${interfaces.join(", ")}${netns === undefined ? "" : ` in ${netns}`}`;
  const pending =
    revertsInSeconds === undefined
      ? ""
      : `, not confirmed: goes back in ${Math.ceil(revertsInSeconds)} s unless it is`;
  const head = `${where}: generation ${generation} at ${hook}, ${(cells * 64).toLocaleString("en-US")} bytes${pending}`;
  const dropped = totals.filter(({ verdict }) => verdict === "deny");
  const hidden = ruleCount - rules.length;
  return [
    head,
    indented(
      columns([["RULE", "ACTION", "PACKETS", "BYTES"], ...rules.map(row)]) +
        (hidden > 0 ? `\n${hidden} more rules; see --limit` : ""),
    ),
    ...dropped.map(({ direction, reason, packets }) =>
      indented(`dropped on ${direction}, ${reason}: ${packets}`),
    ),
    ...(["ingress", "egress"] as const).flatMap((direction) => {
      const { packets } = plane.auditDrops[direction];
      return packets === "0" ? [] : [indented(`audit policies would drop on ${direction}: ${packets}`)];
    }),
  ].join("\n");
}

function row({ rule, action, mode, packets, bytes }: RuleFacts): string[] {
  return [ruleText(rule), mode === "audit" ? `${action} (audit)` : action, packets, bytes];
}
