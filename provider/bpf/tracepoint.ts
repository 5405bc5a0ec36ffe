/** Tracepoints through perf: the event, and how a program gets onto it. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { EbpfError } from "../errors";
import { Descriptor } from "./descriptor";
import { checkCode, isErrno } from "./errno";
import { libc } from "./library";
import { LinkHandle } from "./link";
import type { ProgramHandle } from "./program";
import { perf_event_attr } from "./structs";
import { kernelRelease } from "./system";

const PERF_TYPE_TRACEPOINT = 2;
const PERF_FLAG_FD_CLOEXEC = 8;
/** The number of perf_event_open(2), which libc does not wrap. */
const SYSCALL: Partial<Record<NodeJS.Architecture, number>> = { x64: 298, arm64: 241 };
const TRACEFS = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/**
 * The kernel's id of `category/name`.
 * @throws EbpfError "not-found" when there is no such tracepoint; "unsupported" when tracefs is not mounted.
 */
export function tracepointId(category: string, name: string): number {
  const root = TRACEFS.find((folder) => existsSync(path.join(folder, "events")));
  if (root === undefined) {
    throw new EbpfError(
      "unsupported",
      `find tracepoint ${category}/${name}: tracefs is not mounted`,
      {
        feature: "tracefs",
      },
      { remedy: "mount it: mount -t tracefs tracefs /sys/kernel/tracing" },
    );
  }
  const file = path.join(root, "events", category, name, "id");
  if (!existsSync(file)) {
    throw new EbpfError(
      "not-found",
      `find tracepoint ${category}/${name}: no such tracepoint`,
      {
        what: "tracepoint",
        name: `${category}/${name}`,
      },
      { remedy: `see ${path.join(root, "available_events")}` },
    );
  }
  return Number(readFileSync(file, "utf8"));
}

/** A perf event of a tracepoint, on all processes; perf wants one CPU, BPF then runs on all. */
export function openTracepoint(id: number): Descriptor {
  const attr = perf_event_attr.encode({
    type: PERF_TYPE_TRACEPOINT,
    size: perf_event_attr.size,
    config: id,
    sample_period: 1,
    wakeup_events: 1,
  });
  const number = SYSCALL[process.arch];
  if (number === undefined) {
    throw new EbpfError("unsupported", `open perf event: no system call number for ${process.arch}`, {
      feature: "perf_event_open",
    });
  }
  const words = ["void *", attr, "int", -1, "int", 0, "int", -1, "unsigned long", PERF_FLAG_FD_CLOEXEC];
  const fd = checkCode("perf_event_open", libc.syscall(number, ...words), "open perf event");
  return new Descriptor(fd, "perf event");
}

/**
 * A link on `category/name`.
 * @throws EbpfError "unsupported" below Linux 5.15, where perf attachments die with their process and cannot be pinned.
 */
export function attachTracepoint(program: ProgramHandle, category: string, name: string): LinkHandle {
  const event = openTracepoint(tracepointId(category, name));
  try {
    return LinkHandle.create(program, { type: "perf_event", perfEventFd: event.fd });
  } catch (error) {
    if (!isErrno(error, "EINVAL", "EOPNOTSUPP")) throw error;
    throw new EbpfError(
      "unsupported",
      `attach to tracepoint ${category}/${name}: no perf event links`,
      {
        feature: "bpf_link of a perf event",
        minimumKernel: "5.15",
        hostKernel: kernelRelease(),
      },
      { cause: error, remedy: `use rawTracepoint "${name}", which needs Linux 4.17` },
    );
  } finally {
    // the link holds the event
    event.close();
  }
}
