/** XDP by netlink: what runs on an interface, and attaching without a link (kernels before 5.9). */
import { checkCode } from "./errno";
import { libbpf } from "./library";
import type { ProgramHandle } from "./program";
import { bpf_xdp_attach_opts, bpf_xdp_query_opts } from "./structs";

export type XdpMode = "native" | "generic" | "offload";

/** uapi/linux/if_link.h: XDP_FLAGS_* */
export const XDP_MODE_FLAGS = { generic: 1 << 1, native: 1 << 2, offload: 1 << 3 } as const;
const XDP_FLAGS_UPDATE_IF_NOEXIST = 1 << 0;
const XDP_FLAGS_REPLACE = 1 << 4;

/** XDP_ATTACHED_*; MULTI (4) means several modes at once. */
const ATTACHED: readonly (XdpMode | undefined)[] = [undefined, "native", "generic", "offload"];

export interface XdpStatus {
  /** The program of each mode that has one. */
  programIds: Partial<Record<XdpMode, number>>;
  /** undefined: nothing attached, or several modes at once. */
  mode: XdpMode | undefined;
}

export function queryXdp(ifindex: number): XdpStatus {
  const opts = bpf_xdp_query_opts.encode();
  checkCode("bpf_xdp_query", libbpf.bpf_xdp_query(ifindex, 0, opts), `query xdp of ifindex ${ifindex}`);
  const { prog_id, drv_prog_id, skb_prog_id, hw_prog_id, attach_mode } = bpf_xdp_query_opts.decode(opts);
  const mode = ATTACHED[attach_mode];
  const programIds: XdpStatus["programIds"] = {};
  if (drv_prog_id !== 0) programIds.native = drv_prog_id;
  if (skb_prog_id !== 0) programIds.generic = skb_prog_id;
  if (hw_prog_id !== 0) programIds.offload = hw_prog_id;
  if (mode !== undefined && prog_id !== 0) programIds[mode] = prog_id;
  return { programIds, mode };
}

/** With `old`: replaces that one only (EEXIST when another runs; Linux 5.7). Without: EBUSY when one runs. */
export function attachXdp(ifindex: number, program: ProgramHandle, mode: XdpMode, old?: ProgramHandle): void {
  const flags = XDP_MODE_FLAGS[mode] | (old === undefined ? XDP_FLAGS_UPDATE_IF_NOEXIST : XDP_FLAGS_REPLACE);
  const opts = old === undefined ? null : bpf_xdp_attach_opts.encode({ old_prog_fd: old.fd });
  const rc = libbpf.bpf_xdp_attach(ifindex, program.fd, flags, opts);
  checkCode("bpf_xdp_attach", rc, `attach xdp (${mode}) to ifindex ${ifindex}`);
}

/** Detaches `old` and nothing else. EBUSY: a link holds the hook. */
export function detachXdp(ifindex: number, mode: XdpMode, old: ProgramHandle): void {
  const opts = bpf_xdp_attach_opts.encode({ old_prog_fd: old.fd });
  const rc = libbpf.bpf_xdp_detach(ifindex, XDP_MODE_FLAGS[mode] | XDP_FLAGS_REPLACE, opts);
  checkCode("bpf_xdp_detach", rc, `detach xdp (${mode}) from ifindex ${ifindex}`);
}
