/**
 * BPF links: attachments that live as long as somebody holds them. One function creates, one type per hook says where.
 */
import { checkCode } from "./errno";
import { KernelObject, openPin } from "./kernel-object";
import { libbpf } from "./library";
import { readLinkInfo, type LinkInfo } from "./link-info";
import type { ProgramHandle } from "./program";
import {
  bpf_link_create_opts,
  bpf_link_create_opts__perf_event,
  bpf_link_create_opts__tcx,
  bpf_link_update_opts,
} from "./structs";
import { ATTACH_TYPES, BpfFlag, type AttachType } from "./uapi";
import { XDP_MODE_FLAGS, type XdpMode } from "./xdp";

/** Linux 5.9. Without `mode` the driver decides: native if it can, else generic. EEXIST: one in another mode. */
export interface XdpPlace {
  type: "xdp";
  ifindex: number;
  mode?: XdpMode;
}

/** Where among the programs of a hook. `first` and `last` hold at the time of the call. */
export type Anchor =
  | "first"
  | "last"
  | { before: { programId: number } | { linkId: number } }
  | { after: { programId: number } | { linkId: number } };

/** Linux 6.6. EEXIST: this very program is there already. ESTALE: the hook has changed since `expectedRevision`. */
export interface TcxPlace {
  type: "tcx";
  ifindex: number;
  direction: "ingress" | "egress";
  /** Default `last`. */
  anchor?: Anchor;
  /** Of queryTcx. */
  expectedRevision?: bigint;
}

/** Linux 5.7. Always BPF_F_ALLOW_MULTI, as all links. */
export interface CgroupPlace {
  type: "cgroup";
  /** An open cgroup directory. */
  cgroupFd: number;
  attachType: AttachType;
}

/** Linux 5.8 (flow_dissector), 5.9 (sk_lookup). */
export interface NetnsPlace {
  type: "netns";
  netnsFd: number;
  attachType: "flow_dissector" | "sk_lookup";
}

/** Linux 5.15. */
export interface PerfEventPlace {
  type: "perf_event";
  perfEventFd: number;
  cookie?: bigint;
}

/** Linux 4.17; a link (can be pinned, read) since 5.8. */
export interface RawTracepointPlace {
  type: "raw_tracepoint";
  /** As in bpf_raw_event_map: `sched_process_exec`. */
  name: string;
}

export type Place = XdpPlace | TcxPlace | CgroupPlace | NetnsPlace | PerfEventPlace | RawTracepointPlace;

export class LinkHandle extends KernelObject {
  private constructor(fd: number) {
    super(fd, "link");
  }

  static create(program: ProgramHandle, place: Place): LinkHandle {
    const doing = `attach ${describe(place)}`;
    if (place.type === "raw_tracepoint") {
      const fd = libbpf.bpf_raw_tracepoint_open(place.name, program.fd);
      return new LinkHandle(checkCode("bpf_raw_tracepoint_open", fd, doing));
    }
    const { target, attachType, opts } = callArguments(place);
    const fd = libbpf.bpf_link_create(program.fd, target, ATTACH_TYPES[attachType], opts);
    return new LinkHandle(checkCode("bpf_link_create", fd, doing));
  }

  static fromId(id: number): LinkHandle {
    return new LinkHandle(
      checkCode("bpf_link_get_fd_by_id", libbpf.bpf_link_get_fd_by_id(id), `open link ${id}`),
    );
  }

  static fromPin(path: string): LinkHandle {
    return new LinkHandle(openPin(path, "link"));
  }

  /** Linux 5.8. */
  info(): LinkInfo {
    return readLinkInfo(this);
  }

  /**
   * Swaps the program without a gap. With `old` only if that one is running: else EPERM, as for an update that was
   * done already. ENOLINK: the interface or cgroup is gone. EINVAL: this kind of link cannot (perf_event, raw_tracepoint).
   */
  update(program: ProgramHandle, old?: ProgramHandle): void {
    const opts = bpf_link_update_opts.encode(
      old === undefined ? {} : { flags: BpfFlag.BPF_F_REPLACE, old_prog_fd: old.fd },
    );
    checkCode("bpf_link_update", libbpf.bpf_link_update(this.fd, program.fd, opts), "update link");
  }

  /** Takes the program off the hook although others hold the link. Linux 5.9; EOPNOTSUPP for tracing kinds. */
  detach(): void {
    checkCode("bpf_link_detach", libbpf.bpf_link_detach(this.fd), "detach link");
  }
}

type LinkPlace = Exclude<Place, RawTracepointPlace>;

function callArguments(place: LinkPlace): { target: number; attachType: AttachType; opts: Buffer } {
  switch (place.type) {
    case "xdp": {
      const flags = place.mode === undefined ? 0 : XDP_MODE_FLAGS[place.mode];
      return { target: place.ifindex, attachType: "xdp", opts: bpf_link_create_opts.encode({ flags }) };
    }
    case "tcx":
      return { target: place.ifindex, attachType: `tcx_${place.direction}`, opts: tcxOpts(place) };
    case "cgroup":
      return { target: place.cgroupFd, attachType: place.attachType, opts: bpf_link_create_opts.encode() };
    case "netns":
      return { target: place.netnsFd, attachType: place.attachType, opts: bpf_link_create_opts.encode() };
    case "perf_event": {
      const opts = bpf_link_create_opts__perf_event.encode({ bpf_cookie: place.cookie ?? 0n });
      return { target: place.perfEventFd, attachType: "perf_event", opts };
    }
  }
}

/** BEFORE or AFTER without an anchor means before or after all. */
function tcxOpts({ anchor = "last", expectedRevision = 0n }: TcxPlace): Buffer {
  const expected_revision = expectedRevision;
  if (anchor === "first" || anchor === "last") {
    const flags = anchor === "first" ? BpfFlag.BPF_F_BEFORE : BpfFlag.BPF_F_AFTER;
    return bpf_link_create_opts__tcx.encode({ flags, expected_revision });
  }
  const [side, object] =
    "before" in anchor ? [BpfFlag.BPF_F_BEFORE, anchor.before] : [BpfFlag.BPF_F_AFTER, anchor.after];
  const [kind, relative_id] =
    "linkId" in object ? [BpfFlag.BPF_F_LINK, object.linkId] : [0, object.programId];
  return bpf_link_create_opts__tcx.encode({
    flags: side | BpfFlag.BPF_F_ID | kind,
    relative_id,
    expected_revision,
  });
}

function describe(place: Place): string {
  switch (place.type) {
    case "xdp":
      return `xdp${place.mode === undefined ? "" : ` (${place.mode})`} to ifindex ${place.ifindex}`;
    case "tcx":
      return `tcx ${place.direction} to ifindex ${place.ifindex}`;
    case "cgroup":
    case "netns":
      return `${place.attachType} to ${place.type}`;
    case "perf_event":
      return "to perf event";
    case "raw_tracepoint":
      return `to raw tracepoint ${place.name}`;
  }
}
