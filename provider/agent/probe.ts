/** probe: what this host's kernel can do. By version where a test would leave traces, else by looking. */
import fs from "node:fs";
import os from "node:os";
import { MAP_TYPES, PROGRAM_TYPES, libbpfVersion, possibleCpus } from "../bpf";
import type { HostFeatures } from "../protocol/messages";
import { cgroup2Mount, memoryCgroup } from "./cgroup2";
import type { Host } from "./host";

/** Kernel release that brought a feature; from the kernel's own history (`git describe --contains`). */
const SINCE: { [feature: string]: [number, number] } = {
  xdpLink: [5, 9],
  cgroupLink: [5, 7],
  tcxLink: [6, 6],
  perfLink: [5, 15],
  rawTracepointLink: [5, 8],
  hashBatch: [5, 6],
  lpmBatch: [5, 16],
  percpuArrayBatch: [5, 13],
};

export function probe(host: Host): HostFeatures {
  const { major, minor } = libbpfVersion();
  return {
    kernel: host.kernel,
    architecture: os.arch() === "arm64" ? "arm64" : "x64",
    libbpf: `${major}.${minor}`,
    btf: fs.existsSync("/sys/kernel/btf/vmlinux"),
    bpffs: host.pins.isMounted(),
    cgroup2: cgroup2Mount(),
    memoryCgroup: memoryCgroup(),
    possibleCpus: possibleCpus(),
    jit: readText("/proc/sys/net/core/bpf_jit_enable") !== "0",
    lsms: (readText("/sys/kernel/security/lsm") ?? "").split(",").filter((name) => name !== ""),
    programTypes: typesSince(Object.keys(PROGRAM_TYPES), PROGRAM_TYPES_SINCE, host),
    mapTypes: typesSince(Object.keys(MAP_TYPES), MAP_TYPES_SINCE, host),
    links: Object.fromEntries(
      Object.entries(SINCE).map(([name, [x, y]]) => [name, host.kernelAtLeast(x, y)]),
    ),
  };
}

/** Types newer than the oldest kernel this package runs on, 5.10. */
const PROGRAM_TYPES_SINCE: typeof SINCE = { syscall: [5, 14], netfilter: [6, 4] };
const MAP_TYPES_SINCE: typeof SINCE = {
  task_storage: [5, 11],
  bloom_filter: [5, 16],
  user_ringbuf: [6, 1],
  cgrp_storage: [6, 2],
  arena: [6, 9],
  insn_array: [6, 19],
};

function typesSince(names: string[], since: typeof SINCE, host: Host): string[] {
  return names.filter((name) => {
    const [major, minor] = since[name] ?? [0, 0];
    return name !== "unspec" && host.kernelAtLeast(major, minor);
  });
}

function readText(file: string): string | null {
  try {
    return fs.readFileSync(file, "utf8").trim();
  } catch {
    // absent or closed to us: the feature cannot be told
    return null;
  }
}
