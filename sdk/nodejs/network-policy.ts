import * as pulumi from "@pulumi/pulumi";
import type { PolicyPeer } from "../../provider/network-policy";
import type { PolicyStatus } from "../../provider/protocol/policy";
import type { PolicyContent } from "../../provider/resources/network-policy";
import type { ProtocolName } from "../../provider/network-policy/protocols";
import { AddressSet } from "./address-set";
import { type ConnectionArgs, given, isObject, protectCredentials } from "./connection";
import { type Fleet, protectFleet } from "./fleet";
import { type CommonArgs, type ConfirmArgs, type LookupArgs, Resource } from "./resource";

/** Addresses on the other side: exactly one of the four. */
export interface PolicyPeerArgs {
  /** Every address, IPv4 and IPv6. */
  any?: pulumi.Input<true>;
  /** A network without bits beyond its prefix. Example: `"198.51.100.0/24"`. */
  cidr?: pulumi.Input<string>;
  /** Networks inside `cidr` that this peer leaves out. Default: none. Example: `["198.51.100.128/25"]`. */
  except?: pulumi.Input<pulumi.Input<string>[]>;
  /** The networks of an AddressSet; of another stack by a StackReference to its `ref`. */
  addressSet?: AddressSet | pulumi.Input<string>;
  /** The host's own addresses, as they are when the policy is applied. */
  self?: pulumi.Input<true>;
}

/** A protocol, or some of its ports or messages. */
export interface PolicyPortArgs {
  /** Name, or number of the IP protocol. Example: `"TCP"`. */
  protocol: pulumi.Input<ProtocolName | number>;
  /** Destination port of TCP, UDP or SCTP, in both directions. Default: all. Example: `443`. */
  port?: pulumi.Input<number>;
  /** Last port of a range that begins with `port`. Default: `port` alone. Example: `8080`. */
  endPort?: pulumi.Input<number>;
  /** Type of ICMP or ICMPv6; those of errors are refused. Default: all. Example: `8`. */
  type?: pulumi.Input<number>;
  /** Code of that type. Default: all. Example: `0`. */
  code?: pulumi.Input<number>;
}

interface PolicyRuleArgs {
  /** Unique in its list. Counters and `explain` show it. Example: `"ssh from offices"`. */
  name: pulumi.Input<string>;
  /** A deny beats every allow, wherever it stands. Default `"allow"`. */
  action?: pulumi.Input<"allow" | "deny">;
  /** What it is about. Default: every protocol. An empty list is refused. */
  ports?: pulumi.Input<pulumi.Input<PolicyPortArgs>[]>;
}

/** A rule on what interfaces receive. */
export interface IngressRuleArgs extends PolicyRuleArgs {
  /** Where it comes from. Default: every address. An empty list is refused. */
  from?: pulumi.Input<(PolicyPeerArgs | pulumi.Output<PolicyPeer>)[]>;
}

/** A rule on what interfaces send. */
export interface EgressRuleArgs extends PolicyRuleArgs {
  /** Where it goes. Default: every address. An empty list is refused. */
  to?: pulumi.Input<(PolicyPeerArgs | pulumi.Output<PolicyPeer>)[]>;
}

/** The first packet of a connection, and what it shall meet. Exactly one of `from` and `to`. */
export interface PolicyTestArgs {
  /** Address that it comes from: a packet of ingress. Example: `"192.0.2.9"`. */
  from?: pulumi.Input<string>;
  /** Address that it goes to: a packet of egress. Example: `"198.51.100.1"`. */
  to?: pulumi.Input<string>;
  /** Address of the host. Default: one of the interface. */
  local?: pulumi.Input<string>;
  /** Name, or number of the IP protocol. Example: `"TCP"`. */
  protocol: pulumi.Input<ProtocolName | number>;
  /** Destination port; TCP, UDP and SCTP need one. Example: `22`. */
  port?: pulumi.Input<number>;
  /** Type of ICMP or ICMPv6. Default: that of an echo request. */
  type?: pulumi.Input<number>;
  /** Code of that type. Default 0. */
  code?: pulumi.Input<number>;
  /** What it shall meet. Example: `"deny"`. */
  expect: pulumi.Input<"allow" | "deny">;
  /** Name of the rule of this policy that shall decide. Default: any, or none. */
  rule?: pulumi.Input<string>;
}

