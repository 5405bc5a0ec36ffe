/**
 * The kernel objects that a Record speaks of, opened: by pin, else, in the same boot, by the id that was recorded
 * (somebody removed the pin, something else still holds the object). What is neither is missing.
 */
import { LinkHandle, MapHandle, ProgramHandle, isErrno } from "../../bpf";
import type { Host } from "../host";
import { type PinKind, pinPath } from "../layout";
import type { Record } from "../records";
import type { Handles } from "./handles";

export interface Actual {
  record: Record;
  /** The Record was written in this boot: its ids and pins mean something. */
  sameBoot: boolean;
  programs: Map<string, ProgramHandle>;
  maps: Map<string, MapHandle>;
  links: Map<string, LinkHandle>;
  /** `programs/xdp_filter`: objects found by id alone. */
  unpinned: Set<string>;
}

export function openActual(host: Host, record: Record, handles: Handles): Actual {
  const sameBoot = record.bootId === host.bootId;
  const actual: Actual = {
    record,
    sameBoot,
    programs: new Map(),
    maps: new Map(),
    links: new Map(),
    unpinned: new Set(),
  };
  if (!sameBoot) return actual;
  for (const [part, { programId, tag }] of Object.entries(record.programs)) {
    const program = open(host, record, "programs", part, ProgramHandle, programId, actual);
    if (program === null) continue;
    handles.keep(program);
    if (program.info().tag === tag) actual.programs.set(part, program);
  }
  for (const [part, { mapId, shape }] of Object.entries(record.maps)) {
    const map = open(host, record, "maps", part, MapHandle, mapId, actual);
    if (map === null) continue;
    handles.keep(map);
    if (map.info().type === shape.type) actual.maps.set(part, map);
  }
  for (const [part, { linkId }] of Object.entries(record.links)) {
    if (linkId === 0) continue;
    const link = open(host, record, "links", part, LinkHandle, linkId, actual);
    if (link !== null) actual.links.set(part, handles.keep(link));
  }
  return actual;
}

interface Openable<T> {
  fromPin(path: string): T;
  fromId(id: number): T;
}

function open<T>(
  host: Host,
  record: Record,
  kind: PinKind,
  part: string,
  type: Openable<T>,
  id: number,
  actual: Actual,
): T | null {
  const pinned = unlessMissing(() =>
    type.fromPin(pinPath(host.roots, record.id, record.revision, kind, part)),
  );
  if (pinned !== null) return pinned;
  const byId = unlessMissing(() => type.fromId(id));
  if (byId !== null) actual.unpinned.add(`${kind}/${part}`);
  return byId;
}

/** `null` when the kernel has no such thing; every other failure is one. */
export function unlessMissing<T>(open: () => T): T | null {
  try {
    return open();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null;
    throw error;
  }
}
