/**
 * A workload as nftables rules, the two ways that people write them: an interval set for each combination of ports and
 * action, found by a verdict map where that can be, or one plain rule for each.
 *
 * Owns: the text for `nft -f`. Does not own: rules (workloads.ts), where it is loaded (wire.ts).
 */
import { actionOf, cidrOf, portsOf, type Workload } from "./workloads.js";

export type Form = "sets" | "plain";

interface Group {
  ports: string | undefined;
  action: "allow" | "deny";
  networks: string[];
}

export interface Ruleset {
  form: Form;
  action: "allow" | "deny";
  /** `ct state` first. Without: in the ingress hook of the interface, the earliest there is. */
  stateful: boolean;
}

/** Rules of nftables have no counters here: those of a policy do count. */
export function rulesetOf(workload: Workload, { form, action, stateful }: Ruleset): string {
  const groups = groupsOf(workload, form, action);
  const lines = groups.map((group, index) =>
    ruleOf(group, form === "sets" ? `@networks${index}` : undefined),
  );
  const byPort = form === "sets" && workload.name === "W2";
  const hook = stateful ? "input priority filter" : "ingress device veth1 priority 0";
  return [
    `table ${stateful ? "ip" : "netdev"} bench {`,
    ...(form === "sets" ? groups.flatMap(({ networks }, index) => setOf(`networks${index}`, networks)) : []),
    ...(byPort
      ? lines.flatMap((line, index) => [`chain port${index} {`, line.replace(/^udp dport \d+ /, ""), "}"])
      : []),
    "chain judge {",
    `type filter hook ${hook}; policy ${action === "allow" ? "drop" : "accept"};`,
    ...(stateful ? ["ct state established,related accept"] : []),
    ...(byPort
      ? [`udp dport vmap { ${groups.map(({ ports }, index) => `${ports} : goto port${index}`).join(", ")} }`]
      : lines),
    "}",
    // as with a policy that allows nothing out but answers
    ...(stateful
      ? [
          "chain out {",
          "type filter hook output priority filter; policy drop;",
          "ct state established,related accept",
          "}",
        ]
      : []),
    "}",
    "",
  ].join("\n");
}

/** Denies first: they beat every allow. */
function groupsOf(workload: Workload, form: Form, action: "allow" | "deny"): Group[] {
  const groups = new Map<string, Group>();
  for (let i = 0; i < workload.count; i++) {
    const range = portsOf(workload, i);
    const ports = range && (range.first === range.last ? `${range.first}` : `${range.first}-${range.last}`);
    const group: Group = { ports, action: actionOf(workload, i, action), networks: [] };
    const key = form === "plain" ? String(i) : `${ports} ${group.action}`;
    if (!groups.has(key)) groups.set(key, group);
    groups.get(key)!.networks.push(cidrOf(workload, i));
  }
  return [...groups.values()].sort((a, b) => Number(b.action === "deny") - Number(a.action === "deny"));
}

function setOf(name: string, networks: readonly string[]): string[] {
  return [
    `set ${name} {`,
    "type ipv4_addr; flags interval; auto-merge",
    `elements = { ${networks.join(", ")} }`,
    "}",
  ];
}

function ruleOf({ ports, action, networks }: Group, set = networks[0]!): string {
  return `${ports === undefined ? "" : `udp dport ${ports} `}ip saddr ${set} ${action === "allow" ? "accept" : "drop"}`;
}
