import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

/** One host of the config. */
interface Host {
  connection: ebpf.ConnectionArgs;
  /** Interface on which packets are judged. */
  interface: string;
  /** Its networks as the others see them: `["10.0.1.7/32"]`. */
  networks: string[];
}

const config = new pulumi.Config();
const [web, app, db] = ["web", "app", "db"].map((name) => config.requireObject<Host>(name)) as [
  Host,
  Host,
  Host,
];
/** Networks of those who manage the hosts. */
const offices = config.requireObject<string[]>("offices");

/** `audit` counts and tells what would be dropped, and drops nothing. */
const mode = config.get<"enforce" | "audit">("mode") ?? "enforce";
/** How long a change stands that nobody could confirm over a new connection. */
const withinSeconds = config.getNumber("withinSeconds") ?? 30;

const tcp = (port: number): ebpf.PolicyPortArgs[] => [{ protocol: "TCP", port }];
const from = ({ networks }: Host) => networks.map((cidr) => ({ cidr }));

/** What one host lets in: besides SSH from the offices, and `ingress`, nothing. What it asks for itself is answered. */
function guard(name: string, host: Host, ingress: ebpf.IngressRuleArgs[], tests: ebpf.PolicyTestArgs[]) {
  const { connection } = host;
  const set = new ebpf.AddressSet(`offices-${name}`, { connection, cidrs: offices });
  return new ebpf.NetworkPolicy(name, {
    connection,
    interfaces: [host.interface],
    ingress: [{ name: "ssh from offices", from: [{ addressSet: set }], ports: tcp(22) }, ...ingress],
    mode,
    management: offices,
    confirm: { withinSeconds },
    tests,
  });
}

const addressOf = ({ networks }: Host) => networks[0]!.split("/")[0]!;
const policies = [
  guard(
    "web",
    web,
    [{ name: "https", from: [{ any: true }], ports: tcp(443) }],
    [{ from: "192.0.2.9", protocol: "TCP", port: 5432, expect: "deny" }],
  ),
  guard(
    "app",
    app,
    [{ name: "from web", from: from(web), ports: tcp(8080) }],
    [{ from: addressOf(web), protocol: "TCP", port: 8080, expect: "allow", rule: "from web" }],
  ),
  guard(
    "db",
    db,
    [{ name: "from app", from: from(app), ports: tcp(5432) }],
    [
      { from: addressOf(app), protocol: "TCP", port: 5432, expect: "allow" },
      { from: addressOf(web), protocol: "TCP", port: 5432, expect: "deny" },
    ],
  ),
];

export const judged = policies.map(({ status }) =>
  status.apply((now) => now?.interfaces.map(({ name }) => name)),
);
