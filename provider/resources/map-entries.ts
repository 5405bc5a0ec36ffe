/** MapEntries: rows of a map, given in the program or in a file. */
import { extname } from "node:path";
import { z } from "zod";
import { perCpuValues, type TypeLayout } from "../btf";
import type { Problem } from "../errors";
import { type EntryReference, SPEC_FORMAT } from "../protocol/spec";
import { isIndexed, keyLayoutOf } from "../sources/rows";
import type { EntriesFormat, EntriesRequest, EntriesSource } from "../sources/source";
import { mapRefSchema } from "./references";
import { commonInputs, type ResourceDefinition } from "./resource";

const inputs = z
  .strictObject({
    ...commonInputs,
    map: mapRefSchema.meta({ description: "A map of a Program (`program.map(name)`), or a Map." }),
    entries: z
      .array(z.strictObject({ key: z.unknown(), value: z.unknown() }))
      .optional()
      .meta({
        description:
          "Rows as plain JSON of the map's types. Of a per-CPU map a value counts for all CPUs, or is " +
          "`{ perCpu: [...] }`. Of a map of maps it is a map, of a prog_array an entrypoint. " +
          "They lie in the state: give thousands in a file.",
        example: [{ key: "203.0.113.0/24", value: { action: "DROP" } }],
      }),
    file: z.string().min(1).optional().meta({
      description: "Path of a file of rows, relative to the program. Only its digest lies in the state.",
      example: "./feed.csv",
    }),
    format: z
      .enum(["csv", "ndjson", "binary"])
      .optional()
      .meta({
        description:
          "Format of the file: `csv` with a header, `ndjson` with an object per line, `binary` of packed records. " +
          "Default: by the file's ending .csv, .ndjson or .jsonl, .bin.",
        example: "csv",
      }),
    mode: z
      .enum(["authoritative", "own", "seed"])
      .default("own")
      .meta({
        description:
          "`own`: only the given keys are managed. `authoritative`: keys that are not given are removed, and are drift. " +
          "`seed`: as `own`, but written once; what the data plane does with them later is no drift.",
        default: "own",
      }),
    secret: z.boolean().default(false).meta({
      description: "Values are not shown in messages of drift.",
      default: false,
    }),
  })
  .superRefine(({ entries, file, format }, context) => {
    if ((entries === undefined) === (file === undefined)) {
      context.addIssue({ code: "custom", path: ["entries"], message: "give either entries or file" });
    } else if (file !== undefined && formatOf(file, format) === undefined) {
      context.addIssue({
        code: "custom",
        path: ["format"],
        message: `the name ${file} does not tell the format; give csv, ndjson or binary`,
      });
    }
  });

export type MapEntriesInputs = z.output<typeof inputs>;

export interface CheckedMapEntries extends MapEntriesInputs {
  /** What the rows are, without them. */
  content: {
    /** sha256 of the manifest; equal rows in equal order have equal ones. */
    manifest: string;
    /** Rows with bytes as values. */
    count: number;
    perCpu?: "all" | "each";
    /** Rows with maps or programs as values. */
    references: EntryReference[];
  };
}

export const mapEntries: ResourceDefinition<MapEntriesInputs, CheckedMapEntries> = {
  kind: "MapEntries",
  inputs,
  sources: (args) => (misfit(args) === undefined ? [request(args)] : []),
  resolve(args, [source]) {
    const unfit = misfit(args);
    if (unfit !== undefined) return { problems: [unfit] };
    const { manifest, count, keys } = source as EntriesSource;
    const perCpu = perCpuOf(args);
    const content = { manifest, count, ...(perCpu === undefined ? {} : { perCpu }) };
    if (keys === undefined) return { checked: { ...args, content: { ...content, references: [] } } };
    const problems: Problem[] = [];
    const found = (args.entries ?? []).map(({ value }, index) =>
      referenceOf(args.map.type, value, `entries[${index}].value`, problems),
    );
    if (problems.length > 0) return { problems };
    const references = found.map((reference, index) => ({ key: keys[index]!, ...reference }));
    const entries = args.entries?.map(({ key }, index) => {
      const { map, program } = found[index]!;
      return { key, value: map ?? program };
    });
    return { checked: { ...args, entries, content: { ...content, references } } };
  },
  compile({ specId, map, mode, secret, content }) {
    const { manifest, count, perCpu, references } = content;
    const { keySize, valueSize, valueLayout } = map;
    const keyLayout = map.keyLayout ?? (isIndexed(map.type) ? keyLayoutOf(requestedMap(map)) : undefined);
    return {
      format: SPEC_FORMAT,
      id: specId,
      objects: [],
      maps: [],
      entries: [
        {
          name: "entries",
          map: { spec: map.spec, map: map.map },
          keySize,
          valueSize,
          ...(perCpu === undefined ? {} : { perCpu }),
          mode,
          manifest,
          count,
          references,
          ...(keyLayout === undefined ? {} : { keyLayout }),
          ...(valueLayout === undefined ? {} : { valueLayout }),
          ...(secret ? { secret } : {}),
        },
      ],
      links: [],
    };
  },
  outputs({ content }, { entries }) {
    return {
      count: content.count + content.references.length,
      matching: entries["entries"]?.matching ?? 0,
    };
  },
};

