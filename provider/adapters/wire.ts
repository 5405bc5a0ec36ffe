/** Values between the engine's JSON and the lifecycle's. */
import type { Problem } from "../errors";
import { propertyPath } from "../lifecycle/unknowns"; // alone: a plugin loads the rest later
import { withPacked, withUnpacked } from "./packed";
import { APPLYING_KEY, PROVIDER_KEY } from "./provider-text";

/** sdk/go/common/resource/sig: the key that marks a value of a special kind, and two of the kinds. */
const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";
const ASSET = "c44067f5952c0a294b673a41bacd8c17";

/** Outputs that the plugin adds for other languages: a function of the others, no part of any state. */
export const REFERENCES = ["entrypointRefs", "mapRefs", "ref"];

type Properties = Record<string, unknown>;

/** Plain values: secrets unwrapped, file assets as their path, packed texts as objects, the engine's own properties left out. */
export function fromEngine(properties: Properties): Properties {
  const { [PROVIDER_KEY]: _text, [APPLYING_KEY]: _phase, __defaults: _defaults, ...own } = properties;
  for (const name of REFERENCES) delete own[name];
  return withUnpacked(plain(own) as Properties);
}

/** Assets without a path on this machine, and archives, where fromEngine left them. */
export function unfitAssets(value: unknown): Problem[] {
  const found: Problem[] = [];
  addUnfit(value, [], found);
  return found;
}

/** `path` is one for all levels: a long list is walked without a new one for each of its parts. */
function addUnfit(value: unknown, path: (string | number)[], found: Problem[]): void {
  if (value === null || typeof value !== "object") return;
  if (SIGNATURE in value) {
    const reason = "expected a path or a FileAsset: other assets and archives are no file of this machine";
    found.push({ property: propertyPath(path), reason });
    return;
  }
  for (const key of Array.isArray(value) ? value.keys() : Object.keys(value)) {
    const child = (value as Record<string | number, unknown>)[key];
    if (child === null || typeof child !== "object") continue;
    path.push(key);
    addUnfit(child, path, found);
    path.pop();
  }
}

function plain(value: unknown): unknown {
  if (value === null || typeof value !== "object") return value;
  const object = value as Properties;
  if (object[SIGNATURE] === SECRET) return plain(object["value"]);
  if (object[SIGNATURE] === ASSET && typeof object["path"] === "string") return object["path"];
  return withChildren(value, plain);
}

/** With each child as `change` makes it; the same value where that changes none, as in lists of a hundred thousand rules. */
function withChildren(value: object, change: (child: unknown) => unknown): object {
  let changed: Properties | unknown[] | undefined;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const child = change(value[index]);
      if (child !== value[index]) ((changed ??= [...value]) as unknown[])[index] = child;
    }
    return changed ?? value;
  }
  const object = value as Properties;
  for (const key of Object.keys(object)) {
    const child = change(object[key]);
    if (child !== object[key]) ((changed ??= { ...object }) as Properties)[key] = child;
  }
  return changed ?? value;
}

/** For the engine to keep encrypted. */
export function secret(value: unknown): unknown {
  return { [SIGNATURE]: SECRET, value };
}

/** As our own SDK takes it, and google.protobuf.Struct: packed, no `undefined` at any depth. */
export function toEngine(properties: Properties): Properties {
  return defined(withPacked(properties)) as Properties;
}

function defined(value: unknown): unknown {
  if (value === null || typeof value !== "object") return value;
  const inner = withChildren(value, defined) as Properties;
  if (!Object.values(inner).includes(undefined)) return inner;
  if (Array.isArray(inner)) return inner.map((child: unknown) => child ?? null);
  return Object.fromEntries(Object.entries(inner).filter(([, child]) => child !== undefined));
}
