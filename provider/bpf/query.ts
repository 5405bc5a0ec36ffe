/** BPF_PROG_QUERY: which programs a hook runs, in the order they run. */
import { checkCode, Errno } from "./errno";
import { koffi } from "./koffi";
import { libbpf, requireLibbpf } from "./library";
import { bpf_prog_query_opts } from "./structs";
import { ATTACH_TYPES, BpfFlag, type AttachType } from "./uapi";

export interface AttachedProgram {
  programId: number;
  /** undefined: attached without a link, or the kernel does not tell (cgroup hooks before 6.6). */
  linkId: number | undefined;
}

export interface HookStatus {
  programs: AttachedProgram[];
  /** Changes with every attach, detach and update. 0 where hooks have none (cgroup before 6.16). */
  revision: bigint;
  /** `BPF_F_ALLOW_…` of a cgroup. */
  attachFlags: number;
}

const MOST_PROGRAMS = 64;

/** Linux 6.6, libbpf 1.3. */
export function queryTcx(ifindex: number, direction: "ingress" | "egress"): HookStatus {
  requireLibbpf(1, 3, "tcx query");
  return query(ifindex, `tcx_${direction}`, 0, `query tcx ${direction} of ifindex ${ifindex}`);
}

/** Linux 4.15. `effective`: with what ancestors make run; its programs come without links. */
export function queryCgroup(
  cgroupFd: number,
  attachType: AttachType,
  { effective = false } = {},
): HookStatus {
  const flags = effective ? BpfFlag.BPF_F_QUERY_EFFECTIVE : 0;
  return query(cgroupFd, attachType, flags, `query ${attachType} of cgroup`);
}

/** A cgroup takes 64 programs, tcx 63 (BPF_MPROG_MAX, BPF_CGROUP_MAX_PROGS): one call reads all. */
function query(target: number, attachType: AttachType, query_flags: number, doing: string): HookStatus {
  const prog_ids = new Uint32Array(MOST_PROGRAMS);
  const link_ids = new Uint32Array(MOST_PROGRAMS);
  const type = ATTACH_TYPES[attachType];
  const base = { query_flags, prog_ids, count: MOST_PROGRAMS };
  // the kernel has link ids for multi-program hooks only; a cgroup's query refuses the field
  const linked = attachType.startsWith("tcx_") || attachType.startsWith("netkit_");
  const opts = bpf_prog_query_opts.encode(linked ? { ...base, link_ids } : base);
  const rc = libbpf.bpf_prog_query_opts(target, type, opts);
  if (rc < 0 && koffi.errno() === Errno.ENOENT) return { programs: [], revision: 0n, attachFlags: 0 };
  checkCode("bpf_prog_query_opts", rc, doing);
  const { count, revision, attach_flags } = bpf_prog_query_opts.decode(opts);
  const programs = Array.from({ length: count }, (_, index) => ({
    programId: prog_ids[index] as number,
    linkId: link_ids[index] === 0 ? undefined : link_ids[index],
  }));
  return { programs, revision, attachFlags: attach_flags };
}
