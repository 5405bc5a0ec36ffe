/** Map: a map of its own, which Programs share. */
import * as z from "zod";
import { type MapInfo, parseType, takesBtf, type TypeLayout, writeBtf } from "../btf";
import { EbpfError, type Problem } from "../errors";
import { type MapShape, SPEC_FORMAT } from "../protocol/spec";
import { parseSpecId } from "../protocol/spec-id";
import type { ObjectSource } from "../sources/source";
import { available } from "./closest";
import { type CheckedShape, MAP_FLAGS, MAP_TYPES, type MapFlag, type MapType, shapeOf } from "./map-shape";
import { loadedMap } from "./loaded-map";
import { objectInfo } from "./object-info";
import { commonInputs, mapDataPolicySchema, type ResourceDefinition } from "./resource";
import { fullLayout } from "./short-layout";
import { isKnown, UNKNOWN } from "./unknown";

export const mapTypeSchema = z.enum(MAP_TYPES).meta({ typeName: "MapType" });

const flagNames = Object.keys(MAP_FLAGS) as [MapFlag, ...MapFlag[]];

/** See provider/btf/declared.ts. Text only: the engine sorts the keys of an object, and with them a struct's members. */
const typeSchema = z.string({
  error: 'expected a type as text, such as "u32" or "{ packets: u64, bytes: u64 }"',
});

const shapeInputs = {
  key: typeSchema.optional().meta({
    description: "Type of the keys. Default: u32 where the kernel's keys are indexes.",
    example: "u32",
  }),
  value: typeSchema.optional().meta({
    description: "Type of the values; of one CPU's for per-CPU maps.",
    example: "{ packets: u64, bytes: u64 }",
  }),
  maxEntries: z.number().int().min(0).max(0xffffffff).optional().meta({
    description: "Most entries; bytes for ring buffers, pages for an arena. No default but for storages.",
    example: 1024,
  }),
  flags: z
    .array(z.enum(flagNames).meta({ typeName: "MapFlag" }))
    .default([])
    .meta({
      description:
        "Flags of bpf(2) in lower case, without BPF_F_. `no_prealloc` is set by itself where it must be.",
      default: [],
      example: ["rdonly_prog"],
    }),
};

const inputs = z.strictObject({
  ...commonInputs,
  type: mapTypeSchema.optional().meta({
    description: "The kernel's type in lower case. Needed unless `btf` says it.",
    example: "lru_hash",
  }),
  ...shapeInputs,
  numaNode: z.number().int().nonnegative().optional().meta({
    description: "NUMA node whose memory the map takes. Default: any.",
  }),
  mapExtra: z
    .union([z.number().int().nonnegative(), z.string().regex(/^\d+$/, "expected a decimal number")])
    .optional()
    .meta({ description: "`map_extra` of bpf(2): hash functions of a bloom_filter, address of an arena." }),
  inner: z
    .strictObject({
      type: mapTypeSchema.meta({ description: "The kernel's type in lower case.", example: "hash" }),
      ...shapeInputs,
    })
    .meta({ typeName: "InnerMap", typeDescription: "Shape of inner maps." })
    .optional()
    .meta({ description: "Shape of the inner maps of array_of_maps and hash_of_maps." }),
  btf: z
    .strictObject({
      source: z
        .string()
        .min(1)
        .meta({ description: "Path of an ELF object or of C.", example: "./counter.bpf.o" }),
      map: z.string().min(1).meta({ description: "Name of a map that it defines.", example: "sessions" }),
    })
    .meta({ typeName: "MapDefinition", typeDescription: "A map as an object defines it." })
    .optional()
    .meta({
      description: "Takes type, key, value, size and flags from a map of an object; the others win over it.",
    }),
  mapDataPolicy: mapDataPolicySchema,
});

export type MapInputs = z.output<typeof inputs>;
type ShapeInputs = z.output<z.ZodObject<typeof shapeInputs>>;

export interface CheckedMapInputs extends MapInputs {
  /** The map as it will be created; `name` is the resource's. */
  shape: CheckedShape & { name: string };
}

