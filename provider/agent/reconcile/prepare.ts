/** Prepare: from a Spec and what is there to a list of actions, with every problem that can be known before acting. */
import type { Spec } from "../../protocol/spec";
import type { Host } from "../host";
import { prepareGeneration } from "../network-policy/generation";
import type { GuardContext } from "../network-policy/guard";
import { preparePlanes } from "../network-policy/planes";
import type { UnionChange } from "../network-policy/unions";
import type { Record } from "../records";
import { prepareMap } from "./declared-maps";
import type { Handles } from "./handles";
import type { Report } from "./map-contents";
import { prepareObject } from "./objects";
import { dropEntries, fillSuccessors, followMaps, prepareEntries } from "./prepare-entries";
import { dropLinks, followPrograms, prepareLink } from "./prepare-links";
import { Preparation } from "./preparation";
import { checkSpec } from "./spec-check";

export interface PrepareRequest {
  host: Host;
  handles: Handles;
  spec: Spec;
  record: Record | null;
  dry: boolean;
  readBlob: (digest: string) => Buffer;
  report: Report;
  union?: () => UnionChange;
  withinSeconds?: number;
  guard?: GuardContext | undefined;
}

export async function prepare(request: PrepareRequest): Promise<Preparation> {
  const { host, handles, spec, record, dry, readBlob, report, union, withinSeconds, guard } = request;
  const preparation = new Preparation(
    host,
    handles,
    spec,
    record,
    dry,
    readBlob,
    report,
    union,
    withinSeconds,
    guard,
  );
  preparation.problems.push(...checkSpec(spec));
  if (preparation.problems.length > 0) return preparation;
  preparation.revision = Math.max(0, record?.revision ?? 0, ...host.pins.revisions(spec.id)) + 1;

  for (const part of spec.maps) await preparation.attempt(() => prepareMap(preparation, part));
  for (const part of spec.objects) await preparation.attempt(() => prepareObject(preparation, part));
  if (preparation.problems.length === 0) {
    await preparation.attempt(() => fillSuccessors(preparation));
    await preparation.attempt(() => followMaps(preparation));
    await preparation.attempt(() => prepareGeneration(preparation));
    await preparation.attempt(() => preparePlanes(preparation));
  }
  for (const part of spec.entries) await preparation.attempt(() => prepareEntries(preparation, part));
  for (const part of spec.links) await preparation.attempt(() => prepareLink(preparation, part));
  if (preparation.problems.length > 0) return preparation;
  await preparation.attempt(() => dropEntries(preparation));
  await preparation.attempt(() => dropLinks(preparation));
  await preparation.attempt(() => followPrograms(preparation));
  return preparation;
}
