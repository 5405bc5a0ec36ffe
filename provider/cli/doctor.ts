/**
 * `doctor HOST`: the way to the host step by step, then what its kernel can and cannot do, each with a remedy.
 *
 * A step counts as done when a later one was reached: the session says at which it failed.
 */
import { EbpfError, type ErrorDetails } from "../errors";
import type { HostFeatures, RecordSummary } from "../protocol/messages";
import { Bundles } from "../transport/bundle";
import { type Connection, hostLabel } from "../transport/connection";
import { openSession } from "../transport/pool";
import type { AgentSession } from "../transport/session";
import { resolveHost } from "../transport/ssh-config";
import { columns, type Command } from "./command";
import { DIAL_SECONDS } from "./ls";

export interface Check {
  check: string;
  status: "ok" | "warn" | "fail";
  detail: string;
  /** What to do about it; an imperative clause. */
  remedy?: string;
}

export const doctor: Command = {
  operands: ["HOST"],
  async run({ connection, report }) {
    const checks = await examine(connection!, report);
    return {
      well: checks.every(({ status }) => status !== "fail"),
      text: `${hostLabel(connection!)}\n${table(checks)}`,
      json: { host: hostLabel(connection!), checks },
    };
  },
};

async function examine(connection: Connection, report: (message: string) => void): Promise<Check[]> {
  try {
    await Bundles.load();
  } catch (error) {
    return [failed("package", EbpfError.from(error))];
  }
  const start = performance.now();
  let session: AgentSession;
  try {
    session = await openSession(connection, { singleDialSeconds: DIAL_SECONDS, onProgress: report });
  } catch (error) {
    return failedWay(connection, EbpfError.from(error));
  }
  const took = `answered after ${Math.round(performance.now() - start)} ms`;
  const way = await passedWay(connection);
  const agent = ok("agent", `process ${session.hello.pid}, ${took}`);
  const features = await session.call("probe", {});
  return [...way, agent, ...featureChecks(features), recordCheck(await session.call("list", {}))];
}

type Phase = ErrorDetails["transport"]["phase"];

/** Steps of each way to a host, with the phases of an error that mean them. `root` and `agent` follow on all. */
const ways: Record<NonNullable<Connection["transport"]>, [step: string, phases: Phase[]][]> = {
  ssh2: [
    ["configuration", ["config"]],
    ["reach", ["dial"]],
    ["host key", ["host-key"]],
    ["login", ["auth", "exec"]],
  ],
  // ssh itself tells only in words where it failed
  openssh: [["ssh", ["config", "dial", "host-key", "auth", "exec"]]],
  local: [],
};

export function failedWay(connection: Connection, error: EbpfError): Check[] {
  const way = ways[connection.transport ?? "ssh2"];
  const steps = [...way.map(([step]) => step), "root", "agent"];
  let at = EbpfError.is(error, "permission") ? "root" : "agent";
  if (EbpfError.is(error, "transport")) {
    at = way.find(([, phases]) => phases.includes(error.details.phase))?.[0] ?? at;
  }
  return [...steps.slice(0, steps.indexOf(at)).map((step) => ok(step, "")), failed(at, error)];
}

async function passedWay(connection: Connection): Promise<Check[]> {
  const { transport = "ssh2" } = connection;
  if (transport === "local") return [ok("root", "this machine")];
  if (transport === "openssh")
    return [ok("ssh", "key-checked and logged in by the ssh command"), ok("root", "")];
  const { host, port, user, proxyJump } = await resolveHost(connection);
  const jumps = connection.proxy === undefined ? proxyJump : [hostLabel(connection.proxy)];
  return [
    ok(
      "configuration",
      `${hostLabel({ host, port, user })}${jumps.length === 0 ? "" : ` by way of ${jumps.join(", ")}`}`,
    ),
    ok("reach", ""),
    ok("host key", connection.hostKey === undefined ? "as known_hosts has it" : "as given"),
    ok("login", user),
    ok("root", user === "root" ? "by login" : "by sudo -n"),
  ];
}

/** Below which all this is not run; see README, limits by kernel. */
const OLDEST_KERNEL: [number, number] = [5, 10];
/** Maps and programs are no longer charged to RLIMIT_MEMLOCK: kernel commit 80ee81e0403c. */
const UNLIMITED_MEMLOCK: [number, number] = [5, 11];

export function featureChecks(features: HostFeatures): Check[] {
  const { kernel, architecture, libbpf, btf, bpffs, cgroup2, jit, possibleCpus, links } = features;
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
      "maps are limited by memory alone",
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

function ok(check: string, detail: string): Check {
  return { check, status: "ok", detail };
}

function failed(check: string, { message, context: { remedy } }: EbpfError): Check {
  return { check, status: "fail", detail: message, ...(remedy === undefined ? {} : { remedy }) };
}

function table(checks: readonly Check[]): string {
  return columns(
    checks.flatMap(({ check, status, detail, remedy }) => [
      [`  ${status}`, check, detail],
      ...(remedy === undefined ? [] : [["", "", `→ ${remedy}`]]),
    ]),
  );
}