export interface NetworkPolicyArgs extends CommonArgs {
  /** How the host is reached. Default: the provider's connection, or `ebpf:connection` of the configuration. */
  connection?: pulumi.Input<ConnectionArgs>;
  /** Many hosts in place of one, by `fleet()`. */
  hosts?: pulumi.Input<Fleet>;
  /**
   * Where packets are judged: names, patterns with `*` and `?`, or `"defaultRoute"` for the interfaces of the default
   * routes. Resolved when the policy is applied. Example: `["eth0", "wlan*"]`.
   */
  interfaces: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Network namespace that has the interfaces: a name of `ip netns`, or a path. Default: the host's own.
   * Example: `"blue"`.
   */
  netns?: pulumi.Input<string>;
  /**
   * Where ingress is judged: `tc` beside other programs (TCX from Linux 6.6 on, else clsact), `xdp` earlier and alone.
   * Egress is judged at `tc`. All policies of an interface have the same. Default `"tc"`.
   */
  hook?: pulumi.Input<"tc" | "xdp">;
  /**
   * Rules on what interfaces receive: what none of them, in all policies of the interface, allows is dropped. Empty:
   * nothing is allowed. Default: the policy says nothing about it.
   */
  ingress?: pulumi.Input<(IngressRuleArgs | pulumi.Output<IngressRuleArgs>)[]>;
  /**
   * Rules on what interfaces send: what none of them, in all policies of the interface, allows is dropped. Empty: nothing
   * is allowed. Default: the policy says nothing about it.
   */
  egress?: pulumi.Input<(EgressRuleArgs | pulumi.Output<EgressRuleArgs>)[]>;
  /** `audit` computes, counts and logs verdicts, and drops nothing. Default `"enforce"`. */
  mode?: pulumi.Input<"enforce" | "audit">;
  /**
   * ARP, neighbour discovery, multicast listeners, IGMP and the DHCP client pass whatever the rules say. Default `true`.
   */
  infrastructure?: pulumi.Input<boolean>;
  /**
   * When the rules change: `recheck` judges open connections again, `keep` lets those live on that had a reply. `ignore`
   * knows no connections: each packet is judged by the rules alone, replies too; the quickest, for block lists. All policies
   * of an interface have the same. Default `"recheck"`.
   */
  established?: pulumi.Input<"recheck" | "keep" | "ignore">;
  /**
   * Networks from which the host is managed: a policy that would keep their SSH out is refused, besides one that would cut
   * the connection over which it is applied. Default: none. Example: `["198.51.100.0/24"]`.
   */
  management?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * A change goes back by itself, also with every process of ours killed, unless it is confirmed in time over a new
   * connection; `pulumi up` does that by itself. Default: changes stay. Example: `{ withinSeconds: 30 }`.
   */
  confirm?: pulumi.Input<ConfirmArgs>;
  /** One in so many judged packets becomes an event, for `npx pulumi-ebpf policy events`. 0: none. Default 0. */
  sampleRate?: pulumi.Input<number>;
  /**
   * Packets and what they shall meet. One that meets something else refuses the change: in preview as far as the policy's
   * own rules tell, and on the host with all policies of the interface. Default: none.
   * Example: `[{ from: "192.0.2.9", protocol: "TCP", port: 22, expect: "deny" }]`.
   */
  tests?: pulumi.Input<pulumi.Input<PolicyTestArgs>[]>;
}

/**
 * Who may talk to whom, on interfaces of one host. The meaning is that of Kubernetes' NetworkPolicy, with explicit denies
 * on top; docs/network-policy.md says it sentence by sentence. All policies of an interface, of all stacks, are judged
 * together. A change is atomic for each packet, and one that would cut its own connection is refused.
 *
 * ```ts
 * new ebpf.NetworkPolicy("web", {
 *   connection,
 *   interfaces: ["eth0"],
 *   ingress: [
 *     { name: "public https", from: [{ any: true }], ports: [{ protocol: "TCP", port: 443 }] },
 *     { name: "ssh from offices", from: [{ addressSet: offices }], ports: [{ protocol: "TCP", port: 22 }] },
 *   ],
 *   confirm: { withinSeconds: 30 },
 *   tests: [{ from: "192.0.2.9", protocol: "TCP", port: 443, expect: "allow" }],
 * });
 * ```
 */
export class NetworkPolicy extends Resource {
  /** @internal */
  readonly __ebpfKind = "NetworkPolicy";

  /** Digest and number of the rules, and the sets that they name; known in preview. */
  declare readonly content: pulumi.Output<PolicyContent>;
  /**
   * What judges: the interfaces with their hooks, those that came later (`uncovered`), who could let packets by
   * (`bypassable`), the generation, its cells and bytes. Of a fleet: what all hosts have alike.
   */
  declare readonly status: pulumi.Output<PolicyStatus>;

  constructor(name: string, args: NetworkPolicyArgs, options: pulumi.CustomResourceOptions = {}) {
    const { connection, hosts, ingress, egress, ...rest } = given(args);
    const inputs = {
      ...rest,
      ...(ingress === undefined ? {} : { ingress: lifted(ingress) }),
      ...(egress === undefined ? {} : { egress: lifted(egress) }),
      connection: connection && protectCredentials(connection),
      hosts: hosts && protectFleet(hosts),
    };
    super("NetworkPolicy", name, inputs, ["content", "status"], options);
  }

  /**
   * A NetworkPolicy that this program does not manage, by its Pulumi id
   * (`<host>/<project>/<stack>/NetworkPolicy/<name>`). Plugin mode only. Fails when the host has none of it.
   */
  static get(
    name: string,
    id: pulumi.Input<pulumi.ID>,
    state: LookupArgs = {},
    options: pulumi.CustomResourceOptions = {},
  ): NetworkPolicy {
    return new NetworkPolicy(name, state as NetworkPolicyArgs, { ...options, id });
  }
}

/** Each AddressSet becomes its reference, wherever it stands. */
function lifted(value: unknown): unknown {
  if (AddressSet.isInstance(value)) return value.ref;
  if (!isObject(value)) return value;
  if (pulumi.Output.isInstance(value)) return value.apply(lifted);
  if (value instanceof Promise) return value.then(lifted);
  if (Array.isArray(value)) return value.map(lifted);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, lifted(member)]));
}
