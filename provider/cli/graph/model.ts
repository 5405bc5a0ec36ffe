/**
 * What a stack's state tells of hosts: which resources of ours are on which, what refers to what, and what had drifted
 * when it was last looked at. Pure. Does not own: places and shapes (layout.ts, svg.ts).
 */
import { withUnpacked } from "../../adapters/packed";
import { kindOfToken } from "../../adapters/provider-text";
import { EbpfError } from "../../errors";
import { describeNode, type NodeText } from "./describe-node";
import { referencesOf } from "./references";

/** Columns of a picture, left to right. */
export const columns = ["MapEntries", "Map", "Program", "Attachment"] as const;

export interface Graph {
  /** `<project>/<stack>`. */
  stack: string;
  groups: Group[];
  edges: Edge[];
}

/** Resources that are on the same hosts. */
export interface Group {
  hosts: Host[];
  nodes: Node[];
}

export interface Host {
  /** `[user@]host[:port]`. */
  name: string;
  /** False when it did not answer the last time. */
  reachable: boolean;
  drifted: boolean;
}

export interface Node extends NodeText {
  /** Spec id of a resource; of a Program's map `<spec id>#<map>`. */
  id: string;
  /** `Program`, `Map` … */
  kind: string;
  /** `own`: a resource. `part`: a map that a Program defines. `outside`: of another stack. */
  owner: "own" | "part" | "outside";
  drift: string[];
}

export interface Edge {
  from: string;
  to: string;
  /** `fills`, `serves`, `runs on`, `refers to`, `before`. */
  what: string;
}

export type Properties = Record<string, unknown>;

/** A resource of ours in a state. */
export interface StateResource {
  id: string;
  kind: string;
  specId: string;
  outputs: Properties;
}

/** `state` is what `pulumi stack export` prints. Fails with `invalid` for anything else. */
export function graphOf(state: unknown): Graph {
  const resources = resourcesOf(state);
  const groups = new Map<string, Group>();
  const edges: Edge[] = [];
  const known = new Set<string>();
  for (const resource of resources) {
    const hosts = hostsOf(resource);
    const key = hosts.map(({ name }) => name).join(" ");
    const group = groups.get(key) ?? { hosts, nodes: [] };
    groups.set(key, { ...group, hosts: merged(group.hosts, hosts) });
    group.nodes.push(...nodesOf(resource));
    edges.push(...referencesOf(resource));
  }
  for (const { nodes } of groups.values()) for (const { id } of nodes) known.add(id);
  for (const group of groups.values()) group.nodes.push(...outsiders(group, edges, known));
  return {
    stack: stackOf(state),
    groups: [...groups.entries()].sort(([a], [b]) => compare(a, b)).map(([, group]) => sorted(group)),
    edges: edges.sort((a, b) => compare(`${a.from} ${a.to}`, `${b.from} ${b.to}`)),
  };
}

function resourcesOf(state: unknown): StateResource[] {
  const all = (state as { deployment?: { resources?: unknown } } | null)?.deployment?.resources;
  if (!Array.isArray(all)) {
    // a stack that has never been deployed has no list
    if ((state as { deployment?: unknown } | null)?.deployment !== undefined) return [];
    throw new EbpfError(
      "invalid",
      "read the state: it is not what `pulumi stack export` prints, with deployment.resources",
      {},
    );
  }
  return all.flatMap((resource: { id?: string; type?: string; outputs?: Properties; delete?: boolean }) => {
    const kind = kindOfToken(resource.type ?? "");
    const specId = resource.outputs?.["specId"];
    if (kind === undefined || typeof specId !== "string" || resource.delete === true) return [];
    return [{ id: resource.id ?? "", kind, specId, outputs: withUnpacked(resource.outputs!) }];
  });
}

function stackOf(state: unknown): string {
  const { resources = [] } = (state as { deployment: { resources?: { urn: string }[] } }).deployment;
  const [, stack, project] = /^urn:pulumi:(.*?)::(.*?)::/.exec(resources[0]?.urn ?? "") ?? [];
  return stack === undefined ? "" : `${project}/${stack}`;
}

/** By the id, which is never secret, and not by the connection, which may be. */
function hostsOf({ id, specId, outputs }: StateResource): Host[] {
  const targets = outputs["targets"] as Record<string, { reachable?: boolean; drift?: string[] }> | undefined;
  if (targets === undefined) {
    const name = id.endsWith(`/${specId}`) ? id.slice(0, -specId.length - 1) : "";
    return [{ name, reachable: true, drifted: driftOf(outputs).length > 0 }];
  }
  return Object.entries(targets)
    .sort(([a], [b]) => compare(a, b))
    .map(([name, { reachable = true, drift = [] }]) => ({ name, reachable, drifted: drift.length > 0 }));
}

function merged(some: readonly Host[], others: readonly Host[]): Host[] {
  return some.map(({ name, reachable, drifted }, index) => ({
    name,
    reachable: reachable && others[index]!.reachable,
    drifted: drifted || others[index]!.drifted,
  }));
}

function driftOf({ drift }: Properties): string[] {
  return Array.isArray(drift) ? drift.map(String) : [];
}

/** The resource, and the maps that it defines. */
function nodesOf(resource: StateResource): Node[] {
  const { kind, specId, outputs } = resource;
  const text = describeNode(kind, specId.split("/").at(-1)!, outputs);
  return [
    { id: specId, kind, owner: "own", drift: driftOf(outputs), name: text.name, facts: text.facts },
    ...text.maps.map((map): Node => ({
      id: `${specId}#${map.name}`,
      kind: "Map",
      owner: "part",
      drift: [],
      ...map,
    })),
  ];
}

/** What a group's resources refer to and the state does not have. */
function outsiders({ nodes }: Group, edges: readonly Edge[], known: Set<string>): Node[] {
  const own = new Set(nodes.map(({ id }) => id));
  const missing = edges.flatMap(({ from, to }) => {
    if (own.has(to) && !known.has(from)) return [from];
    return own.has(from) && !known.has(to) ? [to] : [];
  });
  return [...new Set(missing)].map((id) => {
    const [specId = "", map] = id.split("#");
    const [kind = "", name = ""] = specId.split("/").slice(-2);
    const facts = [`of ${specId.split("/").slice(0, -2).join("/")}`];
    return {
      id,
      kind: map === undefined ? kind : "Map",
      owner: "outside",
      drift: [],
      name: map ?? name,
      facts,
    };
  });
}

function sorted({ hosts, nodes }: Group): Group {
  return { hosts, nodes: [...nodes].sort((a, b) => compare(a.id, b.id)) };
}

/** Of code points: the same on every machine. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
