import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const connection = config.requireObject<ebpf.ConnectionArgs>("connection");
const device = config.require("interface");
const feed = config.get("feed") ?? "./tenants.csv";

// both maps live on their own: they keep their contents whatever becomes of the programs
const tenants = new ebpf.Map("tenants", {
  connection,
  type: "hash",
  key: "ipv4",
  value: { tenant: "u32" },
  maxEntries: 65_536,
});

const traffic = new ebpf.Map("traffic", {
  connection,
  type: "percpu_hash",
  key: "u32",
  value: { rx_packets: "u64", rx_bytes: "u64", tx_packets: "u64", tx_bytes: "u64" },
  maxEntries: 4096,
});

// the file is the truth: what it does not list is removed
const owners = new ebpf.MapEntries("tenants", { map: tenants, file: feed, mode: "authoritative" });

const ingress = new ebpf.Program("ingress", {
  connection,
  source: "./bpf/ingress.bpf.c",
  maps: { tenants, traffic },
});

const egress = new ebpf.Program("egress", {
  connection,
  source: "./bpf/egress.bpf.c",
  maps: { tenants, traffic },
});

new ebpf.Attachment("ingress", {
  program: ingress,
  tcx: { interface: device, direction: "ingress", order: "first", fallback: "tc" },
});

new ebpf.Attachment("egress", {
  program: egress,
  tcx: { interface: device, direction: "egress", order: "first", fallback: "tc" },
});

export const addresses = owners.count;
