/** Values between the engine's JSON and the lifecycle's. */
import { PROVIDER_KEY } from "./provider-text";

/** sdk/go/common/resource/sig: the key that marks a value of a special kind, and two of the kinds. */
const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";
const ASSET = "c44067f5952c0a294b673a41bacd8c17";

type Properties = Record<string, unknown>;

/** Plain values: secrets unwrapped, file assets as their path, the engine's own properties left out. */
export function fromEngine(properties: Properties): Properties {
  const { [PROVIDER_KEY]: _text, __defaults: _defaults, ...own } = properties;
  return plain(own) as Properties;
}

function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  const object = value as Properties;
  if (object[SIGNATURE] === SECRET) return plain(object["value"]);
  if (object[SIGNATURE] === ASSET && typeof object["path"] === "string") return object["path"];
  return Object.fromEntries(Object.entries(object).map(([key, child]) => [key, plain(child)]));
}

/** What google.protobuf.Struct takes: no `undefined`, at any depth. */
export function toEngine(properties: Properties): Properties {
  return JSON.parse(JSON.stringify(properties)) as Properties;
}
