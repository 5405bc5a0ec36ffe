/** Interfaces of the host or of a network namespace on it. */
import fs from "node:fs";
import { inNetworkNamespace, interfaceIndex } from "../../bpf";
import { EbpfError } from "../../errors";
import type { InterfaceTarget } from "../../protocol/hooks";

/** Where `ip netns` keeps its names. */
const NETNS_DIRECTORY = "/run/netns";

/** Runs `work` in the target's network namespace. Fails with `not-found` when that does not exist. */
export function inNetns<T>({ netns }: { netns?: string }, work: () => T): T {
  if (netns === undefined) return work();
  const path = netnsPath(netns);
  if (!fs.existsSync(path)) {
    throw new EbpfError("not-found", `enter network namespace "${netns}": there is no ${path}`, {
      what: "network namespace",
      name: netns,
    });
  }
  return inNetworkNamespace(path, work);
}

export function netnsPath(netns: string): string {
  return netns.startsWith("/") ? netns : `${NETNS_DIRECTORY}/${netns}`;
}

/** Fails with `not-found`. */
export function ifindexOf(target: InterfaceTarget): number {
  return inNetns(target, () => interfaceIndex(target.interface));
}

/** `null` where the interface or its namespace does not exist. */
export function ifindexIfThere(target: InterfaceTarget): number | null {
  try {
    return ifindexOf(target);
  } catch (error) {
    if (EbpfError.is(error, "not-found")) return null;
    throw error;
  }
}

export function describeTarget({ interface: name, netns }: InterfaceTarget): string {
  return netns === undefined ? name : `${name} in network namespace ${netns}`;
}

export function sameTarget(a: InterfaceTarget, b: InterfaceTarget): boolean {
  const [one, other] = [a.netns, b.netns].map((netns) => netns && netnsPath(netns));
  return a.interface === b.interface && one === other;
}
