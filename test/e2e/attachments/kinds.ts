/** Every kind of attachment for the contract suite: how it is asked for, seen, broken and put to the test. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { TestHost } from "../../support/host";
import { type CgroupAttach, CGROUP_ATTACH } from "../../../provider/protocol/hooks";
import { bpffsOf } from "../filter";

export interface AttachmentKind {
  title: string;
  entrypoint: string;
  /** An entrypoint that does not fit the hook. */
  misfit: string;
  /** The Attachment's arguments besides `program`. */
  args(): Record<string, unknown>;
  /** Program ids on the hook, by bpftool. */
  attached(host: TestHost): Promise<number[]>;
  /** Takes the program off behind our back. */
  detach(host: TestHost): Promise<void>;
  /** Whether the hook is on the interface `eth0`, which can vanish. */
  onInterface: boolean;
  /** What shows that the program judges: an action of fixtures/e2e/probe.pl, or a flood in or out of eth0. */
  probe: string;
  /** Globals the programs need besides `version`. */
  globals?(host: TestHost): Promise<Record<string, unknown>>;
}

/** Of /proc/<pid>/fdinfo: `link_type`, `link_id`, `prog_id`, and `ifindex` of links on an interface. */
type LinkInfo = Record<string, string>;

const linkInfo = readFileSync(resolve(__dirname, "../../fixtures/e2e/link-info.pl"), "utf8");

/** This host's pinned links of one type: link ids are the whole kernel's. */
async function links(host: TestHost, type: string): Promise<{ pin: string; info: LinkInfo }[]> {
  const pins = (await bpffsOf(host)).filter((path) => path.includes("/links/"));
  if (pins.length === 0) return [];
  const { stdout } = await host.exec(["perl", "-e", linkInfo, ...pins]);
  const infos = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as LinkInfo);
  return infos
    .map((info, index) => ({ pin: pins[index]!, info }))
    .filter(({ info }) => info["link_type"] === type);
}

const byLink = (type: string) => ({
  // a detached link stays pinned, without an interface
  attached: async (host: TestHost) =>
    (await links(host, type))
      .filter(({ info }) => info["ifindex"] !== "0")
      .map(({ info }) => Number(info["prog_id"])),
  detach: async (host: TestHost) => {
    for (const { info } of await links(host, type)) {
      await host.bpftool("link", "detach", "id", String(info["link_id"]));
    }
  },
});

/** Links of tracing have no detach: they go with their last pin. */
const byPin = (type: string) => ({
  ...byLink(type),
  detach: async (host: TestHost) => {
    for (const { pin } of await links(host, type)) await host.exec(["rm", pin]);
  },
});

const device = "eth0";

interface NetShow {
  xdp: { devname: string; id?: number }[];
  tc: { devname: string; kind: string; name: string; prog_id?: number; id?: number }[];
}

async function onDevice(host: TestHost, hook: "xdp" | "tc"): Promise<number[]> {
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
  detach: byLink("xdp").detach,
  onInterface: true,
  probe: "packets in",
});

const tcx = (direction: "ingress" | "egress"): AttachmentKind => ({
  title: `tcx ${direction}`,
  entrypoint: "guard_tc",
  misfit: "guard_xdp",
  args: () => ({ tcx: { interface: device, direction } }),
  ...byLink("tcx"),
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
  ...byLink("cgroup"),
  attached: async (host) => {
    // without "effective" it asks below Linux 6.0 for flags that the kernel does not know, and shows nothing
    const shown = await host.bpftool<{ id: number }[] | null>("cgroup", "show", guarded, "effective");
    return (shown ?? []).map(({ id }) => id);
  },
  onInterface: false,
  probe: attach,
});

/** The cgroup id of the probe's processes, so that the program counts nobody else's. */
async function ownCgroup(host: TestHost): Promise<Record<string, unknown>> {
  const { stdout } = await host.exec(["stat", "-c", "%i", guarded]);
  return { only_cgroup: stdout.trim() };
}

const tracing: AttachmentKind[] = [
  {
    title: "tracepoint",
    entrypoint: "guard_tracepoint",
    misfit: "guard_raw_tracepoint",
    args: () => ({ tracepoint: { event: "sched/sched_process_exec" } }),
    ...byPin("perf"),
    onInterface: false,
    probe: "exec",
    globals: ownCgroup,
  },
  {
    title: "raw tracepoint",
    entrypoint: "guard_raw_tracepoint",
    misfit: "guard_tracepoint",
    args: () => ({ rawTracepoint: { name: "sched_process_exec" } }),
    ...byPin("raw_tracepoint"),
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

export function kindOf(title: string): AttachmentKind {
  const kind = kinds.find((each) => each.title === title);
  if (kind === undefined) throw new Error(`no kind of attachment ${title}`);
  return kind;
}
