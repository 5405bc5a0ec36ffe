/**
 * What XDP and a veth do to each other (drivers/net/veth.c). Nobody says so at run time; plan does.
 *
 * - A frame that XDP redirects into a veth is dropped unless its peer polls by NAPI: with an XDP program of its own, or
 *   with GRO on (veth_xdp_xmit).
 * - A packet that a socket sent is copied before an XDP program of a veth sees it (veth_convert_skb_to_xdp_buff).
 *
 * Asks iproute2 and ethtool; without them there is nothing to warn of.
 */
import { spawnSync } from "node:child_process";
import { MapHandle, type ProgramHandle } from "../../bpf";
import { unlessMissing } from "../reconcile/actual";

interface LinkShown {
  ifname: string;
  /** The peer, where it is in the same network namespace. */
  link?: string;
  xdp?: unknown;
}

/** Whether the program has a map to redirect through. */
export function redirects(program: ProgramHandle): boolean {
  return program.info().mapIds.some((id) => {
    const map = unlessMissing(() => MapHandle.fromId(id));
    if (map === null) return false;
    try {
      return map.info().type.startsWith("devmap");
    } finally {
      map.close();
    }
  });
}

/** Of the present network namespace. */
export function veths(): string[] {
  return shown().map(({ ifname }) => ifname);
}

/** Of the present network namespace. */
export function vethsWithoutNapi(): string[] {
  const links = shown();
  const polls = (name: string) => {
    const peer = links.find(({ ifname }) => ifname === name);
    return peer?.xdp !== undefined || run("ethtool", "-k", name).includes("generic-receive-offload: on");
  };
  return links.flatMap(({ ifname, link }) => (link === undefined || polls(link) ? [] : [ifname]));
}

function shown(): LinkShown[] {
  const text = run("ip", "-j", "link", "show", "type", "veth");
  return text.trim() === "" ? [] : (JSON.parse(text) as LinkShown[]);
}

function run(command: string, ...args: string[]): string {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8" });
  return status === 0 ? stdout : "";
}
