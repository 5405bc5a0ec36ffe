/** Slots of prog_arrays in other Specs' entries that hold a program which is made anew. */
import { EbpfError } from "../../errors";
import type { Record } from "../records";
import type { Preparation } from "./preparation";
import { slotOf } from "./prepare-entries";
import { openMap } from "./resolve";

export function setReferences(preparation: Preparation, other: Record): void {
  const { host, spec, record, programs, steps, handles } = preparation;
  for (const part of other.spec.entries) {
    // a map of ours was filled when it was made
    if (part.map.spec === spec.id && preparation.maps.get(part.map.map)?.kept !== true) continue;
    const map = openIfThere(() => openMap(host, part.map, handles).map);
    if (map === null) continue;
    for (const { key, program } of part.references) {
      if (program?.spec !== spec.id) continue;
      const next = programs.get(program.entrypoint)!;
      const from = slotOf(map, key);
      if (next.kept || from !== record!.programs[program.entrypoint]?.programId) continue;
      const to = next.handle.info().id;
      steps.links.push({
        type: "set-reference",
        part: part.name,
        mapId: map.info().id,
        key,
        kind: "program",
        from,
        to,
      });
    }
  }
}

function openIfThere<T>(open: () => T): T | null {
  try {
    return open();
  } catch (error) {
    if (EbpfError.is(error, "not-found")) return null;
    throw error;
  }
}
