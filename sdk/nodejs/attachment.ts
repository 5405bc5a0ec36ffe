import type * as pulumi from "@pulumi/pulumi";
import type { CgroupAttach } from "../../provider/protocol/hooks";
import type { LinkStatus } from "../../provider/protocol/status";
import { given, isObject, plainOrApply } from "./connection";
import { Program } from "./program";
import { type AttachmentRef, type EntrypointRef, splitRef } from "./references";
import { type CommonArgs, type ConfirmArgs, type LookupArgs, Resource } from "./resource";

interface InterfaceArgs {
  /** Name of the network interface. Example: `"eth0"`. */
  interface: pulumi.Input<string>;
  /**
   * Network namespace that has the interface: a name of `ip netns`, or a path. Default: the host's own.
   * Example: `"blue"`.
   */
  netns?: pulumi.Input<string>;
}

/** The earliest point of receive. Linux 5.9. For programs of `SEC("xdp")`. */
export interface XdpArgs extends InterfaceArgs {
  /**
   * `native`: in the driver. `generic`: after it, slower, any driver. `offload`: on the card; refused, since no Program
   * is loaded for a card yet. `auto`: native, else generic; the mode that was found stays. Default `"auto"`.
   */
  mode?: pulumi.Input<"auto" | "native" | "generic" | "offload">;
  /** Allows a change of mode, during which nothing judges packets for an instant. Default `false`. */
  allowGap?: pulumi.Input<boolean>;
}

/** Another Attachment, or a program of somebody else by its kernel name. */
export type Anchor = Attachment | pulumi.Input<AttachmentRef> | { programName: pulumi.Input<string> };

/** Ingress or egress with an order among programs. Linux 6.6. For programs of `SEC("tc")` or `SEC("tcx/…")`. */
export interface TcxArgs extends InterfaceArgs {
  /** Packets in or out. Example: `"ingress"`. */
  direction: pulumi.Input<"ingress" | "egress">;
  /**
   * Place among the programs of this hook: `"first"`, `"last"`, `{ before: anchor }` or `{ after: anchor }`.
   * Default: the end, without holding that place. Example: `"first"`.
   */
  order?: pulumi.Input<"first" | "last"> | { before: Anchor } | { after: Anchor };
  /** Below Linux 6.6: `tc` takes a clsact filter instead, `none` is an error. Default `"none"`. */
  fallback?: pulumi.Input<"none" | "tc">;
}

/** Ingress or egress by clsact, direct action. All kernels. For programs of `SEC("tc")`. */
export interface TcArgs extends InterfaceArgs {
  /** Packets in or out. Example: `"ingress"`. */
  direction: pulumi.Input<"ingress" | "egress">;
  /** 1 runs first. Default 50. */
  priority?: pulumi.Input<number>;
  /** Tells filters of one priority apart. Default 1. */
  handle?: pulumi.Input<number>;
}

/** Processes of a cgroup v2. Linux 5.7. For programs of `SEC("cgroup/…")` and `SEC("cgroup_skb/…")`. */
export interface CgroupArgs {
  /** Directory of a cgroup v2. Example: `"/sys/fs/cgroup/system.slice"`. */
  path: pulumi.Input<string>;
  /** Place in the cgroup, as libbpf names it after `cgroup/`; `device` and `sysctl` too. Example: `"connect4"`. */
  type: pulumi.Input<CgroupAttach>;
}

/** A tracepoint with its stable record. Linux 5.15. For programs of `SEC("tp/…")`. */
export interface TracepointArgs {
  /** `category/name`, as under tracefs `events/`. Example: `"sched/sched_process_exec"`. */
  event: pulumi.Input<string>;
}

/** A tracepoint with its raw arguments. Linux 4.17. For programs of `SEC("raw_tp/…")`. */
export interface RawTracepointArgs {
  /** Name of the tracepoint, without category. Example: `"sched_process_exec"`. */
  name: pulumi.Input<string>;
}

export interface AttachmentArgs extends CommonArgs {
  /** An entrypoint of a Program, or a Program that loads only one. Example: `filter.entrypoint("xdp_filter")`. */
  program: Program | pulumi.Input<EntrypointRef>;
  /** Earliest point of receive. Linux 5.9. */
  xdp?: pulumi.Input<XdpArgs>;
  /** Ingress or egress with an order. Linux 6.6. */
  tcx?: TcxArgs;
  /** Ingress or egress by clsact. All kernels. */
  tc?: pulumi.Input<TcArgs>;
  /** Processes of a cgroup v2. Linux 5.7. */
  cgroup?: pulumi.Input<CgroupArgs>;
  /** A tracepoint. Linux 5.15. */
  tracepoint?: pulumi.Input<TracepointArgs>;
  /** A tracepoint with its raw arguments. Linux 4.17. */
  rawTracepoint?: pulumi.Input<RawTracepointArgs>;
  /**
   * A change goes back by itself unless it is confirmed in time over a new TCP connection, which `pulumi up` makes after
   * it. Default: it stays. Example: `{ withinSeconds: 30 }`.
   */
  confirm?: pulumi.Input<ConfirmArgs>;
}

/**
 * One program on one hook: exactly one of the hook properties is given. It runs on the Program's host. A new version of
 * the Program takes its place on the hook without a gap and without a change of the Attachment.
 *
 * ```ts
 * new ebpf.Attachment("filter-eth0", {
 *   program: filter.entrypoint("xdp_filter"),
 *   xdp: { interface: "eth0", mode: "auto" },
 * });
 * ```
 */
export class Attachment extends Resource {
  /** @internal */
  readonly __ebpfKind = "Attachment";

  /** The link in the kernel: its id, the program on it, the hook that was really used. Of a fleet: what all hosts have alike. */
  declare readonly link: pulumi.Output<LinkStatus>;

  constructor(name: string, args: AttachmentArgs, options: pulumi.CustomResourceOptions = {}) {
    const { program, tcx, ...hooks } = given(args);
    const { connection, hosts, part } = splitRef(Program.isInstance(program) ? program.ref : program);
    const lifted = tcx === undefined ? {} : { tcx: plainOrApply(tcx, withAnchor) };
    super("Attachment", name, { ...hooks, ...lifted, connection, hosts, program: part }, ["link"], options);
  }

  /**
   * A Attachment that this program does not manage, by its Pulumi id (`<host>/<project>/<stack>/Attachment/<name>`). Plugin mode
   * only. Fails when the host has none of it.
   */
  static get(
    name: string,
    id: pulumi.Input<pulumi.ID>,
    state: LookupArgs = {},
    options: pulumi.CustomResourceOptions = {},
  ): Attachment {
    return new Attachment(name, state as AttachmentArgs, { ...options, id });
  }

  /** Whether a value is an Attachment, also one of another copy of this package. */
  static override isInstance(value: unknown): value is Attachment {
    return (value as Partial<Attachment> | undefined)?.__ebpfKind === "Attachment";
  }

  /** To anchor another Attachment's `order` to, also of another stack. */
  get ref(): pulumi.Output<AttachmentRef> {
    return this.specId.apply((spec) => ({ spec }));
  }
}

/** Anchors that are Attachments become their references. */
function withAnchor({ order, ...rest }: TcxArgs): Record<string, unknown> {
  if (order === undefined) return rest;
  if (!isObject(order)) return { ...rest, order };
  const lifted = Object.entries(order).map(([side, anchor]) => [
    side,
    Attachment.isInstance(anchor) ? anchor.ref : anchor,
  ]);
  return { ...rest, order: Object.fromEntries(lifted) };
}
