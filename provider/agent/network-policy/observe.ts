/** What the kernel shows of policies and sets, and where that differs from what the Records say. */
import { MapHandle } from "../../bpf";
import type { JudgedInterface, PolicyStatus } from "../../protocol/policy";
import type { DriftItem, Status } from "../../protocol/status";
import type { Host } from "../host";
import { ifindexIfThere } from "../hooks/netns";
import { type Actual, unlessMissing } from "../reconcile/actual";
import type { Record } from "../records";
import { bypass } from "./bypass";
import { type Derived, type Holdings, type WishedPlane, derive, holdingsOf } from "./derive";
import { judgingSlot, numberIn, openInner, readSelector } from "./generation";
import { canonicalNetns, isGlob } from "./interfaces";
import { type PlaneRecord, planeOf, planeRecords } from "./plane-spec";

/** Reads the status of a plane's Record; given, since it is statusOf that asks. */
type StatusOf = (host: Host, record: Record) => Promise<Status>;

export async function observePolicy(
  host: Host,
  { id, spec }: Record,
  status: Status,
  statusOf: StatusOf,
): Promise<void> {
  const policy = spec.policy!;
  const netns = canonicalNetns(policy.netns);
  const holdings = holdingsOf(host);
  const neighbours = [...holdings.policies].filter(([, part]) => canonicalNetns(part.netns) === netns);
  const derived = derive({ ...holdings, policies: new Map(neighbours) }, new Set());
  const planes = planeRecords(host).filter(({ spec: { plane } }) => plane.policies.includes(id));
  const wishes = derived.planes.filter(({ policies }) => policies.includes(id));
  const shown: PolicyStatus = {
    interfaces: [],
    uncovered: wishes
      .flatMap(({ interfaces }) => interfaces)
      .filter((name) => !planes.some(({ spec: { plane } }) => plane.interfaces.includes(name))),
    generation: planes[0]?.spec.plane.number ?? "0",
    cells: planes.reduce((sum, { spec: { plane } }) => sum + plane.cells, 0),
    memoryBytes: 0,
  };
  status.policy = shown;
  for (const name of shown.uncovered)
    status.drift.push(changed(name, `${name} is selected and not judged yet`));
  for (const { policies, error } of derived.conflicts)
    if (policies.includes(id)) status.drift.push(changed("", error.message));
  for (const record of planes) {
    const seen = await statusOf(host, record);
    shown.memoryBytes += memoryOf(record, seen);
    for (const name of record.spec.plane.interfaces) {
      const place = { interface: name, ...(netns === undefined ? {} : { netns }) };
      const ifindex = ifindexIfThere(place);
      const isOptional = !isNamed(name, record, holdings);
      // what globs found may go again
      if (ifindex === null && isOptional) continue;
      status.drift.push(...seen.drift.filter(({ part }) => part.startsWith(`${name} `)));
      if (ifindex === null) continue;
      const judged = judgedInterface(name, record, seen, ifindex);
      const ahead = bypass(host, record, seen, place, ifindex);
      if (ahead !== undefined) status.drift.push({ code: "bypassable", part: name, message: ahead });
      shown.interfaces.push(ahead === undefined ? judged : { ...judged, bypassable: ahead });
    }
    const ofLinks = (part: string) => record.spec.links.some(({ name }) => name === part);
    status.drift.push(...seen.drift.filter(({ part }) => !ofLinks(part)));
    status.drift.push(...contentDrift(record, wishes, derived));
  }
}

function changed(part: string, message: string): DriftItem {
  return { code: "policy-changed", part, message };
}

function isNamed(name: string, { spec: { plane } }: PlaneRecord, { policies }: Holdings): boolean {
  return plane.policies.some((id) =>
    policies.get(id)?.interfaces.some((selector) => !isGlob(selector) && selector === name),
  );
}

function contentDrift(
  { spec: { plane } }: PlaneRecord,
  wishes: WishedPlane[],
  { conflicts }: Derived,
): DriftItem[] {
  return plane.interfaces.flatMap((name) => {
    if (conflicts.some(({ interfaces }) => interfaces.includes(name))) return [];
    const wish = wishes.find(({ interfaces }) => interfaces.includes(name));
    if (wish === undefined) return [];
    if (wish.content !== plane.content)
      return [changed(name, `${name} is judged by other rules than those recorded`)];
    if (plane.self === undefined || plane.self.join() === wish.self.join()) return [];
    return [
      changed(
        name,
        `the host's addresses are ${wish.self.join(", ")}; self stands for ${plane.self.join(", ")}`,
      ),
    ];
  });
}

function judgedInterface(
  name: string,
  { spec: { plane } }: PlaneRecord,
  { links }: Status,
  ifindex: number,
): JudgedInterface {
  const hookAt = (direction: string) => links[`${name} ${direction}`]?.hook;
  const [ingress, egress] = [hookAt("ingress"), hookAt("egress")] as [
    JudgedInterface["ingress"],
    JudgedInterface["egress"],
  ];
  return {
    name,
    ...(plane.netns === undefined ? {} : { netns: plane.netns }),
    ifindex,
    ...(ingress === undefined ? {} : { ingress }),
    ...(egress === undefined ? {} : { egress }),
    policies: plane.policies,
  };
}

/** Of the plane's own maps, both generations among them; not of connections, which its namespace shares. */
function memoryOf({ spec }: PlaneRecord, { maps }: Status): number {
  let bytes = 0;
  const add = (map: MapHandle | null) => {
    bytes += map?.memlockBytes() ?? 0;
    map?.close();
  };
  for (const [name, { mapId }] of Object.entries(maps)) {
    const map = unlessMissing(() => MapHandle.fromId(mapId));
    if (map !== null && name === spec.objects[0]!.maps.generations!.map)
      for (const slot of [0, 1]) add(openInner(map, slot));
    add(map);
  }
  return bytes;
}

/** Part of a plane's own status: whether its generation is what judges. */
export function observeGeneration({ record, maps }: Actual, status: Status): void {
  const plane = planeOf(record.spec);
  if (plane === undefined) return;
  const [generations, selectors] = ["generations", "selectors"].map((name) =>
    maps.get(record.spec.objects[0]!.maps[name]!.map),
  );
  if (generations === undefined || selectors === undefined) return;
  const judging = numberIn(generations, judgingSlot(readSelector(selectors)));
  if (judging === BigInt(plane.number)) return;
  status.drift.push(changed("", `generation ${judging} judges in place of ${plane.number}`));
}

export function observeAddressSet(host: Host, { id, spec }: Record, status: Status): void {
  const usedBy = [...holdingsOf(host).policies].flatMap(([user, { sets }]) =>
    Object.values(sets).includes(id) ? [user] : [],
  );
  status.addressSet = { networks: spec.addressSet!.networks.count, usedBy };
}
