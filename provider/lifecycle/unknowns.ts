/** Values that a preview does not know yet. */
import type { Problem } from "../errors";
import { UNKNOWN } from "../resources/unknown";

export type Path = readonly (string | number)[];

export function unknownPaths(value: unknown): Path[] {
  const found: Path[] = [];
  addUnknown(value, [], found);
  return found;
}

/** `path` is one for all levels: a long list is walked without a new one for each of its parts. */
function addUnknown(value: unknown, path: (string | number)[], found: Path[]): void {
  if (value === UNKNOWN) found.push([...path]);
  if (value === null || typeof value !== "object") return;
  const keys = Array.isArray(value) ? value.keys() : Object.keys(value);
  for (const key of keys) {
    const child = (value as Record<string | number, unknown>)[key];
    if (child !== UNKNOWN && (child === null || typeof child !== "object")) continue;
    path.push(key);
    addUnknown(child, path, found);
    path.pop();
  }
}

/** Whether one path leads to, through or below the other. */
export function touches(one: Path, other: Path): boolean {
  return one.slice(0, other.length).every((part, index) => part === other[index]);
}

/** `xdp.interface`, `entries[3].key`, `globals["a.b"]`: Pulumi's property paths. */
export function propertyPath(path: Path): string {
  return path
    .map((part, index) => {
      if (typeof part === "number") return `[${part}]`;
      if (!/^[A-Za-z_$][\w$-]*$/.test(part)) return `[${JSON.stringify(part)}]`;
      return index === 0 ? part : `.${part}`;
    })
    .join("");
}

/** The first property of a path text. */
export function headOf(property: string): string {
  return /^[^.[]*/.exec(property)![0];
}

/** Problems that do not concern a property left out because it holds unknown values. */
export function withoutUnknown(problems: Problem[], leftOut: ReadonlySet<string>): Problem[] {
  return problems.filter(({ property }) => property !== "" && !leftOut.has(headOf(property)));
}
