import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const networks = config.getObject<string[]>("blocked") ?? ["203.0.113.0/24"];

const edge = ebpf.fleet({
  hosts: config.requireObject<ebpf.FleetHostArgs[]>("inventory"),
  select: { role: "edge" },
  // a host that is down costs seconds, not minutes
  connection: { dialErrorLimit: 2, perDialTimeout: 5 },
  rollout: {
    canary: 1,
    waveSize: "25%",
    soakSeconds: config.getNumber("soakSeconds") ?? 30,
    maxUnavailable: "10%",
    // a filter that drops what it should not shows at once
    health: { counter: { map: "verdicts", key: 1 }, below: config.getNumber("mostDrops") ?? 10_000 },
    onFailure: "rollBack",
  },
});

const filter = new ebpf.Program("filter", {
  hosts: edge,
  source: "./bpf/filter.bpf.c",
  globals: { otherwise: config.getBoolean("dropOthers") ? 1 : 0 },
});

const rules = new ebpf.MapEntries("rules", {
  map: filter.map("blocked"),
  mode: "authoritative",
  entries: networks.map((network) => ({ key: network, value: { action: "DROP" } })),
});

// once the rules are in place: from its first packet on the filter judges by them
new ebpf.Attachment(
  "filter",
  { program: filter, xdp: { interface: config.get("interface") ?? "eth0" } },
  { dependsOn: rules },
);

/** What each host holds. */
export const hosts = filter.targets;
