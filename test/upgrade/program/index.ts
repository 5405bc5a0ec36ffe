/** Something of every kind. Config `connection`. Objects are compiled already: another clang would make others. */
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const connection = config.requireObject<ebpf.ConnectionArgs>("connection");
const counts = new ebpf.Map("counts", {
  connection,
  type: "lru_hash",
  key: "u32",
  value: { packets: "u64", bytes: "u64" },
  maxEntries: 64,
});
const program = new ebpf.Program("filter", {
  connection,
  source: "./drift.o",
  globals: { threshold: 3 },
  onUnreachable: "forget",
  onUnreachableReason: "recorded",
});
new ebpf.MapEntries("rows", {
  map: program.map("limits"),
  entries: [
    { key: 1, value: 10 },
    { key: 2, value: 20 },
  ],
  mode: "authoritative",
});
new ebpf.MapEntries("seed", { map: counts, file: "./counts.csv", mode: "seed" });
new ebpf.Attachment("xdp", { program: program.entrypoint("on_xdp"), xdp: { interface: "eth0" } });
new ebpf.Attachment("tc", {
  program: program.entrypoint("on_tc"),
  tc: { interface: "eth0", direction: "egress" },
});
new ebpf.Map("everywhere", {
  hosts: ebpf.fleet({ hosts: [connection] }),
  type: "array",
  key: "u32",
  value: "u64",
  maxEntries: 4,
});

export const ref = pulumi.unsecret(program.entrypoint("on_xdp")).apply(({ spec }) => spec);
