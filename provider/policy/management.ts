/** Policies `ebpf-management-peers` and `ebpf-management-ports`: network policies that keep a host's administrators in, and others out. */
import type { ResourceValidationPolicy } from "@pulumi/policy";
import * as z from "zod";
import type { Problem } from "../errors";
import { protocolNumber, PROTOCOLS } from "../network-policy/protocols";
import type { CheckedNetworkPolicy } from "../resources/network-policy";
import { type ResourceRule, resourcePolicy } from "./rule";

const peerOptions = z.strictObject({});

const portOptions = z.strictObject({
  ports: z
    .array(z.number().int().min(1).max(65535))
    .default([22])
    .meta({ description: "TCP ports over which hosts are managed. Default: 22." }),
});

export type ManagementPortOptions = z.input<typeof portOptions>;

/** Checked inputs, less defaults. */
type Inputs = Partial<CheckedNetworkPolicy>;
type IngressRule = NonNullable<CheckedNetworkPolicy["ingress"]>[number];

const peerRule: ResourceRule<z.output<typeof peerOptions>> = {
  name: "ebpf-management-peers",
  description:
    "A network policy that drops by default names the networks from which its host is managed, or waits to be confirmed.",
  options: peerOptions,
  violations(kind, properties) {
    if (kind !== "NetworkPolicy") return [];
    const { ingress, egress, mode, management = [], confirm } = properties as Inputs;
    const drops = mode !== "audit" && (ingress !== undefined || egress !== undefined);
    if (!drops || management.length > 0 || confirm !== undefined) return [];
    const reason =
      "is empty: the policy drops by default, so name the networks that manage the host, or give `confirm`";
    return [{ property: "management", reason }];
  },
};

const portRule: ResourceRule<z.output<typeof portOptions>> = {
  name: "ebpf-management-ports",
  description: "No network policy allows everyone to the ports over which hosts are managed.",
  options: portOptions,
  violations(kind, properties, { ports }) {
    if (kind !== "NetworkPolicy") return [];
    const { ingress = [] } = properties as Inputs;
    return ingress.flatMap((rule, index): Problem[] => {
      const everyone = everyoneIn(rule);
      if (rule.action === "deny" || everyone === undefined) return [];
      const open = ports.filter((port) => reaches(rule, port));
      if (open.length === 0) return [];
      const what = `TCP ${open.join(", ")}`;
      return [
        {
          property: `ingress[${index}].from${everyone}`,
          reason: `rule "${rule.name}" allows everyone to ${what}`,
        },
      ];
    });
  },
};

/** Below `from`, the peer that is everyone; empty: there are no peers, which is everyone. */
function everyoneIn({ from }: IngressRule): string | undefined {
  if (from === undefined) return "";
  const at = from.findIndex(({ any, cidr }) => any === true || cidr?.endsWith("/0") === true);
  return at < 0 ? undefined : `[${at}]`;
}

function reaches({ ports }: IngressRule, wanted: number): boolean {
  if (ports === undefined) return true;
  const tcp = ports.filter(({ protocol }) => protocolNumber(protocol) === PROTOCOLS.TCP);
  return tcp.some(({ port, endPort = port }) => port === undefined || (port <= wanted && wanted <= endPort!));
}

/** Refuses policies that drop by default without `management` peers and without `confirm`. */
export function managementPeers(): ResourceValidationPolicy {
  return resourcePolicy(peerRule, {});
}

/** Refuses rules that allow everyone to management ports. */
export function managementPorts(given: ManagementPortOptions = {}): ResourceValidationPolicy {
  return resourcePolicy(portRule, given);
}
