import * as z from "zod";
import { during } from "../lifecycle/call";
import { decode, decodePerCpu, encodeInto } from "../btf";
import { EbpfError, invalid, type Problem } from "../errors";
import type { EntriesReadResult, MapShowResult } from "../protocol/queries";
import { holdsReferences, unfitMap } from "../resources/entry-maps";
import { formatsSchema } from "../resources/map-entries";
import { connectionInput, onlyOneOf, providerFunction } from "./function";
import { layoutsOf, type MapLayouts } from "./map-layouts";
import { MAP_INPUTS, mapInputs, mapTarget } from "./map-target";

const MOST = 100_000;

export const getMapEntries = providerFunction({
  name: "getMapEntries",
  description:
    "Entries of a map as plain JSON of its types. A map that is written meanwhile may give an entry twice or not at all.",
  inputs: z.strictObject({
    ...connectionInput,
    ...mapInputs,
    keys: z
      .array(z.unknown())
      .max(MOST)
      .optional()
      .meta({
        description:
          "These entries only; a key that the map does not have is left out. Of an LPM trie each gives its longest match.",
        example: [{ addr: "203.0.113.7", prefixlen: 32 }],
      }),
    limit: z
      .number()
      .int()
      .min(1)
      .max(MOST)
      .default(1000)
      .meta({ description: `Most entries of one answer, up to ${MOST.toLocaleString("en")}.` }),
    after: z.unknown().optional().meta({
      description: "Key of the last entry of the page before: this one begins after it.",
    }),
    formats: formatsSchema,
  }),
  outputs: z.object({
    entries: z
      .array(
        z
          .object({
            key: z.unknown().meta({ description: "Plain JSON of the key's C type." }),
            value: z.unknown().meta({
              description:
                "Plain JSON of the value's C type. Of a per-CPU map `{ perCpu: [...] }`; of a map of maps or programs " +
                "the kernel's id of it.",
            }),
          })
          .meta({ typeName: "FoundEntry", typeDescription: "An entry as the map holds it." }),
      )
      .meta({ description: "In the kernel's order, which is none for hashes." }),
    more: z.boolean().meta({ description: "There are more: give the last key as `after`." }),
    mapId: z.number().int().meta({ description: "The kernel's id of the map." }),
    secret: z
      .boolean()
      .meta({ description: "Some resource declares secret values in the map: `entries` is a secret." }),
  }),
  async run(args, { open, signal }) {
    onlyOneOf(args, MAP_INPUTS);
    const session = await open(args.connection);
    const call = during({ signal });
    const map = mapTarget(args);
    const shown = await session.call("map.show", { map }, call);
    checkReadable(shown);
    const layouts = layoutsOf(shown, args.map, args.formats);
    const read = await session.call(
      "entries.read",
      {
        map,
        limit: args.limit,
        ...(args.after === undefined ? {} : { after: encoded(layouts, [args.after], () => "after")[0]! }),
        ...(args.keys === undefined
          ? {}
          : { keys: encoded(layouts, args.keys, (index) => `keys[${index}]`) }),
      },
      call,
    );
    const { mapId, secret } = shown.map;
    return { entries: decoded(shown, layouts, read), more: read.more, mapId, secret };
  },
  secrets: ({ secret }) => (secret ? ["entries"] : []),
});

function checkReadable({ map }: MapShowResult): void {
  const [unfit] = unfitMap({ map: map.name, type: map.type }, false);
  if (unfit !== undefined)
    throw new EbpfError("invalid", `read entries: ${unfit.reason}`, {}, { property: "map" });
}

/** base64, of each key. */
function encoded(
  { key: layout }: MapLayouts,
  keys: readonly unknown[],
  property: (index: number) => string,
): string[] {
  const problems: Problem[] = [];
  const found = keys.map((key, index) => encodeInto(layout, key, property(index), problems));
  if (problems.length > 0) throw invalid("look up keys", problems);
  return found.map((bytes) => bytes.toString("base64"));
}

function decoded({ map }: MapShowResult, layouts: MapLayouts, read: EntriesReadResult) {
  const { count, cpus, keys, values } = read;
  const keySize = map.keySize;
  const valueSize = count === 0 ? 0 : values.length / count;
  return Array.from({ length: count }, (_, index) => {
    const value = values.subarray(index * valueSize, (index + 1) * valueSize);
    return {
      key: decode(layouts.key, keys.subarray(index * keySize, (index + 1) * keySize)),
      value: valueOf(map, layouts, value, cpus),
    };
  });
}

function valueOf(
  { type }: MapShowResult["map"],
  { value }: MapLayouts,
  bytes: Uint8Array,
  cpus: number,
): unknown {
  if (holdsReferences(type)) return Buffer.from(bytes).readUInt32LE(0);
  return type.includes("percpu") ? decodePerCpu(value, bytes, cpus) : decode(value, bytes);
}
