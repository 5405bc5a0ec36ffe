/** What a resource's outputs say of other resources. From left to right: rows, maps, programs, hooks. */
import type { Edge, Properties, StateResource } from "./model";

export function referencesOf({ kind, specId, outputs }: StateResource): Edge[] {
  switch (kind) {
    case "Program":
      return [...ownMaps(specId, outputs), ...sharedMaps(specId, outputs)];
    case "MapEntries":
      return [...edge(specId, idOf(outputs["map"]), "fills"), ...heldBy(specId, outputs)];
    case "Attachment":
      return [...edge(idOf(outputs["program"]), specId, "runs on"), ...neighbours(specId, outputs)];
    case "NetworkPolicy":
      return setsOf(outputs).flatMap((set) => edge(set, specId, "serves"));
    default:
      return [];
  }
}

function ownMaps(specId: string, outputs: Properties): Edge[] {
  const { maps = {} } = (outputs["object"] ?? {}) as { maps?: object };
  const shared = Object.keys((outputs["maps"] ?? {}) as object);
  return Object.keys(maps)
    .filter((name) => !shared.includes(name))
    .map((name) => ({ from: `${specId}#${name}`, to: specId, what: "serves" }));
}

function sharedMaps(specId: string, outputs: Properties): Edge[] {
  return Object.values((outputs["maps"] ?? {}) as Properties).flatMap((map) =>
    edge(idOf(map), specId, "serves"),
  );
}

/** Rows whose values are maps or programs. */
function heldBy(specId: string, outputs: Properties): Edge[] {
  const { references = [] } = (outputs["content"] ?? {}) as { references?: unknown[] };
  return references.flatMap((reference) => edge(specId, idOf(reference), "refers to"));
}

function neighbours(specId: string, outputs: Properties): Edge[] {
  const { order } = (outputs["tcx"] ?? {}) as { order?: { before?: unknown; after?: unknown } };
  if (order === null || typeof order !== "object") return [];
  return [...edge(specId, idOf(order.before), "before"), ...edge(idOf(order.after), specId, "before")];
}

function setsOf(outputs: Properties): string[] {
  const { sets = [] } = (outputs["content"] ?? {}) as { sets?: unknown };
  return Array.isArray(sets) ? sets.map(String) : [];
}

/** A reference's Spec id; with the map's name where the map is a Program's. */
function idOf(reference: unknown): string | undefined {
  const { spec, map } = (reference ?? {}) as { spec?: unknown; map?: unknown };
  if (typeof spec !== "string") return undefined;
  return typeof map === "string" && spec.split("/").at(-2) === "Program" ? `${spec}#${map}` : spec;
}

function edge(from: string | undefined, to: string | undefined, what: string): Edge[] {
  return from === undefined || to === undefined ? [] : [{ from, to, what }];
}
