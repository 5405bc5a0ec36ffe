/** What doctor says of a kernel and of the Records, from the agent's answers alone. Pure. */
import type { EbpfError } from "../errors";
import type { HostFeatures, RecordSummary } from "../protocol/messages";

export interface Check {
  check: string;
  status: "ok" | "warn" | "fail";
  detail: string;
  /** What to do about it; an imperative clause. */
  remedy?: string;
}

/** Below which all this is not run; see README, limits by kernel. */
const OLDEST_KERNEL: [number, number] = [5, 10];
/** Maps and programs are no longer charged to RLIMIT_MEMLOCK: kernel commit 80ee81e0403c. */
const UNLIMITED_MEMLOCK: [number, number] = [5, 11];

export function featureChecks(features: HostFeatures): Check[] {
  const { kernel, architecture, libbpf, btf, bpffs, cgroup2, memoryCgroup, jit, possibleCpus, links } =
    features;
  const isAtLeast = ([major, minor]: [number, number]): boolean => {
    const [x = 0, y = 0] = kernel.split(/[.-]/).map(Number);
    return x > major || (x === major && y >= minor);
  };
  const kernelDetail = `${kernel} on ${architecture}, ${possibleCpus} possible CPUs`;
  return [
    isAtLeast(OLDEST_KERNEL)
      ? ok("kernel", kernelDetail)
      : {
          check: "kernel",
          status: "fail",
          detail: kernelDetail,
          remedy: `use Linux ${OLDEST_KERNEL.join(".")} or later`,
        },
    ok("libbpf", libbpf),
    judged(
      "kernel types",
      btf,
      "BTF in /sys/kernel/btf/vmlinux",
      "no BTF: objects that use CO-RE do not load",
      "use a kernel with CONFIG_DEBUG_INFO_BTF",
    ),
    judged(
      "compiler",
      jit,
      "programs are compiled",
      "programs are interpreted",
      "set sysctl net.core.bpf_jit_enable=1",
    ),
    ok("bpffs", bpffs ? "mounted" : "not mounted; the first apply mounts it"),
    judged(
      "cgroup2",
      cgroup2 !== null,
      `at ${cgroup2}`,
      "not mounted: no cgroup attachments",
      "mount cgroup2, e.g. `mount -t cgroup2 none /sys/fs/cgroup/unified`",
    ),
    judged(
      "memory",
      isAtLeast(UNLIMITED_MEMLOCK),
      `maps are limited by memory alone${memoryCgroup === null ? "" : `, of cgroup ${memoryCgroup}`}`,
      "maps count against RLIMIT_MEMLOCK",
      "raise it for the login (limits.conf, `memlock`) if an apply says that it is reached",
    ),
    judged("xdp", links["xdpLink"], "by links", "needs Linux 5.9", "upgrade the kernel"),
    judged(
      "tcx",
      links["tcxLink"],
      "by links",
      "needs Linux 6.6",
      'use `fallback: "tc"` of the hook tcx, or the hook tc',
    ),
    judged("cgroup", links["cgroupLink"], "by links", "needs Linux 5.7", "upgrade the kernel"),
    judged("tracepoint", links["perfLink"], "by links", "needs Linux 5.15", "use the hook rawTracepoint"),
    judged(
      "batches",
      links["lpmBatch"],
      "of all maps",
      "LPM tries are filled row by row",
      "expect large ones to take longer, or use Linux 5.16",
    ),
  ];
}

export function recordCheck(records: readonly RecordSummary[]): Check {
  const damaged = records.flatMap(({ damaged }) => damaged ?? []);
  if (damaged.length === 0) return ok("records", `${records.length}`);
  return {
    check: "records",
    status: "fail",
    detail: damaged.join("; "),
    remedy: "restore the files under /var/lib/pulumi-ebpf/records, or remove them and run `pulumi up`",
  };
}

function judged(
  check: string,
  good: boolean | undefined,
  detail: string,
  otherwise: string,
  remedy: string,
): Check {
  return good === true ? ok(check, detail) : { check, status: "warn", detail: otherwise, remedy };
}

export function ok(check: string, detail: string): Check {
  return { check, status: "ok", detail };
}

export function failed(check: string, { message, context }: EbpfError): Check {
  const { remedy, problems = [] } = context;
  const detail = [message, ...problems.map(({ property, reason }) => `${property} ${reason}`)].join("; ");
  return { check, status: "fail", detail, ...(remedy === undefined ? {} : { remedy }) };
}
