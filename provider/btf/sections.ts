/** What an ELF section name says about the program in it: the table `section_defs` of libbpf 1.7. */

export interface SectionMeaning {
  /** Kernel spelling without `BPF_PROG_TYPE_`, e.g. `sched_cls`; `unspec` when the name says nothing. */
  programType: string;
  /** Kernel spelling without `BPF_`, e.g. `tcx_ingress`. */
  attachType?: string;
  /** What stands after the section's type: `sched/sched_switch` of `tp/sched/sched_switch`. */
  autoAttachTarget?: string;
  sleepable: boolean;
  /** `SEC("?…")`: libbpf does not load it unless told to. */
  autoload: boolean;
}

type Row = readonly [section: string, programType: string, attachType?: string, sleepable?: boolean];

/** `+` at the end: the name alone or followed by `/target`; else the whole name. In libbpf's order. */
const table: readonly Row[] = [
  ["socket", "socket_filter"],
  ["sk_reuseport/migrate", "sk_reuseport", "sk_reuseport_select_or_migrate"],
  ["sk_reuseport", "sk_reuseport", "sk_reuseport_select"],
  ["kprobe+", "kprobe"],
  ["uprobe+", "kprobe"],
  ["uprobe.s+", "kprobe", undefined, true],
  ["kretprobe+", "kprobe"],
  ["uretprobe+", "kprobe"],
  ["uretprobe.s+", "kprobe", undefined, true],
  ["kprobe.multi+", "kprobe", "trace_kprobe_multi"],
  ["kretprobe.multi+", "kprobe", "trace_kprobe_multi"],
  ["kprobe.session+", "kprobe", "trace_kprobe_session"],
  ["uprobe.multi+", "kprobe", "trace_uprobe_multi"],
  ["uretprobe.multi+", "kprobe", "trace_uprobe_multi"],
  ["uprobe.session+", "kprobe", "trace_uprobe_session"],
  ["uprobe.multi.s+", "kprobe", "trace_uprobe_multi", true],
  ["uretprobe.multi.s+", "kprobe", "trace_uprobe_multi", true],
  ["uprobe.session.s+", "kprobe", "trace_uprobe_session", true],
  ["ksyscall+", "kprobe"],
  ["kretsyscall+", "kprobe"],
  ["usdt+", "kprobe"],
  ["usdt.s+", "kprobe", undefined, true],
  ["tc/ingress", "sched_cls", "tcx_ingress"],
  ["tc/egress", "sched_cls", "tcx_egress"],
  ["tcx/ingress", "sched_cls", "tcx_ingress"],
  ["tcx/egress", "sched_cls", "tcx_egress"],
  ["tc", "sched_cls"],
  ["classifier", "sched_cls"],
  ["action", "sched_act"],
  ["netkit/primary", "sched_cls", "netkit_primary"],
  ["netkit/peer", "sched_cls", "netkit_peer"],
  ["tracepoint+", "tracepoint"],
  ["tp+", "tracepoint"],
  ["raw_tracepoint+", "raw_tracepoint"],
  ["raw_tp+", "raw_tracepoint"],
  ["raw_tracepoint.w+", "raw_tracepoint_writable"],
  ["raw_tp.w+", "raw_tracepoint_writable"],
  ["tp_btf+", "tracing", "trace_raw_tp"],
  ["fentry+", "tracing", "trace_fentry"],
  ["fmod_ret+", "tracing", "modify_return"],
  ["fexit+", "tracing", "trace_fexit"],
  ["fentry.s+", "tracing", "trace_fentry", true],
  ["fmod_ret.s+", "tracing", "modify_return", true],
  ["fexit.s+", "tracing", "trace_fexit", true],
  ["fsession+", "tracing", "trace_fsession"],
  ["fsession.s+", "tracing", "trace_fsession", true],
  ["freplace+", "ext"],
  ["lsm+", "lsm", "lsm_mac"],
  ["lsm.s+", "lsm", "lsm_mac", true],
  ["lsm_cgroup+", "lsm", "lsm_cgroup"],
  ["iter+", "tracing", "trace_iter"],
  ["iter.s+", "tracing", "trace_iter", true],
  ["syscall", "syscall", undefined, true],
  ["xdp.frags/devmap", "xdp", "xdp_devmap"],
  ["xdp/devmap", "xdp", "xdp_devmap"],
  ["xdp.frags/cpumap", "xdp", "xdp_cpumap"],
  ["xdp/cpumap", "xdp", "xdp_cpumap"],
  ["xdp.frags", "xdp", "xdp"],
  ["xdp", "xdp", "xdp"],
  ["perf_event", "perf_event"],
  ["lwt_in", "lwt_in"],
  ["lwt_out", "lwt_out"],
  ["lwt_xmit", "lwt_xmit"],
  ["lwt_seg6local", "lwt_seg6local"],
  ["sockops", "sock_ops", "cgroup_sock_ops"],
  ["sk_skb/stream_parser", "sk_skb", "sk_skb_stream_parser"],
  ["sk_skb/stream_verdict", "sk_skb", "sk_skb_stream_verdict"],
  ["sk_skb/verdict", "sk_skb", "sk_skb_verdict"],
  ["sk_skb", "sk_skb"],
  ["sk_msg", "sk_msg", "sk_msg_verdict"],
  ["lirc_mode2", "lirc_mode2", "lirc_mode2"],
  ["flow_dissector", "flow_dissector", "flow_dissector"],
  ["cgroup_skb/ingress", "cgroup_skb", "cgroup_inet_ingress"],
  ["cgroup_skb/egress", "cgroup_skb", "cgroup_inet_egress"],
  ["cgroup/skb", "cgroup_skb"],
  ["cgroup/sock_create", "cgroup_sock", "cgroup_inet_sock_create"],
  ["cgroup/sock_release", "cgroup_sock", "cgroup_inet_sock_release"],
  ["cgroup/sock", "cgroup_sock", "cgroup_inet_sock_create"],
  ["cgroup/post_bind4", "cgroup_sock", "cgroup_inet4_post_bind"],
  ["cgroup/post_bind6", "cgroup_sock", "cgroup_inet6_post_bind"],
  ["cgroup/bind4", "cgroup_sock_addr", "cgroup_inet4_bind"],
  ["cgroup/bind6", "cgroup_sock_addr", "cgroup_inet6_bind"],
  ["cgroup/connect4", "cgroup_sock_addr", "cgroup_inet4_connect"],
  ["cgroup/connect6", "cgroup_sock_addr", "cgroup_inet6_connect"],
  ["cgroup/connect_unix", "cgroup_sock_addr", "cgroup_unix_connect"],
  ["cgroup/sendmsg4", "cgroup_sock_addr", "cgroup_udp4_sendmsg"],
  ["cgroup/sendmsg6", "cgroup_sock_addr", "cgroup_udp6_sendmsg"],
  ["cgroup/sendmsg_unix", "cgroup_sock_addr", "cgroup_unix_sendmsg"],
  ["cgroup/recvmsg4", "cgroup_sock_addr", "cgroup_udp4_recvmsg"],
  ["cgroup/recvmsg6", "cgroup_sock_addr", "cgroup_udp6_recvmsg"],
  ["cgroup/recvmsg_unix", "cgroup_sock_addr", "cgroup_unix_recvmsg"],
  ["cgroup/getpeername4", "cgroup_sock_addr", "cgroup_inet4_getpeername"],
  ["cgroup/getpeername6", "cgroup_sock_addr", "cgroup_inet6_getpeername"],
  ["cgroup/getpeername_unix", "cgroup_sock_addr", "cgroup_unix_getpeername"],
  ["cgroup/getsockname4", "cgroup_sock_addr", "cgroup_inet4_getsockname"],
  ["cgroup/getsockname6", "cgroup_sock_addr", "cgroup_inet6_getsockname"],
  ["cgroup/getsockname_unix", "cgroup_sock_addr", "cgroup_unix_getsockname"],
  ["cgroup/sysctl", "cgroup_sysctl", "cgroup_sysctl"],
  ["cgroup/getsockopt", "cgroup_sockopt", "cgroup_getsockopt"],
  ["cgroup/setsockopt", "cgroup_sockopt", "cgroup_setsockopt"],
  ["cgroup/dev", "cgroup_device", "cgroup_device"],
  ["struct_ops+", "struct_ops"],
  ["struct_ops.s+", "struct_ops", undefined, true],
  ["sk_lookup", "sk_lookup", "sk_lookup"],
  ["netfilter", "netfilter", "netfilter"],
];

/** All types that a section can name. */
export const programTypes: readonly string[] = [...new Set(table.map(([, programType]) => programType))];

/** Never fails: an unknown name is program type `unspec`, as for libbpf, and must be set by whoever loads it. */
export function sectionMeaning(section: string): SectionMeaning {
  const autoload = !section.startsWith("?");
  const name = autoload ? section : section.slice(1);
  for (const [pattern, programType, attachType, sleepable = false] of table) {
    const target = match(pattern, name);
    if (target === undefined) continue;
    return {
      programType,
      ...(attachType === undefined ? {} : { attachType }),
      ...(target === "" ? {} : { autoAttachTarget: target }),
      sleepable,
      autoload,
    };
  }
  return { programType: "unspec", sleepable: false, autoload };
}

function match(pattern: string, name: string): string | undefined {
  if (!pattern.endsWith("+")) return name === pattern ? "" : undefined;
  const prefix = pattern.slice(0, -1);
  if (name === prefix) return "";
  return name.startsWith(`${prefix}/`) ? name.slice(prefix.length + 1) : undefined;
}
