/**
 * How much kernel memory a map takes when it is full: keys and values as the kernel rounds them up, without what it
 * adds for itself (48 bytes an entry of a hash map, 16 to 32 a node of a trie).
 */
import { unpacked } from "../adapters/packed";
import type { CheckedShape } from "../resources/map-shape";
import type { CheckedObject } from "../resources/object-info";
import type { Properties } from "./rule";

export interface SizedMap {
  /** The property that says its size. */
  property: string;
  name: string;
  bytes: number;
  /** The sum, in words. */
  how: string;
}

type Shape = Pick<CheckedShape, "type" | "keySize" | "valueSize" | "maxEntries">;

const PAGE = 4096;
/** These have indexes for keys, which take no memory: kernel/bpf/arraymap.c. */
const indexed = /array$|^(stack_trace|array_of_maps|devmap|cpumap|xskmap|sockmap)$/;

/** The maps that a Map or Program creates; not those that a Program shares. Empty while preview does not know them. */
export function mapsOf(kind: string, properties: Properties, processors: number): SizedMap[] {
  if (kind === "Map") {
    const shape = unpacked(properties["shape"]) as CheckedShape | undefined;
    const name = String(properties["specId"]).split("/").at(-1)!;
    return shape === undefined ? [] : [sized("maxEntries", name, shape, processors)];
  }
  if (kind !== "Program") return [];
  const { maps = {} } = (unpacked(properties["object"]) ?? {}) as Partial<CheckedObject>;
  const shared = Object.keys((properties["maps"] ?? {}) as object);
  return Object.entries(maps)
    .filter(([name]) => !shared.includes(name))
    .map(([name, shape]) => sized("source", name, shape as Shape, processors));
}

function sized(property: string, name: string, shape: Shape, processors: number): SizedMap {
  const { type, maxEntries } = shape;
  if (type.endsWith("ringbuf")) return { property, name, bytes: maxEntries, how: "its ring" };
  if (type === "arena") return { property, name, bytes: maxEntries * PAGE, how: `${maxEntries} pages` };
  const key = indexed.test(type) ? 0 : roundUp(shape.keySize);
  const copies = type.includes("percpu_") ? processors : 1;
  const value = roundUp(shape.valueSize);
  const each = copies === 1 ? `${key + value} bytes` : `(${key} + ${value} × ${copies} processors) bytes`;
  return {
    property,
    name,
    bytes: maxEntries * (key + value * copies),
    how: `${maxEntries} entries of ${each}`,
  };
}

/** kernel/bpf/hashtab.c and arraymap.c: to 8 bytes. */
function roundUp(size: number): number {
  return Math.ceil(size / 8) * 8;
}

/** `64 MiB`, `1.5 KiB`, `12 bytes`. */
export function bytes(count: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(count, 1)) / 10)));
  return `${Number((count / 1024 ** power).toFixed(1))} ${units[power]!}`;
}
