/** clsact and its BPF filters in direct action, by netlink. A filter belongs to the qdisc, not to any process. */
import { checkCode, isErrno } from "./errno";
import { libbpf } from "./library";
import type { ProgramHandle } from "./program";
import { bpf_tc_hook, bpf_tc_opts } from "./structs";

/** enum bpf_tc_attach_point */
const ATTACH_POINT = { ingress: 1, egress: 2 } as const;
const BPF_TC_F_REPLACE = 1;

export type TcDirection = keyof typeof ATTACH_POINT;

export interface TcHook {
  ifindex: number;
  direction: TcDirection;
}

/** A filter's place. The lower priority runs first; both are at least 1. */
export interface TcFilter {
  priority: number;
  handle: number;
}

function encodeHook({ ifindex, direction }: TcHook): Buffer {
  return bpf_tc_hook.encode({ ifindex, attach_point: ATTACH_POINT[direction] });
}

/** Adds clsact; false when the interface has one already, which then is not ours to remove. */
export function createClsact(ifindex: number): boolean {
  const hook = bpf_tc_hook.encode({ ifindex, attach_point: ATTACH_POINT.ingress | ATTACH_POINT.egress });
  try {
    checkCode("bpf_tc_hook_create", libbpf.bpf_tc_hook_create(hook), `add clsact to ifindex ${ifindex}`);
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
}

/** Removes clsact with ALL filters of both directions, whoever made them. */
export function destroyClsact(ifindex: number): void {
  const hook = bpf_tc_hook.encode({ ifindex, attach_point: ATTACH_POINT.ingress | ATTACH_POINT.egress });
  checkCode("bpf_tc_hook_destroy", libbpf.bpf_tc_hook_destroy(hook), `remove clsact of ifindex ${ifindex}`);
}

/** EEXIST when the place is taken, unless `replace`, which swaps without a gap. Priority or handle 0: the kernel chooses. */
export function attachTc(
  hook: TcHook,
  program: ProgramHandle,
  { priority, handle }: TcFilter,
  { replace = false } = {},
): TcFilter {
  const flags = replace ? BPF_TC_F_REPLACE : 0;
  const opts = bpf_tc_opts.encode({ prog_fd: program.fd, flags, handle, priority });
  const doing = `attach tc ${hook.direction} to ifindex ${hook.ifindex}`;
  checkCode("bpf_tc_attach", libbpf.bpf_tc_attach(encodeHook(hook), opts), doing);
  const made = bpf_tc_opts.decode(opts);
  return { priority: made.priority, handle: made.handle };
}

/** Id of the program there; undefined when there is no BPF filter, or no clsact. */
export function queryTc(hook: TcHook, { priority, handle }: TcFilter): number | undefined {
  const opts = bpf_tc_opts.encode({ handle, priority });
  try {
    const doing = `query tc ${hook.direction} of ifindex ${hook.ifindex}`;
    checkCode("bpf_tc_query", libbpf.bpf_tc_query(encodeHook(hook), opts), doing);
  } catch (error) {
    // EINVAL is the kernel's word for an interface without clsact
    if (isErrno(error, "ENOENT", "EINVAL")) return undefined;
    throw error;
  }
  return bpf_tc_opts.decode(opts).prog_id;
}

/** ENOENT when nothing is there. */
export function detachTc(hook: TcHook, { priority, handle }: TcFilter): void {
  const opts = bpf_tc_opts.encode({ handle, priority });
  const doing = `detach tc ${hook.direction} from ifindex ${hook.ifindex}`;
  checkCode("bpf_tc_detach", libbpf.bpf_tc_detach(encodeHook(hook), opts), doing);
}
