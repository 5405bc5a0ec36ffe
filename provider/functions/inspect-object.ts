import * as z from "zod";
import { type EntrypointInfo, type GlobalInfo, type MapInfo, readObject, typeName } from "../btf";
import { EbpfError } from "../errors";
import { includesSchema, definesSchema } from "../resources/program";
import type { ObjectSource } from "../sources/source";
import { count, providerFunction, text } from "./function";

const entrypoint = z
  .object({
    section: text("ELF section, as in `SEC()`."),
    type: text("`bpf_prog_type` in lower case."),
    attachType: z
      .string()
      .optional()
      .meta({ description: "`bpf_attach_type` in lower case, where the section fixes it." }),
  })
  .meta({ typeName: "InspectedEntrypoint", typeDescription: "A program (C function) in an object." });

const map = z
  .object({
    type: text("`bpf_map_type` in lower case."),
    keySize: count("Bytes."),
    valueSize: count("Bytes; of one CPU's value for per-CPU maps."),
    maxEntries: count("Most entries; 0: the loader chooses."),
    keyType: text("Type of the keys in a few words, such as `u32` or `struct flow`."),
    valueType: text("Type of the values, as `keyType`."),
  })
  .meta({ typeName: "InspectedMap", typeDescription: "A map that an object defines." });

const global = z
  .object({
    section: text("ELF section: `.rodata`, `.data`, `.bss` or one of the object's own."),
    type: text("Its C type in a few words."),
    size: count("Bytes."),
  })
  .meta({ typeName: "InspectedGlobal", typeDescription: "A global variable of an object." });

export const inspectObject = providerFunction({
  name: "inspectObject",
  description: "What a BPF object file holds. Asks no host.",
  inputs: z.strictObject({
    source: z.string().min(1).meta({
      description:
        "Path of an ELF object (.o), or of C (.bpf.c) that clang compiles. Relative to the program.",
      example: "./bpf/filter.bpf.c",
    }),
    includes: includesSchema,
    defines: definesSchema,
  }),
  outputs: z.object({
    fileName: text("Its name without directories."),
    license: text("As its section `license` says."),
    entrypoints: z.record(z.string(), entrypoint).meta({ description: "Its programs, by name." }),
    maps: z.record(z.string(), map).meta({ description: "Maps that it defines, by name." }),
    globals: z.record(z.string(), global).meta({ description: "Its global variables, by name." }),
  }),
  async run({ source: path, includes, defines }, { openSources }) {
    const request = { kind: "object" as const, property: "source", path, includes, defines };
    const [source] = (await openSources([request])) as [ObjectSource];
    const { license, entrypoints, maps, globals } = objectIn(source);
    return {
      fileName: source.fileName,
      license,
      entrypoints: mapped(entrypoints, entrypointOf),
      maps: mapped(maps, ({ internal, ...info }) => (internal === true ? undefined : mapOf(info))),
      globals: mapped(globals, globalOf),
    };
  },
});

function objectIn({ bytes }: ObjectSource) {
  try {
    return readObject(bytes);
  } catch (thrown) {
    throw EbpfError.from(thrown).with({ property: "source" });
  }
}

function entrypointOf({ section, programType, attachType }: EntrypointInfo) {
  return { section, type: programType, ...(attachType === undefined ? {} : { attachType }) };
}

function mapOf({ type, keySize, valueSize, maxEntries, key, value }: Omit<MapInfo, "internal">) {
  const words = (layout: MapInfo["key"], size: number) => typeName(layout ?? { kind: "bytes", size });
  const types = { keyType: words(key, keySize), valueType: words(value, valueSize) };
  return { type, keySize, valueSize, maxEntries, ...types };
}

function globalOf({ section, type }: GlobalInfo) {
  return { section, type: typeName(type), size: type.size };
}

/** Without those that `change` leaves out. */
function mapped<From, To>(
  record: Record<string, From>,
  change: (value: From) => To | undefined,
): Record<string, To> {
  const entries = Object.entries(record).map(([name, value]) => [name, change(value)] as const);
  return Object.fromEntries(
    entries.filter((entry): entry is readonly [string, To] => entry[1] !== undefined),
  );
}
