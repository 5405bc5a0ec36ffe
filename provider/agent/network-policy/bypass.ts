/**
 * Foreign programs that see packets before a plane does: what they accept, redirect or answer never reaches it.
 *
 * At TCX whoever stands before us counts, and programs of clsact run after all of TCX. At clsact a filter of a lower
 * priority counts. An XDP program ahead of tc counts if it may redirect; what it drops or bounces never enters.
 */
import { spawnSync } from "node:child_process";
import { MapHandle, ProgramHandle, queryTcx, queryXdp } from "../../bpf";
import type { InterfaceTarget } from "../../protocol/hooks";
import type { Status } from "../../protocol/status";
import type { Host } from "../host";
import { inNetns } from "../hooks/netns";
import { hookScope } from "../hooks/scope";
import { redirects } from "../hooks/veth";
import { unlessMissing } from "../reconcile/actual";
import { isDerived } from "./derived";
import type { PlaneRecord } from "./plane-spec";

/** In words; `undefined`: nobody is ahead. */
export function bypass(
  host: Host,
  record: PlaneRecord,
  { links }: Status,
  place: InterfaceTarget,
  ifindex: number,
): string | undefined {
  const scope = hookScope(host, record.id, "");
  const found = (["ingress", "egress"] as const).flatMap((direction) => {
    const link = links[`${place.interface} ${direction}`];
    if (link === undefined) return [];
    const ahead = inNetns(place, () => {
      if (link.hook === "tcx") return tcxAhead(ifindex, direction, link.programId);
      if (link.hook === "tc") return tcAhead(place.interface, direction, link.programId);
      return xdpBeside(ifindex, link.programId);
    });
    const xdp =
      direction === "ingress" && link.hook !== "xdp" ? inNetns(place, () => xdpRedirecting(ifindex)) : [];
    const owners = [...ahead, ...xdp].map((id) => scope.ownerOf(id)).filter((owner) => !isDerived(owner));
    return owners.map((owner) => `${owner} runs ahead of ${link.hook} ${direction} of ${place.interface}`);
  });
  return found.length === 0 ? undefined : `${found.join("; ")}: what it lets pass may never be judged`;
}

function tcxAhead(ifindex: number, direction: "ingress" | "egress", own: number): number[] {
  const ids = queryTcx(ifindex, direction).programs.map(({ programId }) => programId);
  return ids.slice(0, Math.max(0, ids.indexOf(own)));
}

interface ShownFilter {
  kind?: string;
  options?: { prog?: { id: number } };
}

/** In the order in which they run; what is no BPF program counts too, as program 0. */
function tcAhead(name: string, direction: "ingress" | "egress", own: number): number[] {
  const { status, stdout } = spawnSync("tc", ["-j", "filter", "show", "dev", name, direction], {
    encoding: "utf8",
  });
  if (status !== 0 || stdout.trim() === "") return [];
  const filters = (JSON.parse(stdout) as ShownFilter[]).filter(({ options }) => options !== undefined);
  const ids = filters.map(({ options }) => options!.prog?.id ?? 0);
  return ids.slice(0, Math.max(0, ids.indexOf(own)));
}

function xdpBeside(ifindex: number, own: number): number[] {
  return Object.values(queryXdp(ifindex).programIds).filter((id) => id !== own);
}

/** AF_XDP: such sockets take packets past the kernel. */
function feedsSockets(program: ProgramHandle): boolean {
  return program.info().mapIds.some((id) => {
    const map = unlessMissing(() => MapHandle.fromId(id));
    const feeds = map?.info().type === "xskmap";
    map?.close();
    return feeds;
  });
}

function xdpRedirecting(ifindex: number): number[] {
  return Object.values(queryXdp(ifindex).programIds).filter((id) => {
    const program = unlessMissing(() => ProgramHandle.fromId(id));
    if (program === null) return false;
    try {
      return redirects(program) || feedsSockets(program);
    } finally {
      program.close();
    }
  });
}