const endings: Record<string, EntriesFormat> = {
  ".csv": "csv",
  ".ndjson": "ndjson",
  ".jsonl": "ndjson",
  ".bin": "binary",
};

function formatOf(file: string, format: EntriesFormat | undefined): EntriesFormat | undefined {
  return format ?? endings[extname(file).toLowerCase()];
}

function request(args: MapEntriesInputs): EntriesRequest {
  const { map, entries, file, format } = args;
  const perCpu = perCpuOf(args);
  const rows = { ...requestedMap(map), ...(perCpu === undefined ? {} : { perCpu }) };
  if (file !== undefined) {
    return { ...rows, property: "file", file: { path: file, format: formatOf(file, format) ?? "binary" } };
  }
  const keysOnly = references(map.type) ? { keysOnly: true as const } : {};
  return { ...rows, ...keysOnly, property: "entries", rows: entries ?? [] };
}

function requestedMap(map: MapEntriesInputs["map"]): Omit<EntriesRequest, "property"> {
  const { type, keySize, valueSize, maxEntries } = map;
  const [keyLayout, valueLayout] = [map.keyLayout, map.valueLayout] as (TypeLayout | undefined)[];
  return {
    kind: "entries",
    mapType: type,
    keySize,
    valueSize,
    maxEntries,
    ...(keyLayout === undefined ? {} : { keyLayout }),
    ...(valueLayout === undefined ? {} : { valueLayout }),
  };
}

function perCpuOf({ map, entries = [] }: MapEntriesInputs): "all" | "each" | undefined {
  if (!["percpu_hash", "percpu_array", "lru_percpu_hash"].includes(map.type)) return undefined;
  return entries.some(({ value }) => perCpuValues(value) !== undefined) ? "each" : "all";
}

/** Values are not bytes but other kernel objects. */
function references(mapType: string): boolean {
  return mapType === "prog_array" || mapType === "array_of_maps" || mapType === "hash_of_maps";
}

const programValue = z.object({ spec: z.string(), entrypoint: z.string() });
const mapValue = z.object({ spec: z.string(), map: z.string() });

/** The names alone: a reference as the program passes it also holds the way to its host. */
function referenceOf(
  mapType: string,
  value: unknown,
  property: string,
  problems: Problem[],
): Pick<EntryReference, "map" | "program"> {
  const program = programValue.safeParse(value);
  const map = mapValue.safeParse(value);
  if (mapType === "prog_array") {
    if (program.success) return { program: program.data };
    problems.push({ property, reason: 'expected an entrypoint, such as program.entrypoint("parse")' });
  } else {
    if (map.success) return { map: map.data };
    problems.push({ property, reason: 'expected a map, such as program.map("inner") or a Map' });
  }
  return {};
}

const holdsRows = [
  ...["hash", "percpu_hash", "lru_hash", "lru_percpu_hash", "lpm_trie", "hash_of_maps", "devmap_hash"],
  ...["array", "percpu_array", "prog_array", "array_of_maps", "devmap", "cpumap"],
];
const filledOtherwise: Record<string, string> = {
  ...named(["ringbuf", "user_ringbuf", "queue", "stack", "bloom_filter", "arena"], "has no keys"),
  ...named(["sockmap", "sockhash", "xskmap", "reuseport_sockarray"], "holds sockets of running processes"),
  ...named(["sk_storage", "task_storage", "inode_storage", "cgrp_storage"], "belongs to kernel objects"),
  ...named(["cgroup_storage", "percpu_cgroup_storage"], "belongs to cgroups"),
  perf_event_array: "holds the perf events of its readers",
  cgroup_array: "holds open cgroups",
  stack_trace: "is filled by the kernel",
  struct_ops: "is filled by its own object",
};

function named(types: string[], reason: string): Record<string, string> {
  return Object.fromEntries(types.map((type) => [type, reason]));
}

/** Why these rows and this map do not go together, whatever the rows hold. */
function misfit({ map, file, mode }: MapEntriesInputs): Problem | undefined {
  const { type } = map;
  if (!holdsRows.includes(type)) {
    const cause = filledOtherwise[type] ?? "takes no rows";
    return { property: "map", reason: `"${map.map}" is a map of type ${type}: it ${cause}` };
  }
  if (file !== undefined && references(type)) {
    const what = type === "prog_array" ? "programs" : "maps";
    return {
      property: "file",
      reason: `rows of a ${type} are ${what} of other resources: give them in entries`,
    };
  }
  if (mode === "authoritative" && isIndexed(type) && !references(type)) {
    return {
      property: "mode",
      reason: `a map of type ${type} always holds all its keys: choose own or seed`,
    };
  }
  return undefined;
}
