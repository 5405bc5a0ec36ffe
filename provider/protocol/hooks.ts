/**
 * Hooks: where a program runs. One variant per kind of attachment; each has one file in
 * provider/resources/attachments (inputs) and one in provider/agent/hooks (kernel).
 */

/** A network interface of the host, or of a network namespace there (name of `ip netns`, or a path). */
export interface InterfaceTarget {
  interface: string;
  netns?: string;
}

export type XdpMode = "native" | "generic" | "offload";

/** Linux 5.9 (XDP link). */
export interface XdpHook extends InterfaceTarget {
  type: "xdp";
  /** `auto` tries native, then generic, once; the mode that was found stays. */
  mode: XdpMode | "auto";
  /** A change of mode detaches for an instant; refused unless true. */
  allowGap: boolean;
}

/** Place among the programs of one hook. An anchor is another Attachment, or a foreign program by name. */
export type Order = "first" | "last" | { before: Anchor } | { after: Anchor };
export type Anchor = { spec: string } | { programName: string };

/** Linux 6.6. */
export interface TcxHook extends InterfaceTarget {
  type: "tcx";
  direction: "ingress" | "egress";
  order?: Order;
  /** What to do below Linux 6.6: `tc` takes a clsact filter instead, `none` is an error. */
  fallback: "tc" | "none";
}

/** clsact filter, direct action. All kernels. */
export interface TcHook extends InterfaceTarget {
  type: "tc";
  direction: "ingress" | "egress";
  /** 1 runs first. */
  priority: number;
  handle: number;
}

/** Linux 5.7 (cgroup link). `attach` is the part of libbpf's section name after `cgroup/` (or `cgroup_skb/`). */
export interface CgroupHook {
  type: "cgroup";
  /** Absolute path of a cgroup v2 directory on the host. */
  path: string;
  attach: CgroupAttach;
}

export const CGROUP_ATTACH = [
  "skb/ingress",
  "skb/egress",
  "bind4",
  "bind6",
  "connect4",
  "connect6",
  "sendmsg4",
  "sendmsg6",
  "sock_create",
  "sock_release",
  "getsockopt",
  "setsockopt",
  "device",
  "sysctl",
] as const;
export type CgroupAttach = (typeof CGROUP_ATTACH)[number];

/** Linux 5.15 (perf link; below it a tracepoint cannot be pinned: use rawTracepoint). */
export interface TracepointHook {
  type: "tracepoint";
  /** `category/name`, as under tracefs `events/`. */
  event: string;
}

/** Linux 4.17. */
export interface RawTracepointHook {
  type: "rawTracepoint";
  /** Name without category, e.g. `sched_process_exec`. */
  name: string;
}

export type Hook = XdpHook | TcxHook | TcHook | CgroupHook | TracepointHook | RawTracepointHook;
