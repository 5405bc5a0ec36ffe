/** Which Spec a kernel object belongs to, for all objects of this boot at once: reads all Records. */
import { readlinkSync } from "node:fs";
import { EbpfError } from "../../errors";
import type { Spec } from "../../protocol/spec";
import type { Host } from "../host";
import type { LinkRecord, Record } from "../records";

export interface Owners {
  /** Spec ids by kernel id. */
  programs: Map<number, string>;
  maps: Map<number, string>;
  links: Map<number, string>;
  /** Attachments without a link: what netlink holds. */
  unlinked: { spec: string; record: LinkRecord }[];
  /** Kernel ids of maps with declared secret values. */
  secretMaps: Set<number>;
}

export function ownersOf(host: Host): Owners {
  const records = [...host.records.all()].filter(({ bootId }) => bootId === host.bootId);
  const owners: Owners = {
    programs: new Map(),
    maps: new Map(),
    links: new Map(),
    unlinked: [],
    secretMaps: new Set(),
  };
  for (const { id, programs, maps, links } of records) {
    for (const { programId } of Object.values(programs)) owners.programs.set(programId, id);
    for (const { mapId } of Object.values(maps)) owners.maps.set(mapId, id);
    for (const link of Object.values(links)) {
      if (link.linkId === 0) owners.unlinked.push({ spec: id, record: link });
      else owners.links.set(link.linkId, id);
    }
  }
  for (const mapId of secretMaps(records)) owners.secretMaps.add(mapId);
  return owners;
}

/** Rows that are declared secret; and sections of globals that a Program sets, which may be. */
function secretMaps(records: Record[]): number[] {
  const byId = new Map(records.map((record) => [record.id, record]));
  const rows = records.flatMap(({ spec }) =>
    spec.entries.filter(({ secret }) => secret === true).map(({ map }) => mapIdOf(byId, map)),
  );
  const globals = records.flatMap(({ spec, maps }) =>
    sectionsSet(spec).map((section) => maps[section]?.mapId),
  );
  return [...rows, ...globals].filter((id) => id !== undefined);
}

function sectionsSet(spec: Spec): string[] {
  return spec.objects.flatMap(({ globals }) => globals.map(({ section }) => section));
}

/** As reconcile/resolve.ts finds it: a map that a Program shares is another Record's. */
function mapIdOf(
  records: Map<string, Record>,
  { spec, map }: { spec: string; map: string },
): number | undefined {
  const record = records.get(spec);
  const shared = record?.spec.objects.map(({ maps }) => maps[map]).find((target) => target !== undefined);
  return shared === undefined ? record?.maps[map]?.mapId : mapIdOf(records, shared);
}

/** For what is gone, or of another kind, by the words of the caller. */
export function notThere(what: string, name: string, remedy?: string): EbpfError {
  return new EbpfError(
    "not-found",
    `find ${what} ${name}: there is none`,
    { what, name },
    remedy === undefined ? {} : { remedy },
  );
}

/** The kernel opens a pin of any kind; its word for the kind stands in /proc/self/fd. Fails with `invalid`. */
export function checkPin({ fd }: { fd: number }, pin: string, kind: "program" | "map"): void {
  const found = readlinkSync(`/proc/self/fd/${fd}`);
  const expected = { program: "anon_inode:bpf-prog", map: "anon_inode:bpf-map" }[kind];
  if (found === expected) return;
  const remedy = `give the path of a pinned ${kind}`;
  throw new EbpfError(
    "invalid",
    `open pin ${pin}: it is no ${kind}, but ${found.replace("anon_inode:", "")}`,
    {},
    { remedy },
  );
}
