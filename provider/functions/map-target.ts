/** How getMap and getMapEntries name a map. */
import * as z from "zod";
import type { MapFacts, MapTarget } from "../protocol/queries";
import { mapRefSchema } from "../resources/references";
import { count, text } from "./function";

export const mapInputs = {
  map: mapRefSchema
    .partial({ type: true, keySize: true, valueSize: true, maxEntries: true })
    .meta({ typeName: "MapRef", typeDescription: "A map of a Program, or a Map." })
    .optional()
    .meta({ description: "A map of a Program (`program.map(name)`), or a Map." }),
  mapId: z.number().int().positive().optional().meta({ description: "The kernel's id.", example: 42 }),
  pin: z.string().startsWith("/").optional().meta({
    description: "Path in bpffs.",
    example: "/sys/fs/bpf/foreign/map",
  }),
};

export const MAP_INPUTS = ["map", "mapId", "pin"] as const;

type MapInputs = z.output<z.ZodObject<typeof mapInputs>>;

/** For inputs of which exactly one is given. */
export function mapTarget({ map, mapId, pin }: MapInputs): MapTarget {
  if (map !== undefined) return { spec: map.spec, map: map.map };
  return mapId !== undefined ? { mapId } : { pin: pin! };
}

export const mapFacts = {
  mapId: count("The kernel's id."),
  name: text("The kernel's name of it: at most 15 bytes."),
  type: text("`bpf_map_type` in lower case."),
  keySize: count("Bytes."),
  valueSize: count("Bytes; of one CPU's value for per-CPU maps."),
  maxEntries: count("Most entries."),
  flags: count("`map_flags` of bpf(2)."),
  frozen: z.boolean().meta({ description: "No system call can write it any more." }),
  memlockBytes: count("Bytes of memory that it is charged with."),
  spec: z.string().optional().meta({
    description: "`specId` of the Program or Map that made it; absent: it is not of pulumi-ebpf.",
  }),
  secret: z.boolean().meta({ description: "Some resource declares secret values in it." }),
} satisfies Record<keyof MapFacts, z.ZodType>;
