/** What BPF_OBJ_GET_INFO_BY_FD tells of a link, by its type. */
import type { Descriptor } from "./descriptor";
import { readInfo } from "./kernel-object";
import { cText } from "./struct";
import {
  bpf_link_info,
  bpf_link_info__cgroup,
  bpf_link_info__netns,
  bpf_link_info__perf_event,
  bpf_link_info__raw_tracepoint,
  bpf_link_info__tcx,
  bpf_link_info__tracing,
  bpf_link_info__xdp,
} from "./structs";
import { attachTypeName, linkTypeName, type AttachType, type LinkType } from "./uapi";

interface LinkHead {
  id: number;
  /** 0 when the link's program is gone. */
  programId: number;
}

/** `ifindex` 0 (xdp, tcx) or `cgroupId` 0: the interface or cgroup is gone, the link is dead. */
export type LinkInfo = LinkHead &
  (
    | { type: "xdp"; ifindex: number }
    | { type: "tcx"; ifindex: number; attachType: AttachType }
    | { type: "cgroup"; cgroupId: bigint; attachType: AttachType }
    | { type: "netns"; netnsInode: number; attachType: AttachType }
    | { type: "raw_tracepoint"; name: string }
    | { type: "tracing"; attachType: AttachType; targetObjectId: number; targetBtfId: number }
    /** `kind` is `bpf_perf_event_type`: 5 tracepoint. 0 below Linux 6.6, which tells nothing. */
    | { type: "perf_event"; kind: number; name: string }
    | { type: Exclude<LinkType, KnownLinkType> }
  );
type KnownLinkType = "xdp" | "tcx" | "cgroup" | "netns" | "raw_tracepoint" | "tracing" | "perf_event";

const LONGEST_NAME = 256;

export function readLinkInfo(link: Descriptor): LinkInfo {
  const head = readInfo(link, bpf_link_info);
  const common = { id: head.id, programId: head.prog_id };
  const type = linkTypeName(head.type);
  switch (type) {
    case "xdp":
      return { ...common, type, ifindex: readInfo(link, bpf_link_info__xdp).ifindex };
    case "tcx": {
      const info = readInfo(link, bpf_link_info__tcx);
      return { ...common, type, ifindex: info.ifindex, attachType: attachTypeName(info.attach_type) };
    }
    case "cgroup": {
      const info = readInfo(link, bpf_link_info__cgroup);
      return { ...common, type, cgroupId: info.cgroup_id, attachType: attachTypeName(info.attach_type) };
    }
    case "netns": {
      const info = readInfo(link, bpf_link_info__netns);
      return { ...common, type, netnsInode: info.netns_ino, attachType: attachTypeName(info.attach_type) };
    }
    case "raw_tracepoint": {
      const tp_name = Buffer.alloc(LONGEST_NAME);
      readInfo(link, bpf_link_info__raw_tracepoint, { tp_name, tp_name_len: LONGEST_NAME });
      return { ...common, type, name: cText(tp_name) };
    }
    case "tracing": {
      const info = readInfo(link, bpf_link_info__tracing);
      return {
        ...common,
        type,
        attachType: attachTypeName(info.attach_type),
        targetObjectId: info.target_obj_id,
        targetBtfId: info.target_btf_id,
      };
    }
    case "perf_event": {
      const tp_name = Buffer.alloc(LONGEST_NAME);
      const info = readInfo(link, bpf_link_info__perf_event, { tp_name, name_len: LONGEST_NAME });
      return { ...common, type, kind: info.perf_event_type, name: cText(tp_name) };
    }
    default:
      return { ...common, type };
  }
}
