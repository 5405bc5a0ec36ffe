/**
 * Properties that the engine holds as one text of JSON where only our own SDK reads them: what check adds for our own use.
 * At each call the engine logs every member of every object in a state, at each level anew, which is a third of a refresh.
 * It shows such a text as the object that it is. Pure. A property that is no such text is taken as it is.
 */
import { canonicalJson } from "../protocol/spec";
import { UNKNOWN } from "../resources/unknown";

type Properties = Record<string, unknown>;

const PACKED = ["object", "shape", "map", "content"];

export function mayBePacked(name: string): boolean {
  return PACKED.includes(name);
}

/** What is unknown in part stays an object: the engine looks for it. */
export function withPacked(properties: Properties): Properties {
  const packed = { ...properties };
  for (const name of PACKED) {
    const value = packed[name];
    if (value === null || typeof value !== "object") continue;
    const text = canonicalJson(value);
    if (!text.includes(UNKNOWN)) packed[name] = text;
  }
  return packed;
}

/** Of properties: each as it was before it was packed. */
export function withUnpacked(properties: Properties): Properties {
  const whole = { ...properties };
  for (const name of PACKED) if (name in whole) whole[name] = unpacked(whole[name]);
  return whole;
}

/** The value of one. Also takes one that was never packed. */
export function unpacked<T>(value: T): T {
  if (typeof value !== "string" || !value.startsWith("{")) return value;
  try {
    return JSON.parse(value) as T;
  } catch (error) {
    // a program may pass any text as `map`: the schema says what is wrong with it
    if (error instanceof SyntaxError) return value;
    throw error;
  }
}
