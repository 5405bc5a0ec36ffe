/**
 * Changes of policies that wait to be confirmed. The deadline is in the kernel: a plane judges by its previous generation
 * once it has passed, whatever became of our processes. Does not own: the Record's mark and the process that tidies
 * up (reconcile/confirm.ts).
 */
import { MapHandle } from "../../bpf";
import { EbpfError } from "../../errors";
import { compileUnion, type CompiledUnion } from "../../network-policy/union";
import type { Host } from "../host";
import { unlessMissing } from "../reconcile/actual";
import { isOver } from "../reconcile/unconfirmed";
import { type Holdings, holdingsOf } from "./derive";
import { confirmSelector } from "./generation";
import { nextGeneration } from "./numbers";
import { type PlaneRecord, planeRecords } from "./plane-spec";

/** Policies that a change of this Spec concerns: itself, or those that name it as a set. */
export function subjectsOf(id: string, { policies }: Holdings): Set<string> {
  const users = [...policies].flatMap(([user, { sets }]) => (Object.values(sets).includes(id) ? [user] : []));
  return new Set([id, ...users]);
}

/** What is on an interface before its first policy: everything passes. */
export function emptyUnion(host: Host): CompiledUnion {
  const read = (): never => {
    throw new RangeError("an empty union has no chunks");
  };
  return compileUnion({ policies: [], sets: {}, self: [] }, { number: nextGeneration(host.roots), read });
}

/** One write for each plane: it stays. */
export function confirmPlanes(host: Host, id: string): void {
  const subjects = subjectsOf(id, holdingsOf(host));
  for (const { bootId, maps, spec } of planeRecords(host)) {
    if (bootId !== host.bootId || !spec.plane.policies.some((policy) => subjects.has(policy))) continue;
    const { mapId } = maps[spec.objects[0]!.maps.selectors!.map]!;
    const selectors = unlessMissing(() => MapHandle.fromId(mapId));
    if (selectors === null) continue;
    confirmSelector(selectors);
    selectors.close();
  }
}

/** While one change waits on a plane both its slots are in use: nobody else's may come in between. */
export function waitingProblem(
  host: Host,
  { spec: { plane } }: PlaneRecord,
  own: string,
  { policies }: Holdings,
): EbpfError | undefined {
  const concerned = plane.policies.flatMap((id) => [id, ...Object.values(policies.get(id)?.sets ?? {})]);
  for (const id of new Set(concerned)) {
    const record = id === own ? null : host.records.read(id);
    if (record?.unconfirmed === undefined || isOver(record)) continue;
    const seconds = Math.ceil((Date.parse(record.unconfirmed.until) - Date.now()) / 1000);
    return new EbpfError(
      "conflict",
      `judge ${plane.interfaces.join(", ")} otherwise: ${id} waits there to be confirmed, for ${seconds} s more`,
      { owner: id },
      { remedy: "run again when it is confirmed, or has gone back" },
    );
  }
  return undefined;
}