export const map: ResourceDefinition<MapInputs, CheckedMapInputs> = {
  kind: "Map",
  inputs,
  sources: ({ btf }) =>
    btf === undefined
      ? []
      : [{ kind: "object", property: "btf.source", path: btf.source, includes: [], defines: {} }],
  resolve(args, [source]) {
    const problems: Problem[] = [];
    const template =
      args.btf === undefined ? undefined : templateOf(args.btf.map, source as ObjectSource, problems);
    const type = args.type ?? templateType(template, problems);
    if (type === undefined) {
      if (problems.length === 0)
        problems.push({ property: "type", reason: "is missing: give a type, or `btf`" });
      return { problems };
    }
    const { numaNode = template?.numaNode, mapExtra = template?.mapExtra } = args;
    const inner =
      args.inner === undefined ? innerTemplate(template, problems) : innerOf(args.inner, problems);
    const shape = shapeOf(
      {
        type,
        ...wantedOf(args, "", template, problems),
        ...(numaNode === undefined ? {} : { numaNode }),
        ...(mapExtra === undefined ? {} : { mapExtra: String(mapExtra) }),
        ...(inner === undefined ? {} : { inner }),
      },
      "",
      problems,
    );
    const { name } = parseSpecId(args.specId);
    return problems.length > 0 ? { problems } : { checked: { ...args, shape: { name, ...shape } } };
  },
  compile({ specId, shape: { name, ...shape }, mapDataPolicy }) {
    const part = { ...mapShape(shape), name, mapDataPolicy };
    return { format: SPEC_FORMAT, id: specId, objects: [], maps: [part], entries: [], links: [] };
  },
  blame: (error) => (EbpfError.is(error, "data-loss") ? "mapDataPolicy" : undefined),
  outputs({ shape }, { maps }) {
    const status = maps[shape.name];
    return { status: status === undefined ? null : loadedMap(status) };
  },
  preview: (checked) => ({ ...(checked === undefined ? { shape: UNKNOWN } : {}), status: UNKNOWN }),
  refs(checked) {
    if (!isKnown(checked.shape)) return { ref: UNKNOWN };
    const { name, type, keySize, valueSize, maxEntries, keyLayout, valueLayout } = checked.shape;
    const layouts = {
      ...(keyLayout === undefined ? {} : { keyLayout }),
      ...(valueLayout === undefined ? {} : { valueLayout }),
    };
    return {
      ref: { spec: checked.specId, map: name, type, keySize, valueSize, maxEntries, ...layouts },
    };
  },
  replaces(olds, news) {
    const before = (olds as Partial<CheckedMapInputs>).shape?.type;
    return news.mapDataPolicy === "replace" && before !== news.shape?.type ? ["type", "shape.type"] : [];
  },
};

/** Of the Spec: layouts become the BTF that the kernel keeps beside the map. */
function mapShape({ keyLayout, valueLayout, inner, ...shape }: CheckedShape): MapShape {
  const types = {
    ...(keyLayout === undefined ? {} : { key: fullLayout(keyLayout) }),
    ...(valueLayout === undefined ? {} : { value: fullLayout(valueLayout) }),
  };
  const btf = takesBtf(shape.type) && valueLayout !== undefined ? writeBtf(types) : undefined;
  return {
    ...shape,
    ...(btf === undefined ? {} : { btf: { ...btf, raw: btf.raw.toString("base64") } }),
    ...(inner === undefined ? {} : { inner: mapShape(inner) }),
  };
}

function wantedOf(
  args: ShapeInputs,
  at: string,
  template: MapInfo | undefined,
  problems: Problem[],
): { key?: TypeLayout; value?: TypeLayout; maxEntries?: number; flags: number } {
  const key =
    args.key === undefined ? layoutOfTemplate(template, "key") : typeOf(args.key, `${at}key`, problems);
  const value =
    args.value === undefined
      ? layoutOfTemplate(template, "value")
      : typeOf(args.value, `${at}value`, problems);
  const maxEntries = args.maxEntries ?? template?.maxEntries;
  const flags = args.flags.length === 0 ? (template?.flags ?? 0) : 0;
  return {
    ...(key === undefined ? {} : { key }),
    ...(value === undefined ? {} : { value }),
    ...(maxEntries === undefined ? {} : { maxEntries }),
    flags: args.flags.reduce((sum, flag) => sum | MAP_FLAGS[flag], flags),
  };
}

function typeOf(declared: string, property: string, problems: Problem[]): TypeLayout {
  try {
    return parseType(declared, property);
  } catch (thrown) {
    if (!EbpfError.is(thrown, "invalid")) throw thrown;
    problems.push(...(thrown.context.problems ?? []));
    // stands in, so that no second problem follows from the first
    return { kind: "bytes", size: 8 };
  }
}

function layoutOfTemplate(template: MapInfo | undefined, part: "key" | "value"): TypeLayout | undefined {
  if (template === undefined) return undefined;
  const size = template[`${part}Size`];
  return template[part] ?? (size === 0 ? undefined : { kind: "bytes", size });
}

function templateOf(name: string, source: ObjectSource, problems: Problem[]): MapInfo | undefined {
  try {
    const own = Object.values(objectInfo(source).maps).filter(({ internal }) => internal !== true);
    const found = own.find((candidate) => candidate.name === name);
    if (found !== undefined) return found;
    const names = available(
      "maps",
      name,
      own.map((candidate) => candidate.name),
    );
    problems.push({ property: "btf.map", reason: `${source.fileName} has no map "${name}"; ${names}` });
  } catch (thrown) {
    if (!EbpfError.is(thrown, "invalid")) throw thrown;
    problems.push({ property: "btf.source", reason: thrown.render() });
  }
  return undefined;
}

function templateType(template: MapInfo | undefined, problems: Problem[]): MapType | undefined {
  if (template === undefined) return undefined;
  const type = MAP_TYPES.find((known) => known === template.type);
  if (type === undefined) {
    problems.push({
      property: "btf.map",
      reason: `a map of type ${template.type} cannot stand without its program`,
    });
  }
  return type;
}

function innerOf(args: NonNullable<MapInputs["inner"]>, problems: Problem[]): CheckedShape {
  return shapeOf({ type: args.type, ...wantedOf(args, "inner.", undefined, problems) }, "inner.", problems);
}

function innerTemplate(template: MapInfo | undefined, problems: Problem[]): CheckedShape | undefined {
  const inner = template?.inner;
  const type = templateType(inner, problems);
  if (inner === undefined || type === undefined) return undefined;
  return shapeOf({ type, ...wantedOf({ flags: [] }, "inner.", inner, problems) }, "inner.", problems);
}
