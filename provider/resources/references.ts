/**
 * References of one resource to a part of another, as they stand in checked inputs: the name on the host, and
 * what `check` must know of the part without asking anybody. The SDK lifts them out of the other resource.
 */
import { z } from "zod";

/** `program` of an Attachment. */
export const programRefSchema = z.strictObject({
  spec: z.string().min(1),
  entrypoint: z.string().min(1),
  /** `bpf_prog_type` in lower case, e.g. `sched_cls`. */
  type: z.string(),
  /** `bpf_attach_type` in lower case that the ELF section fixes, e.g. `cgroup_inet4_connect`. */
  attachType: z.string().optional(),
});
export type CheckedProgramRef = z.output<typeof programRefSchema>;

/** `map` of a MapEntries, and the maps a Program shares. Layouts are ShortLayouts. */
export const mapRefSchema = z.strictObject({
  spec: z.string().min(1),
  map: z.string().min(1),
  /** `bpf_map_type` in lower case, e.g. `lru_hash`. */
  type: z.string(),
  keySize: z.number().int().nonnegative(),
  valueSize: z.number().int().nonnegative(),
  maxEntries: z.number().int().nonnegative(),
  keyLayout: z.unknown().optional(),
  valueLayout: z.unknown().optional(),
});
export type CheckedMapRef = z.output<typeof mapRefSchema>;
