/** MapEntries: rows of a map, given in the program or in a file. */
import { extname } from "node:path";
import * as z from "zod";
import { type Format, perCpuValues, type TypeLayout, withFormat } from "../btf";
import { EbpfError, type Problem } from "../errors";
import { type EntryReference, SPEC_FORMAT } from "../protocol/spec";
import { isIndexed, keyLayoutOf } from "../sources/keys";
import type { EntriesFormat, EntriesRequest, EntriesSource } from "../sources/source";
import { confirmSchema } from "./confirm";
import { holdsReferences, unfitMap } from "./entry-maps";
import { mapRefSchema } from "./references";
import { commonInputs, type ResourceDefinition } from "./resource";
import { fullLayout, type ShortLayout } from "./short-layout";
import { UNKNOWN } from "./unknown";

const formats = ["be", "ipv4", "ipv6", "cidr4", "cidr6", "mac", "hex", "text"] as const satisfies Format[];

export const formatsSchema = z
  .record(
    z.string().regex(/^(key|value)($|\.)/, "must be key, value, or a path below them"),
    z.enum(formats).meta({ typeName: "Format" }),
  )
  .default({})
  .meta({
    description:
      "How members read as text where C does not say so: an address in a plain `__u32`, in network byte order. " +
      "By path: `key`, `value.peer`.",
    default: {},
    example: { key: "ipv4" },
  });

const rowSchema = z
  .strictObject({
    key: z.unknown().meta({ description: "Plain JSON of the key's C type." }),
    value: z.unknown().meta({ description: "Plain JSON of the value's C type." }),
  })
  .meta({ typeName: "MapEntry", typeDescription: "One row." });

const inputs = z
  .strictObject({
    ...commonInputs,
    map: mapRefSchema.meta({ description: "A map of a Program (`program.map(name)`), or a Map." }),
    entries: z
      .array(rowSchema)
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
      .meta({ typeName: "FileFormat" })
      .optional()
      .meta({
        description:
          "Format of the file: `csv` with a header, `ndjson` with an object per line, `binary` of packed records. " +
          "Default: by the file's ending .csv, .ndjson or .jsonl, .bin.",
        example: "csv",
      }),
    mode: z
      .enum(["authoritative", "own", "seed"])
      .meta({ typeName: "EntriesMode" })
      .default("own")
      .meta({
        description:
          "`own`: only the given keys are managed. `authoritative`: keys that are not given are removed (zeroed in " +
          "arrays), and are drift. " +
          "`seed`: as `own`, but written once; what the data plane does with them later is no drift.",
        default: "own",
      }),
    formats: formatsSchema,
    secret: z.boolean().default(false).meta({
      description: "Values are not shown in messages of drift.",
      default: false,
    }),
    confirm: confirmSchema,
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
    /** Rows with maps or programs as values, where there are any. */
    references?: EntryReference[];
  };
}

export const mapEntries: ResourceDefinition<MapEntriesInputs, CheckedMapEntries> = {
  kind: "MapEntries",
  inputs,
  sources: (args) => (misfits(args).length === 0 ? [request(args)] : []),
  resolve(args, [source]) {
    const unfit = misfits(args);
    if (unfit.length > 0) return { problems: unfit };
    const { manifest, count, keys } = source as EntriesSource;
    const perCpu = perCpuOf(args);
    const content = { manifest, count, ...(perCpu === undefined ? {} : { perCpu }) };
    if (keys === undefined) return { checked: { ...args, content } };
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
  compile(checked) {
    const { specId, map, mode, secret, content } = checked;
    const { manifest, count, perCpu, references = [] } = content;
    const { keySize, valueSize } = map;
    const { keyLayout, valueLayout } = layoutsOf(checked);
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
  blame(error, { map, file }) {
    const rows = file === undefined ? "entries" : "file";
    if (EbpfError.is(error, "limit")) return error.details.resource.startsWith("map ") ? rows : undefined;
    if (EbpfError.is(error, "invalid")) return "map"; // it is not what the reference says
    if (!EbpfError.is(error, "not-found")) return undefined;
    return [map.spec, map.map].includes(error.details.name) ? "map" : rows;
  },
  outputs({ content }, { entries }) {
    return { rows: { count: rowCount(content), matching: entries["entries"]?.matching ?? 0 } };
  },
  preview(checked) {
    if (checked === undefined) return { content: UNKNOWN, rows: UNKNOWN };
    return { rows: { count: rowCount(checked.content), matching: UNKNOWN } };
  },
};

function rowCount({ count, references = [] }: CheckedMapEntries["content"]): number {
  return count + references.length;
}

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
  const { type, keySize, valueSize, maxEntries } = map;
  const rows = {
    ...{ kind: "entries" as const, mapType: type, keySize, valueSize, maxEntries, ...layoutsOf(args) },
    ...(perCpu === undefined ? {} : { perCpu }),
  };
  if (file !== undefined) {
    return { ...rows, property: "file", file: { path: file, format: formatOf(file, format) ?? "binary" } };
  }
  const keysOnly = holdsReferences(map.type) ? { keysOnly: true as const } : {};
  return { ...rows, ...keysOnly, property: "entries", rows: entries ?? [] };
}

interface Layouts {
  keyLayout?: TypeLayout;
  valueLayout?: TypeLayout;
}

/** The map's types with the formats that the inputs ask for; what does not fit is told to `problems`. */
function layoutsOf({ map, formats }: MapEntriesInputs, problems: Problem[] = []): Layouts {
  const indexes = isIndexed(map.type) ? keyLayoutOf({ mapType: map.type, keySize: map.keySize }) : undefined;
  const layouts = {
    key: map.keyLayout === undefined ? indexes : fullLayout(map.keyLayout as ShortLayout),
    value: map.valueLayout === undefined ? undefined : fullLayout(map.valueLayout as ShortLayout),
  };
  for (const [path, format] of Object.entries(formats)) {
    const [root, ...below] = path.split(".") as ["key" | "value", ...string[]];
    const property = `formats["${path}"]`;
    const layout = layouts[root];
    if (layout === undefined) {
      problems.push({ property, reason: `the types of "${map.map}" are not known` });
      continue;
    }
    try {
      layouts[root] = withFormat(layout, below.join("."), format);
    } catch (error) {
      if (!EbpfError.is(error, "invalid", "not-found")) throw error;
      const { remedy } = error.context;
      problems.push({
        property,
        reason: remedy === undefined ? error.message : `${error.message}; ${remedy}`,
      });
    }
  }
  const { key, value } = layouts;
  return {
    ...(key === undefined ? {} : { keyLayout: key }),
    ...(value === undefined ? {} : { valueLayout: value }),
  };
}

function perCpuOf({ map, entries = [] }: MapEntriesInputs): "all" | "each" | undefined {
  if (!["percpu_hash", "percpu_array", "lru_percpu_hash"].includes(map.type)) return undefined;
  return entries.some(({ value }) => perCpuValues(value) !== undefined) ? "each" : "all";
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

/** What cannot be, whatever the rows hold. */
function misfits(args: MapEntriesInputs): Problem[] {
  const { map, file } = args;
  const problems = unfitMap(map, file !== undefined);
  layoutsOf(args, problems);
  return problems;
}
