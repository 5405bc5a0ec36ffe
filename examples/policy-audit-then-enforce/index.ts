import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const connection = config.requireObject<ebpf.ConnectionArgs>("connection");
const enforce = config.getBoolean("enforce") ?? false;
/** Networks that may reach the service. */
const clients = config.requireObject<string[]>("clients");
const port = config.getNumber("port") ?? 443;

const policy = new ebpf.NetworkPolicy("service", {
  connection,
  interfaces: [config.get("interface") ?? "defaultRoute"],
  ingress: [
    { name: "service", from: clients.map((cidr) => ({ cidr })), ports: [{ protocol: "TCP", port }] },
    {
      name: "ping",
      ports: [
        { protocol: "ICMP", type: 8 },
        { protocol: "ICMPv6", type: 128 },
      ],
    },
    ...(config.getObject<ebpf.IngressRuleArgs[]>("more") ?? []),
  ],
  // audit computes and counts verdicts, and drops nothing
  mode: enforce ? "enforce" : "audit",
  // connections that are open when it is enforced live on
  established: "keep",
  management: config.getObject<string[]>("management") ?? [],
  confirm: { withinSeconds: 30 },
});

export const { status } = policy;
