/**
 * References of one resource to a part of another, as they stand in checked inputs: the name on the host, and
 * what `check` must know of the part without asking anybody. The SDK lifts them out of the other resource.
 */
import * as z from "zod";

const spec = z.string().min(1).meta({ description: "`specId` of the resource." });
const size = (description: string) => z.number().int().nonnegative().meta({ description });

/** `program` of an Attachment. */
export const programRefSchema = z
  .strictObject({
    spec,
    entrypoint: z.string().min(1).meta({ description: "Name of the C function.", example: "xdp_filter" }),
    type: z.string().meta({ description: "`bpf_prog_type` in lower case.", example: "sched_cls" }),
    attachType: z.string().optional().meta({
      description: "`bpf_attach_type` in lower case, where the ELF section fixes it.",
      example: "cgroup_inet4_connect",
    }),
  })
  .meta({ typeName: "EntrypointRef", typeDescription: "An entrypoint of a Program." });
export type CheckedProgramRef = z.output<typeof programRefSchema>;

/** `map` of a MapEntries, and the maps a Program shares. Layouts are ShortLayouts. */
export const mapRefSchema = z
  .strictObject({
    spec,
    map: z.string().min(1).meta({ description: "Name of the map in the object, or of the Map." }),
    type: z.string().meta({ description: "`bpf_map_type` in lower case.", example: "lru_hash" }),
    keySize: size("Bytes."),
    valueSize: size("Bytes; of one CPU's value for per-CPU maps."),
    maxEntries: size("Most entries."),
    keyLayout: z
      .unknown()
      .optional()
      .meta({ description: "How keys are written as JSON; absent for raw bytes." }),
    valueLayout: z
      .unknown()
      .optional()
      .meta({ description: "How values are written as JSON; absent for raw bytes." }),
  })
  .meta({ typeName: "MapRef", typeDescription: "A map of a Program, or a Map." });
export type CheckedMapRef = z.output<typeof mapRefSchema>;
