/** The programs on a hook, ours and others', in the order in which they run. */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import {
  LinkHandle,
  type LinkInfo,
  ProgramHandle,
  linkIds,
  queryCgroup,
  queryTcx,
  queryXdp,
} from "../../bpf";
import type { InterfaceTarget } from "../../protocol/hooks";
import type { AttachedFacts, HookPlace, HookQueryResult } from "../../protocol/queries";
import type { Host } from "../host";
import { CGROUP_HOOKS, cgroupId, checkCgroup } from "../hooks/cgroup";
import { ifindexOf, inNetns } from "../hooks/netns";
import { unlessMissing } from "../reconcile/actual";
import { type Owners, ownersOf } from "./owners";

/** Before the names and the owner are known. */
interface Found {
  hook: AttachedFacts["hook"];
  programId: number;
  linkId: number;
  facts: AttachedFacts["facts"];
}

export function queryHook(host: Host, place: HookPlace): HookQueryResult {
  const notes: string[] = [];
  const found = foundAt(host, place, notes);
  const owners = ownersOf(host);
  return { attachments: found.flatMap((one) => described(one, owners) ?? []), notes };
}

function foundAt(host: Host, place: HookPlace, notes: string[]): Found[] {
  if ("interface" in place) return onInterface(host, place, notes);
  if ("cgroup" in place) return onCgroup(place.cgroup);
  return onTracepoint(host, place, notes);
}

function onInterface(host: Host, target: InterfaceTarget, notes: string[]): Found[] {
  const ifindex = ifindexOf(target);
  return inNetns(target, () => {
    const xdpLinks = links("xdp");
    const { programIds } = queryXdp(ifindex);
    const xdp = Object.entries(programIds).map(([mode, programId]) => {
      // an ifindex says nothing without its network namespace, which a link does not tell: the program does
      const link = xdpLinks.find((one) => one.ifindex === ifindex && one.programId === programId);
      return { hook: "xdp", programId, linkId: link?.id ?? 0, facts: { mode } };
    });
    const directions = ["ingress", "egress"] as const;
    const tcx = !host.kernelAtLeast(6, 6)
      ? []
      : directions.flatMap((direction) =>
          queryTcx(ifindex, direction).programs.map(({ programId, linkId = 0 }, position) => ({
            hook: "tcx",
            programId,
            linkId,
            facts: { direction, position },
          })),
        );
    return [
      ...xdp,
      ...tcx,
      ...directions.flatMap((direction) => filters(target.interface, direction, notes)),
    ];
  });
}

interface TcFilterJson {
  kind: string;
  pref: number;
  options?: { handle?: string; prog?: { id?: number } };
}

/** libbpf lists no filters of clsact: iproute2 does. */
function filters(device: string, direction: "ingress" | "egress", notes: string[]): Found[] {
  const { status, stdout, stderr, error } = spawnSync(
    "tc",
    ["-j", "filter", "show", "dev", device, direction],
    {
      encoding: "utf8",
    },
  );
  if (error !== undefined || status !== 0) {
    const why = error === undefined ? stderr.trim() : "the host has no iproute2";
    notes.push(`tc ${direction} of ${device} is not among them: ${why}`);
    return [];
  }
  const listed = JSON.parse(stdout.trim() === "" ? "[]" : stdout) as TcFilterJson[];
  return listed.flatMap(({ kind, pref, options }) => {
    const programId = options?.prog?.id;
    if (kind !== "bpf" || programId === undefined) return [];
    const handle = Number(options?.handle ?? 0);
    return [{ hook: "tc", programId, linkId: 0, facts: { direction, priority: pref, handle } }];
  });
}

function onCgroup(path: string): Found[] {
  checkCgroup(path);
  const id = cgroupId(path);
  const cgroupLinks = links("cgroup").filter((link) => String(link.cgroupId) === id);
  const directory = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    return Object.entries(CGROUP_HOOKS).flatMap(([attach, { attachType }]) => {
      const own = cgroupLinks.filter((link) => link.attachType === attachType);
      return queryCgroup(directory, attachType).programs.map(({ programId }, position) => {
        // the kernel names no links here: of several links of one program each is taken once
        const at = own.findIndex((link) => link.programId === programId);
        const [link] = at < 0 ? [] : own.splice(at, 1);
        return { hook: "cgroup", programId, linkId: link?.id ?? 0, facts: { attach, position } };
      });
    });
  } finally {
    fs.closeSync(directory);
  }
}

function onTracepoint(
  host: Host,
  place: { tracepoint: string } | { rawTracepoint: string },
  notes: string[],
): Found[] {
  if ("rawTracepoint" in place) {
    return links("raw_tracepoint")
      .filter(({ name }) => name === place.rawTracepoint)
      .map(({ id, programId }) => ({ hook: "rawTracepoint", programId, linkId: id, facts: {} }));
  }
  if (!host.kernelAtLeast(6, 6)) {
    notes.push("below Linux 6.6 the kernel does not tell on which tracepoint a link of somebody else is");
  }
  const [, name = place.tracepoint] = place.tracepoint.split("/");
  const known = ourLinksOn(host, place.tracepoint);
  return links("perf_event")
    .filter(({ id, kind, name: on }) => known.has(id) || (kind === BPF_PERF_EVENT_TRACEPOINT && on === name))
    .map(({ id, programId }) => ({ hook: "tracepoint", programId, linkId: id, facts: {} }));
}

/** uapi/linux/bpf.h, enum bpf_perf_event_type */
const BPF_PERF_EVENT_TRACEPOINT = 5;

/** By our Records: below Linux 6.6 the kernel does not tell. */
function ourLinksOn(host: Host, event: string): Set<number> {
  const ids = [...host.records.all()]
    .filter(({ bootId }) => bootId === host.bootId)
    .flatMap(({ spec, links: recorded }) =>
      spec.links
        .filter(({ hook }) => hook.type === "tracepoint" && hook.event === event)
        .flatMap((part) => recorded[part.name]?.linkId ?? []),
    );
  return new Set(ids);
}

/** All links of a type that are alive; one that goes meanwhile is left out. */
function links<T extends LinkInfo["type"]>(type: T): Extract<LinkInfo, { type: T }>[] {
  const found: LinkInfo[] = [];
  for (const id of linkIds()) {
    const link = unlessMissing(() => LinkHandle.fromId(id));
    if (link === null) continue;
    try {
      const info = link.info();
      if (info.type === type) found.push(info);
    } finally {
      link.close();
    }
  }
  return found as Extract<LinkInfo, { type: T }>[];
}

/** `null`: the program went meanwhile. */
function described({ hook, programId, linkId, facts }: Found, owners: Owners): AttachedFacts | null {
  const program = unlessMissing(() => ProgramHandle.fromId(programId));
  if (program === null) return null;
  try {
    const { name, type, tag } = program.info();
    const spec = linkId === 0 ? unlinkedOwner(hook, programId, facts, owners) : owners.links.get(linkId);
    return {
      ...{ hook, programId, programName: name, programType: type, programTag: tag, linkId },
      ...(spec === undefined ? {} : { spec }),
      facts,
    };
  } finally {
    program.close();
  }
}

function unlinkedOwner(
  hook: string,
  programId: number,
  facts: AttachedFacts["facts"],
  { unlinked }: Owners,
): string | undefined {
  return unlinked.find(
    ({ record }) =>
      record.hook === hook &&
      record.programId === programId &&
      ["direction", "priority", "handle"].every((fact) => record.facts[fact] === facts[fact]),
  )?.spec;
}
