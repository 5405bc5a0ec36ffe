import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

/** One denial of the config `cgroup-guard:denied`. */
interface Denial {
  /** IPv4 network, `10.0.0.0/8`. */
  network: string;
  /** TCP or UDP port; all of them when left out. */
  port?: number;
}

const config = new pulumi.Config();
const connection = config.requireObject<ebpf.ConnectionArgs>("connection");
const cgroup = config.require("cgroup");
const denied = config.getObject<Denial[]>("denied") ?? [{ network: "169.254.169.254/32" }];

const guard = new ebpf.Program("guard", { connection, source: "./bpf/guard.bpf.c" });

const entries = new ebpf.MapEntries("denied", {
  map: guard.map("denied"),
  mode: "authoritative",
  entries: denied.map(({ network, port = 0 }) => ({ key: network, value: { port } })),
});

// it governs the processes in this cgroup and below it, those already running included
new ebpf.Attachment(
  "guard",
  { program: guard.entrypoint("guard_connect"), cgroup: { path: cgroup, type: "connect4" } },
  { dependsOn: entries },
);

export const denials = entries.count;
