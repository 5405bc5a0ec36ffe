/** restore: brings recorded Specs back after a reboot, each after those that it refers to. */
import { EbpfError } from "../errors";
import type { ApplyParams, RestoreResult } from "../protocol/messages";
import type { Spec } from "../protocol/spec";
import type { Status } from "../protocol/status";
import type { Host } from "./host";
import { isDerived } from "./network-policy/derived";
import type { Record } from "./records";

/** How a Spec comes back. */
export interface Restorer {
  apply(params: ApplyParams): Promise<Status>;
  /** To the version before the recorded one, which was never confirmed. */
  goBack(id: string): Promise<boolean>;
}

export async function restore(
  host: Host,
  ids: string[] | undefined,
  { apply, goBack }: Restorer,
): Promise<RestoreResult[]> {
  const results: RestoreResult[] = [];
  const records = new Map<string, Record>();
  for (const summary of host.records.list()) {
    // derived Specs come with the policies that they follow from
    if (isDerived(summary.id)) continue;
    if (ids !== undefined && !ids.includes(summary.id)) continue;
    try {
      records.set(summary.id, host.records.read(summary.id)!);
    } catch (error) {
      results.push({ id: summary.id, restored: false, error: EbpfError.from(error).toWire() });
    }
  }
  for (const id of ids ?? []) {
    if (records.has(id) || results.some((result) => result.id === id)) continue;
    const error = new EbpfError("not-found", `restore ${id}: it is not on this host`, {
      what: "Record",
      name: id,
    });
    results.push({ id, restored: false, error: error.toWire() });
  }
  for (const { spec, inputs, incarnation, unconfirmed, bootId } of inOrder(records)) {
    try {
      const { notes } =
        unconfirmed === undefined
          ? await apply({ spec, inputs, incarnation })
          : { notes: await restoreUnconfirmed(spec.id, bootId === host.bootId, goBack) };
      results.push({ id: spec.id, restored: true, ...(notes.length === 0 ? {} : { notes }) });
    } catch (error) {
      results.push({ id: spec.id, restored: false, error: EbpfError.from(error).toWire() });
    }
  }
  return results;
}

/** A reboot is no confirmation. Within the boot its clock runs. */
async function restoreUnconfirmed(
  id: string,
  sameBoot: boolean,
  goBack: Restorer["goBack"],
): Promise<string[]> {
  if (sameBoot) return ["waits to be confirmed: left as it is"];
  await goBack(id);
  return ["was not confirmed before the boot: went back to what was there before"];
}

/** What is referred to comes first; a circle is cut where it was entered. */
function inOrder(records: Map<string, Record>): Record[] {
  const ordered = new Set<Record>();
  const visiting = new Set<string>();
  const visit = (id: string): void => {
    const record = records.get(id);
    if (record === undefined || visiting.has(id)) return;
    visiting.add(id);
    for (const other of referred(record.spec)) visit(other);
    ordered.add(record);
  };
  for (const id of records.keys()) visit(id);
  return [...ordered];
}

function referred(spec: Spec): string[] {
  return [
    ...spec.objects.flatMap(({ maps }) => Object.values(maps)),
    ...spec.entries.flatMap(({ map, references }) => [
      map,
      ...references.flatMap((row) => row.map ?? row.program ?? []),
    ]),
    ...spec.links.map(({ program }) => program),
    ...Object.values(spec.policy?.sets ?? {}).map((set) => ({ spec: set })),
  ].map(({ spec: id }) => id);
}
