/** What becomes of a map when a new revision wants one of the same name. Pure; design "Maps across revisions". */
import { type ComparableShape, compareLayouts, compareShapes, specials } from "../../btf";
import { EbpfError } from "../../errors";
import type { MapDataPolicy } from "../../protocol/spec";

export type MapFate =
  | { kind: "reuse" }
  /** A new map, by nature: nothing that anybody wrote is lost. */
  | { kind: "create" }
  /** A new map that takes over what the old one holds. `note` says what a copy cannot keep. */
  | { kind: "migrate"; change: string; note?: string }
  /** A new map, the old contents go: the user said so. */
  | { kind: "replace"; change: string }
  | { kind: "refuse"; error: EbpfError };

export interface WantedMap {
  name: string;
  shape: ComparableShape;
  /** A data section of the object. */
  internal: boolean;
  policy: MapDataPolicy;
  /** Declared by a MapPart: its prog_arrays are kept. */
  declared: boolean;
}

/** Types whose contents can be read and written from user space without disturbing whoever uses them. */
const COPYABLE = new Set([
  "hash",
  "array",
  "percpu_hash",
  "percpu_array",
  "lru_hash",
  "lru_percpu_hash",
  "lpm_trie",
  "devmap",
  "devmap_hash",
  "cpumap",
]);

export function mapFate(before: ComparableShape, wanted: WantedMap): MapFate {
  const { name, shape, internal, policy } = wanted;
  if (internal) return internalFate(before, wanted);
  // their content goes with their last user reference, while a program may still run over them
  if (shape.type === "prog_array" && !wanted.declared) return { kind: "create" };
  const differences = compareShapes(before, shape);
  if (differences.length === 0) return { kind: "reuse" };
  const change = differences.map(({ reason }) => reason).join(", ");
  if (policy === "replace") return { kind: "replace", change };
  const refuse = (reason: string, remedy: string): MapFate => ({
    kind: "refuse",
    error: new EbpfError("data-loss", `change map "${name}": ${reason}`, { map: name, reason }, { remedy }),
  });
  if (policy === "fail") {
    return refuse(
      `${change}, and what it holds would be lost`,
      'set mapDataPolicy to "migrate" to carry its contents over, or to "replace" to give them up',
    );
  }
  const only = differences.every(
    ({ part }) => part === "maxEntries" || part === "flags" || part === "numaNode",
  );
  const why = !only ? `${change}: its contents do not fit any more` : whyNotCopyable(before);
  if (why !== null) return refuse(why, 'set mapDataPolicy to "replace" to give its contents up');
  const direction = shape.maxEntries > before.maxEntries ? "grows" : "shrinks";
  return {
    kind: "migrate",
    change: `${direction} from ${before.maxEntries} to ${shape.maxEntries} entries`,
    ...(before.type.startsWith("lru") ? { note: "the order of use is lost" } : {}),
  };
}

function whyNotCopyable(shape: ComparableShape): string | null {
  if (!COPYABLE.has(shape.type)) return `a ${shape.type} map cannot be copied`;
  const owned = shape.value === undefined ? [] : specials(shape.value);
  return owned.length === 0
    ? null
    : `its values hold what only the kernel can make: ${owned.map(({ path, field }) => `${path} (${field})`).join(", ")}`;
}

/** `.bss` lives on when its variables stand where they stood; `.rodata`, `.data` and `.kconfig` are set by the load. */
function internalFate(before: ComparableShape, { name, shape, policy }: WantedMap): MapFate {
  const isBss = name === ".bss" || name.startsWith(".bss.");
  if (!isBss || policy === "replace" || before.valueSize !== shape.valueSize) return { kind: "create" };
  if (before.value === undefined || shape.value === undefined) return { kind: "create" };
  return { kind: compareLayouts(before.value, shape.value, name).length === 0 ? "reuse" : "create" };
}
