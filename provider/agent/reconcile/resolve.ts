/** References to parts of other Specs: from names to kernel objects, by way of their Records and pins. */
import { MapHandle, ProgramHandle } from "../../bpf";
import { EbpfError } from "../../errors";
import type { MapRef, ProgramRef } from "../../protocol/spec";
import type { Host } from "../host";
import { type PinKind, pinPath } from "../layout";
import type { Record } from "../records";
import { unlessMissing } from "./actual";
import type { Handles } from "./handles";

/** Fails with `not-found`: no such Spec on this host, no such entrypoint in it, or not loaded. */
export function openProgram(
  host: Host,
  ref: ProgramRef,
  handles: Handles,
): { program: ProgramHandle; record: Record } {
  const record = readReferred(host, ref.spec);
  if (record.programs[ref.entrypoint] === undefined) {
    throw missing(
      `find entrypoint "${ref.entrypoint}" of ${ref.spec}`,
      "entrypoint",
      ref.entrypoint,
      Object.keys(record.programs),
    );
  }
  const program = openReferred(host, record, "programs", ref.entrypoint, ProgramHandle);
  return { program: handles.keep(program), record };
}

/** As openProgram. A map that a Program shares from another resource is looked up there. */
export function openMap(
  host: Host,
  ref: MapRef,
  handles: Handles,
): { map: MapHandle; record: Record; name: string } {
  const record = readReferred(host, ref.spec);
  if (record.maps[ref.map] === undefined) {
    const shared = record.spec.objects
      .map(({ maps }) => maps[ref.map])
      .find((target) => target !== undefined);
    if (shared !== undefined) return openMap(host, shared, handles);
    throw missing(`find map "${ref.map}" of ${ref.spec}`, "map", ref.map, Object.keys(record.maps));
  }
  return { map: handles.keep(openReferred(host, record, "maps", ref.map, MapHandle)), record, name: ref.map };
}

function readReferred(host: Host, id: string): Record {
  const record = host.records.read(id);
  if (record !== null) return record;
  throw new EbpfError(
    "not-found",
    `find ${id}: it is not on this host`,
    { what: "Spec", name: id },
    {
      remedy: "apply it first",
    },
  );
}

function openReferred<T>(
  host: Host,
  record: Record,
  kind: PinKind,
  part: string,
  type: { fromPin(path: string): T },
): T {
  const path = pinPath(host.roots, record.id, record.revision, kind, part);
  const opened = record.bootId === host.bootId ? unlessMissing(() => type.fromPin(path)) : null;
  if (opened !== null) return opened;
  const why = record.bootId === host.bootId ? "its pin is gone" : "it is not loaded since boot";
  throw new EbpfError(
    "not-found",
    `find "${part}" of ${record.id}: ${why}`,
    { what: kind, name: part },
    {
      remedy: "run `pulumi refresh` and `pulumi up`, which load it again",
    },
  );
}

function missing(action: string, what: string, name: string, have: string[]): EbpfError {
  const list = have.length === 0 ? "it has none" : `it has ${have.join(", ")}`;
  return new EbpfError("not-found", `${action}: ${list}`, { what, name });
}
