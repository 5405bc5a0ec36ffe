/** What differs between a state and new inputs, per property path. No I/O. */
import { type CommonInputs, HOSTLESS_INPUTS, type ResourceDefinition } from "../resources/resource";
import { withDefaults } from "./defaults";
import { alikeHeld, otherHeld } from "./held";
import { propertyPath } from "./unknowns";

/** As the engine's PropertyDiff kinds. */
export type ChangeKind = "add" | "delete" | "update" | "add-replace" | "delete-replace" | "update-replace";

export interface Diff {
  changes: boolean;
  /** Property paths whose change replaces the resource. */
  replaces: string[];
  paths: Record<string, ChangeKind>;
}

/** Longest list of single differences within one array; beyond it the array is the difference. */
const MOST_PER_ARRAY = 100;

/**
 * `outputs` are what a refresh saw, `news` checked inputs. Only properties that inputs can have are compared:
 * kernel ids and counters are none of them.
 */
export function diffInputs(
  definition: ResourceDefinition,
  outputs: Record<string, unknown>,
  news: Record<string, unknown>,
  ignoreChanges: readonly string[] = [],
): Diff {
  const olds: Record<string, unknown> = withDefaults(definition, outputs);
  const settled: Record<string, unknown> = settle(definition, olds, withDefaults(definition, news));
  const names = new Set([...Object.keys(settled), ...Object.keys(definition.inputs.shape)]);
  names.delete("specId");
  for (const name of alikeHeld(definition, olds, settled)) names.delete(name);
  const found = [...names]
    .flatMap((name) => differences(olds[name], settled[name], [name]))
    .filter(({ property }) => !ignoreChanges.some((ignored) => within(property, ignored)));
  const replacing = new Set(["connection.host", "connection.port"]);
  for (const property of definition.replaces?.(olds as never, settled as never) ?? [])
    replacing.add(property);
  const paths: Record<string, ChangeKind> = {};
  const replaces: string[] = [];
  for (const { property, kind } of found) {
    if (property === "connection.port" && portOf(olds) === portOf(settled)) continue;
    // an unknown connection may be another host
    const replace = replacing.has(property) || (property === "connection" && kind === "update");
    paths[property] = replace ? `${kind}-replace` : kind;
    if (replace) replaces.push(property);
  }
  return { changes: Object.keys(paths).length > 0, replaces, paths };
}

/**
 * Whom an update concerns: the host, nobody, or the state alone, since all that differs is nothing to the host, as the
 * way to it. What differs in a hundred thousand rules is not looked for.
 */
export function concernOf(
  definition: ResourceDefinition,
  outputs: Record<string, unknown>,
  news: Record<string, unknown>,
): "host" | "state" | "nobody" {
  if (otherHeld(definition, outputs, news)) return "host";
  const { changes, paths } = diffInputs(definition, outputs, news);
  if (!changes) return "nobody";
  const hostless = (property: string) => HOSTLESS_INPUTS.some((name) => within(property, name));
  return Object.keys(paths).every(hostless) ? "state" : "host";
}

function settle(
  definition: ResourceDefinition,
  olds: Record<string, unknown>,
  news: Record<string, unknown>,
): Record<string, unknown> {
  if (definition.settle === undefined) return news;
  return definition.settle(olds as never, news as never) as CommonInputs & Record<string, unknown>;
}

function portOf(inputs: Record<string, unknown>): unknown {
  return (inputs["connection"] as { port?: unknown } | undefined)?.port ?? 22;
}

interface Difference {
  property: string;
  kind: "add" | "delete" | "update";
}

function differences(before: unknown, after: unknown, path: (string | number)[]): Difference[] {
  const found: Difference[] = [];
  addDifferences(before, after, path, found);
  return found;
}

/** `path` is one for all levels: a long list is walked without a new one for each of its parts. */
function addDifferences(
  before: unknown,
  after: unknown,
  path: (string | number)[],
  found: Difference[],
): void {
  if (isAlike(before, after)) return;
  const inner = (key: string | number, one: unknown, other: unknown) => {
    path.push(key);
    addDifferences(one, other, path, found);
    path.pop();
  };
  if (Array.isArray(before) && Array.isArray(after)) {
    const earlier = found.length;
    for (let index = 0; index < Math.max(before.length, after.length); index++) {
      inner(index, before[index], after[index]);
      if (found.length - earlier <= MOST_PER_ARRAY) continue;
      found.length = earlier;
      found.push({ property: propertyPath(path), kind: "update" });
      return;
    }
  } else if (isObject(before) && isObject(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)]))
      inner(key, before[key], after[key]);
  } else {
    const kind = before === undefined ? "add" : after === undefined ? "delete" : "update";
    found.push({ property: propertyPath(path), kind });
  }
}

/** Of plain JSON; a missing member and an undefined one are alike. */
function isAlike(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (Array.isArray(one)) {
    if (!Array.isArray(other) || one.length !== other.length) return false;
    for (let index = 0; index < one.length; index++) if (!isAlike(one[index], other[index])) return false;
    return true;
  }
  if (!isObject(one) || !isObject(other)) return false;
  for (const key in one) if (!isAlike(one[key], other[key])) return false;
  for (const key in other) if (other[key] !== undefined && one[key] === undefined) return false;
  return true;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** Whether a property is another one or lies below it; `*` stands for any one part. */
export function within(property: string, outer: string): boolean {
  const parts = (text: string) => text.match(/[^.[\]"]+/g) ?? [];
  const inner = parts(property);
  return parts(outer).every((part, index) => part === "*" || inner[index] === part);
}
