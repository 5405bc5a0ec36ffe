/**
 * Secrets on their way to the engine. It marks what came to us as a secret, by name; but what nobody marked (a key in
 * plain text, an import, which came from the host) must not lie in the state in clear either.
 */
import type { Properties } from "../../lifecycle";
import { UNKNOWN } from "../../lifecycle";
import { propertiesOf, type Property, type Type } from "../../schema/property";
import { secret } from "../wire";

type Schema = Parameters<typeof propertiesOf>[0];

const known = new WeakMap<Schema, Property[]>();

/** The properties with each that the schema calls secret, at any depth, marked for the engine; themselves if none is. */
export function withSecrets(schema: Schema, properties: Properties): Properties {
  let described = known.get(schema);
  if (described === undefined) known.set(schema, (described = propertiesOf(schema)));
  const marked = markObject(properties, described);
  // rows come back from a host without what made them secret
  if (properties["secret"] !== true || marked["entries"] === undefined) return marked;
  return { ...marked, entries: markValue(marked["entries"]) };
}

function markObject(object: Properties, described: readonly Property[]): Properties {
  let marked = object;
  for (const { name, type, secret: isSecret } of described) {
    const value = object[name];
    if (value === undefined) continue;
    const inner = isSecret ? markValue(value) : mark(value, type);
    if (inner !== value) marked = { ...marked, [name]: inner };
  }
  return marked;
}

function markValue(value: unknown): unknown {
  return value === UNKNOWN || value === null ? value : secret(value);
}

function mark(value: unknown, type: Type): unknown {
  switch (type.kind) {
    case "list": {
      // as a whole, as the engine marks lists: a secret within a secret is more than the Node SDK unwraps
      if (!Array.isArray(value) || !hasSecrets(type.of)) return value;
      return value.some((item) => mark(item, type.of) !== item) ? markValue(value) : value;
    }
    case "record": {
      if (!isObject(value)) return value;
      const marked = Object.entries(value).map(([key, item]) => [key, mark(item, type.of)] as const);
      return marked.every(([key, item]) => item === value[key]) ? value : Object.fromEntries(marked);
    }
    case "object":
      return isObject(value) ? markObject(value, type.properties) : value;
    case "union":
      return type.of.reduce(mark, value);
    default:
      return value;
  }
}

/** A list of a hundred thousand rules is not looked through for secrets that it cannot have. */
function hasSecrets(type: Type): boolean {
  switch (type.kind) {
    case "object":
      return type.properties.some((property) => property.secret || hasSecrets(property.type));
    case "list":
    case "record":
      return hasSecrets(type.of);
    case "union":
      return type.of.some(hasSecrets);
    default:
      return false;
  }
}

function isObject(value: unknown): value is Properties {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
