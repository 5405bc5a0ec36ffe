import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const connection = config.requireObject<ebpf.ConnectionArgs>("connection");
const ignored = config.getObject<string[]>("ignored") ?? ["sshd"];
/** Id of a cgroup v2, which is the inode number of its directory; 0 for all. */
const onlyCgroup = config.get("onlyCgroup") ?? "0";

const exec = new ebpf.Program("exec", {
  connection,
  source: "./bpf/exec.bpf.c",
  globals: { only_cgroup: onlyCgroup },
});

new ebpf.MapEntries("ignored", {
  map: exec.map("ignored"),
  mode: "authoritative",
  entries: ignored.map((comm) => ({ key: { comm }, value: 1 })),
});

// Linux 5.15; below it, a raw tracepoint does the same with SEC("raw_tp/sched_process_exec")
new ebpf.Attachment("exec", {
  program: exec.entrypoint("count_exec"),
  tracepoint: { event: "sched/sched_process_exec" },
});

/** Where `bpftool map dump pinned …` shows the counts. */
export const executions = exec.loadedMaps.apply((maps) => maps?.["executions"]?.pin);
