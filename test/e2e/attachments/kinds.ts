/** Every kind of attachment for the contract suite: how it is asked for, seen, broken and put to the test. */
import type { NetnsHost } from "../../support/netns-host";
import { type CgroupAttach, CGROUP_ATTACH } from "../../../provider/protocol/hooks";

export interface AttachmentKind {
  title: string;
  entrypoint: string;
  /** An entrypoint that does not fit the hook. */
  misfit: string;
  /** The Attachment's arguments besides `program`. */
  args(host: NetnsHost): Record<string, unknown>;
  /** Program ids on the hook, by bpftool. */
  attached(host: NetnsHost): Promise<number[]>;
  /** Takes the program off behind our back. */
  detach(host: NetnsHost): Promise<void>;
  /** Whether the hook is on the interface `eth0`, which can vanish. */
  onInterface: boolean;
  /** What shows that the program judges: an action of fixtures/e2e/probe.pl, or a flood in or out of eth0. */
  probe: string;
  /** Globals the programs need besides `version`. */
  globals?(host: NetnsHost): Promise<Record<string, unknown>>;
}

interface BpftoolLink {
  id: number;
  type: string;
  prog_id: number;
  attach_type?: string;
  tp_name?: string;
  ifindex?: number;
  devname?: string;
}

async function links(host: NetnsHost, matches: (link: BpftoolLink) => boolean): Promise<BpftoolLink[]> {
  // of this host's pins only: link ids are the whole kernel's
  const { stdout } = await host.exec(
    ["find", "/sys/fs/bpf/pulumi-ebpf", "-path", "*/links/*", "-type", "f"],
    {
      check: false,
    },
  );
  const pinned: BpftoolLink[] = [];
  for (const pin of stdout.split("\n").filter((line) => line !== "")) {
    pinned.push(await host.bpftool<BpftoolLink>("link", "show", "pinned", pin));
  }
  return pinned.filter(matches);
}

const byLink = (matches: (link: BpftoolLink) => boolean) => ({
  // a detached link stays pinned, without a hook
  attached: async (host: NetnsHost) =>
    (await links(host, (link) => matches(link) && link.ifindex !== 0 && link.devname !== "(detached)")).map(
      ({ prog_id }) => prog_id,
    ),
  detach: async (host: NetnsHost) => {
    for (const { id } of await links(host, matches)) await host.bpftool("link", "detach", "id", String(id));
  },
});

const device = "eth0";

interface NetShow {
  xdp: { devname: string; id?: number }[];
  tc: { devname: string; kind: string; name: string; prog_id?: number; id?: number }[];
}

async function onDevice(host: NetnsHost, hook: "xdp" | "tc"): Promise<number[]> {
  if (hook === "xdp") {
    const [link] = await host.ip<{ xdp?: { prog?: { id: number } } }[]>("link", "show", device);
    return link?.xdp?.prog === undefined ? [] : [link.xdp.prog.id];
  }
  const [shown] = await host.bpftool<NetShow[]>("net", "show", "dev", device);
  return (shown?.tc ?? []).map(({ prog_id, id }) => prog_id ?? id ?? 0);
}

const xdp = (mode: string): AttachmentKind => ({
  title: `xdp ${mode}`,
  entrypoint: "guard_xdp",
  misfit: "guard_tc",
  args: () => ({ xdp: { interface: device, mode } }),
  attached: (host) => onDevice(host, "xdp"),
  detach: byLink(({ type }) => type === "xdp").detach,
  onInterface: true,
  probe: "packets in",
});

const tcx = (direction: "ingress" | "egress"): AttachmentKind => ({
  title: `tcx ${direction}`,
  entrypoint: "guard_tc",
  misfit: "guard_xdp",
  args: () => ({ tcx: { interface: device, direction } }),
  ...byLink(({ type }) => type === "tcx"),
  onInterface: true,
  probe: direction === "ingress" ? "packets in" : "packets out",
});

const tc = (direction: "ingress" | "egress"): AttachmentKind => ({
  title: `tc ${direction}`,
  entrypoint: "guard_tc",
  misfit: "guard_skb",
  args: () => ({ tc: { interface: device, direction, priority: 10, handle: 1 } }),
  attached: (host) => onDevice(host, "tc"),
  detach: async (host) => void (await host.exec(["tc", "filter", "del", "dev", device, direction])),
  onInterface: true,
  probe: direction === "ingress" ? "packets in" : "packets out",
});

const entrypoints: Record<CgroupAttach, string> = {
  "skb/ingress": "guard_skb",
  "skb/egress": "guard_skb",
  bind4: "guard_bind4",
  bind6: "guard_bind6",
  connect4: "guard_connect4",
  connect6: "guard_connect6",
  sendmsg4: "guard_sendmsg4",
  sendmsg6: "guard_sendmsg6",
  sock_create: "guard_sock_create",
  sock_release: "guard_sock_release",
  getsockopt: "guard_getsockopt",
  setsockopt: "guard_setsockopt",
  device: "guard_device",
  sysctl: "guard_sysctl",
};

/** The cgroup that the suite makes in the host. */
export const guarded = "/sys/fs/cgroup/guarded";

const cgroup = (attach: CgroupAttach): AttachmentKind => ({
  title: `cgroup ${attach}`,
  entrypoint: entrypoints[attach],
  misfit: attach === "connect4" ? "guard_connect6" : "guard_connect4",
  args: () => ({ cgroup: { path: guarded, type: attach } }),
  ...byLink(({ type }) => type === "cgroup"),
  attached: async (host) => {
    const shown = await host.bpftool<{ id: number }[] | null>("cgroup", "show", guarded);
    return (shown ?? []).map(({ id }) => id);
  },
  onInterface: false,
  probe: attach,
});

/** The cgroup id of the probe's processes, so that the program counts nobody else's. */
async function ownCgroup(host: NetnsHost): Promise<Record<string, unknown>> {
  const { stdout } = await host.exec(["stat", "-c", "%i", guarded]);
  return { only_cgroup: stdout.trim() };
}

const tracing: AttachmentKind[] = [
  {
    title: "tracepoint",
    entrypoint: "guard_tracepoint",
    misfit: "guard_raw_tracepoint",
    args: () => ({ tracepoint: { event: "sched/sched_process_exec" } }),
    ...byLink(({ type }) => type === "perf_event"),
    onInterface: false,
    probe: "exec",
    globals: ownCgroup,
  },
  {
    title: "raw tracepoint",
    entrypoint: "guard_raw_tracepoint",
    misfit: "guard_tracepoint",
    args: () => ({ rawTracepoint: { name: "sched_process_exec" } }),
    ...byLink(({ type }) => type === "raw_tracepoint"),
    onInterface: false,
    probe: "exec",
    globals: ownCgroup,
  },
];

export const kinds: AttachmentKind[] = [
  xdp("native"),
  xdp("generic"),
  xdp("auto"),
  tcx("ingress"),
  tcx("egress"),
  tc("ingress"),
  tc("egress"),
  ...CGROUP_ATTACH.map(cgroup),
  ...tracing,
];
