/** The derived Specs: one per plane, and one per namespace for the tables of connections that its planes share. */
import { possibleCpus } from "../../bpf";
import type { Hook } from "../../protocol/hooks";
import {
  type LinkPart,
  type MapPart,
  type MapRef,
  SPEC_FORMAT,
  type Spec,
  digestOf,
} from "../../protocol/spec";
import { MOST_PER_CPU, SHARD_SLOTS, SHARDS } from "../../network-policy/cells";
import type { Record } from "../records";
import type { Host } from "../host";
import { pathPart } from "../layout";
import type { WishedPlane } from "./derive";
import { DERIVED_PREFIX, connectionsId, planeId } from "./derived";
import { CONNECTION_MAPS } from "./loaded";
import { globalValue, mapShape, policyProgram } from "./program";

/** Of a plane's Spec alone; never on the wire. */
export interface PlanePart extends Omit<WishedPlane, "self"> {
  policyId: number;
  /** Of the generation that judges; decimal. */
  number: string;
  cells: number;
  /** Rules that its counters have room for. */
  counters: number;
  /** They are sharded, not per CPU. */
  sharded: boolean;
  /** Addresses that `self` stood for; absent where no rule has it. */
  self?: string[];
}

export interface PlaneSpec extends Spec {
  plane: PlanePart;
}

export interface PlaneRecord extends Record {
  spec: PlaneSpec;
}

export function planeOf(spec: Spec): PlanePart | undefined {
  return (spec as Partial<PlaneSpec>).plane;
}

/** All that is derived on the host. */
export function derivedRecords(host: Host): Record[] {
  return host.records
    .files()
    .filter((file) => file.startsWith(pathPart(DERIVED_PREFIX)))
    .map((file) => host.records.readFile(file));
}

/** All planes that the host holds. */
export function planeRecords(host: Host): PlaneRecord[] {
  return derivedRecords(host).filter(({ spec }) => planeOf(spec) !== undefined) as PlaneRecord[];
}

export function connectionsSpec(netns: string | undefined): Spec {
  const maps = CONNECTION_MAPS.map((name): MapPart => ({ name, ...mapShape(name), mapDataPolicy: "fail" }));
  return {
    format: SPEC_FORMAT,
    id: connectionsId(netns, digestOf({ maps }).slice(0, 12)),
    objects: [],
    maps,
    entries: [],
    links: [],
  };
}

/** Room for counters: what was there if it does, else with an eighth to spare. */
export function countersFor(slots: number, before?: Pick<PlanePart, "counters" | "sharded">) {
  if (before !== undefined && before.counters >= slots) {
    return { counters: before.counters, sharded: before.sharded };
  }
  const counters = Math.max(SHARD_SLOTS, Math.ceil((slots + (slots >> 3)) / SHARD_SLOTS) * SHARD_SLOTS);
  // counters that are sharded once stay so, since per-CPU ones could not take over what they hold
  return { counters, sharded: before?.sharded === true || counters > MOST_PER_CPU };
}

export function planeSpec(host: Host, plane: PlanePart): PlaneSpec {
  const { netns, policyId, hook, interfaces, linkHeader, sampleRate, untracked, counters, sharded } = plane;
  const program = policyProgram();
  const id = planeId(netns, policyId);
  const own = (name: string, map = name): [string, MapRef] => [name, { spec: id, map }];
  // another program may read another form of cells: it gets a generation of its own, and the links swap both at once
  const versioned = (name: string) => `${name}-${program.digest.slice(0, 12)}`;
  const connections = connectionsSpec(netns).id;
  const ingress = hook === "xdp" ? "judge_xdp" : "judge_ingress";
  return {
    format: SPEC_FORMAT,
    id,
    plane,
    objects: [
      {
        name: "policy",
        blob: program.digest,
        fileName: program.fileName,
        entrypoints: [ingress, "judge_egress"],
        globals: [
          globalValue("policy_id", policyId),
          globalValue("link_header", linkHeader ? 14 : 0),
          globalValue("counter_shards", sharded ? SHARDS : 0),
          globalValue("shards_shared", possibleCpus() > SHARDS ? 1 : 0),
          globalValue("sample_rate", sampleRate),
          globalValue("untracked", untracked ? 1 : 0),
          globalValue("clock_coarse", host.kernelAtLeast(5, 11) ? 1 : 0),
        ],
        maps: Object.fromEntries([
          ...["generations", "selectors"].map((name) => own(name, versioned(name))),
          own("rule_counters"),
          own("rule_shards"),
          ...CONNECTION_MAPS.map((map): [string, MapRef] => [map, { spec: connections, map }]),
        ]),
        mapDataPolicy: "replace",
      },
    ],
    maps: [
      ...["generations", "selectors"].map((name): MapPart => ({
        name: versioned(name),
        ...mapShape(name),
        mapDataPolicy: "fail",
      })),
      {
        name: "rule_counters",
        ...mapShape("rule_counters", sharded ? 1 : counters),
        mapDataPolicy: "migrate",
      },
      {
        name: "rule_shards",
        ...mapShape("rule_shards", sharded ? counters * SHARDS : 1),
        mapDataPolicy: "migrate",
      },
    ],
    entries: [],
    links: interfaces.flatMap((name) => [
      linkPart(id, `${name} ingress`, ingress, hookOf(host, plane, name, "ingress")),
      linkPart(id, `${name} egress`, "judge_egress", hookOf(host, plane, name, "egress")),
    ]),
  };
}

function linkPart(spec: string, name: string, entrypoint: string, hook: Hook): LinkPart {
  return { name, program: { spec, entrypoint }, hook };
}

function hookOf(
  host: Host,
  { netns, hook, policyId }: PlanePart,
  name: string,
  direction: "ingress" | "egress",
): Hook {
  const target = { interface: name, ...(netns === undefined ? {} : { netns }) };
  if (hook === "xdp" && direction === "ingress")
    return { type: "xdp", ...target, mode: "auto", allowGap: false };
  if (host.kernelAtLeast(6, 6))
    return { type: "tcx", ...target, direction, order: "first", fallback: "none" };
  // filters of one priority run one after the other: two planes may stand there while an interface changes over
  return { type: "tc", ...target, direction, priority: 1, handle: policyId };
}
