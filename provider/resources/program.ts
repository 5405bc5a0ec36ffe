/** Program: one object file, its entrypoints, maps and globals. */
import * as z from "zod";
import { encodeInto, type ObjectInfo } from "../btf";
import { EbpfError, type Problem } from "../errors";
import { SPEC_FORMAT } from "../protocol/spec";
import type { ObjectSource } from "../sources/source";
import { available } from "./closest";
import { confirmSchema } from "./confirm";
import { loadedMap } from "./loaded-map";
import { type CheckedObject, objectInfo } from "./object-info";
import { mapRefSchema } from "./references";
import { fullLayout, shortLayout } from "./short-layout";
import { commonInputs, mapDataPolicySchema, type ResourceDefinition } from "./resource";
import { isKnown, UNKNOWN } from "./unknown";

export const includesSchema = z
  .array(z.string().min(1))
  .default([])
  .meta({
    description: "Directories for clang's -I. For C only.",
    default: [],
    example: ["./bpf/include"],
  });

export const definesSchema = z
  .record(z.string(), z.string())
  .default({})
  .meta({
    description: "Macros for clang's -D. For C only.",
    default: {},
    example: { MAX_FLOWS: "1024" },
  });

const inputs = z.strictObject({
  ...commonInputs,
  source: z.string().min(1).meta({
    description: "Path of an ELF object (.o), or of C (.bpf.c) that clang compiles. Relative to the program.",
    example: "./bpf/filter.bpf.c",
  }),
  includes: includesSchema,
  defines: definesSchema,
  load: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .meta({
      description:
        "Entrypoints (C functions) to load. Default: all but those in a section that begins with `?`.",
      example: ["xdp_filter"],
    }),
  globals: z
    .record(z.string(), z.unknown())
    .default({})
    .meta({
      description: "Values of global variables by name, as plain JSON of their C types.",
      default: {},
      example: { sample_rate: 100 },
    }),
  maps: z.record(z.string(), mapRefSchema).default({}).meta({
    description: "The object's map name → a map of another resource that stands in for it.",
    default: {},
  }),
  mapDataPolicy: mapDataPolicySchema,
  confirm: confirmSchema,
});

export type ProgramInputs = z.output<typeof inputs>;

export interface CheckedProgram extends ProgramInputs {
  object: CheckedObject;
}

export const program: ResourceDefinition<ProgramInputs, CheckedProgram> = {
  kind: "Program",
  inputs,
  sources: ({ source, includes, defines }) => [
    { kind: "object", property: "source", path: source, includes, defines },
  ],
  resolve(args, [source]) {
    const { fileName, blob, sourceDigest } = source as ObjectSource;
    const problems: Problem[] = [];
    const info = read(source as ObjectSource, problems);
    if (info === undefined) return { problems };
    const object = {
      fileName,
      blob,
      ...(sourceDigest === blob ? {} : { sourceDigest }),
      entrypoints: entrypointsOf(info, fileName, args, problems),
      maps: mapsOf(info),
      globals: globalsOf(info, fileName, args, problems),
    };
    checkSharedMaps(object, args, problems);
    return problems.length > 0 ? { problems } : { checked: { ...args, object } };
  },
  compile({ specId, object, globals, maps, mapDataPolicy }) {
    const values = Object.entries(object.globals).map(([name, { section, offset, layout }]) => ({
      name,
      section,
      offset,
      bytes: encodeInto(fullLayout(layout), globals[name], `globals.${name}`, []).toString("base64"),
    }));
    const shared = Object.entries(maps).map(([name, { spec, map }]) => [name, { spec, map }]);
    return {
      format: SPEC_FORMAT,
      id: specId,
      objects: [
        {
          name: "object",
          blob: object.blob,
          fileName: object.fileName,
          entrypoints: Object.keys(object.entrypoints).sort(),
          globals: values.sort((a, b) => (a.name < b.name ? -1 : 1)),
          maps: Object.fromEntries(shared),
          mapDataPolicy,
        },
      ],
      maps: [],
      entries: [],
      links: [],
    };
  },
  blame(error) {
    if (EbpfError.is(error, "verifier")) return "source";
    if (EbpfError.is(error, "data-loss")) return "mapDataPolicy";
    return EbpfError.is(error, "not-found") && error.details.what === "map" ? "maps" : undefined;
  },
  outputs: (_checked, { programs, maps, swappedLinks }) => ({
    entrypoints: programs,
    loadedMaps: Object.fromEntries(Object.entries(maps).map(([name, status]) => [name, loadedMap(status)])),
    ...(swappedLinks === undefined ? {} : { swappedLinks }),
  }),
  preview(checked, plan) {
    const swappedLinks = plan?.swappedLinks ?? UNKNOWN;
    if (checked === undefined) {
      return { object: UNKNOWN, entrypoints: UNKNOWN, loadedMaps: UNKNOWN, swappedLinks };
    }
    const planned = Object.entries(checked.object.entrypoints).map(([name, { type }]) => [
      name,
      {
        programId: UNKNOWN,
        tag: UNKNOWN,
        type,
        verifiedInstructions: plan?.programs[name]?.verifiedInstructions ?? UNKNOWN,
        jitedBytes: plan?.programs[name]?.jitedBytes ?? UNKNOWN,
        pin: UNKNOWN,
      },
    ]);
    return { entrypoints: Object.fromEntries(planned), loadedMaps: UNKNOWN, swappedLinks };
  },
  refs(checked) {
    const { specId: spec, object } = checked;
    if (!isKnown(object)) return { entrypointRefs: UNKNOWN, mapRefs: UNKNOWN };
    const named = <Part extends object>(kind: "entrypoint" | "map", parts: Record<string, Part>) =>
      Object.fromEntries(
        Object.entries(parts).map(([name, part]) => [name, { spec, [kind]: name, ...part }]),
      );
    return { entrypointRefs: named("entrypoint", object.entrypoints), mapRefs: named("map", object.maps) };
  },
  settle(olds, news) {
    const before = (olds as Partial<CheckedProgram>).object;
    if (before === undefined || news.object === undefined) return news;
    if (versionOf(before) !== versionOf(news.object)) return news;
    return { ...news, object: { ...news.object, blob: before.blob } };
  },
  version({ object: { sourceDigest: _digest, ...object }, ...rest }) {
    return { ...rest, object: { ...object, blob: versionOf({ ...object, sourceDigest: _digest }) } };
  },
};

function versionOf({ blob, sourceDigest = blob }: CheckedObject): string {
  return sourceDigest;
}

function read(source: ObjectSource, problems: Problem[]): ObjectInfo | undefined {
  try {
    const info = objectInfo(source);
    if (info.legacyMaps) {
      problems.push({
        property: "source",
        reason:
          "its maps are defined in section `maps`, which libbpf 1.0 and later refuses; define them in `.maps`",
      });
    }
    return info;
  } catch (thrown) {
    if (!EbpfError.is(thrown, "invalid")) throw thrown;
    problems.push({ property: "source", reason: thrown.render() });
    return undefined;
  }
}

function entrypointsOf(
  info: ObjectInfo,
  fileName: string,
  args: ProgramInputs,
  problems: Problem[],
): CheckedObject["entrypoints"] {
  const all = Object.keys(info.entrypoints);
  const chosen = args.load ?? all.filter((name) => info.entrypoints[name]!.autoload);
  if (chosen.length === 0) {
    const reason =
      all.length === 0
        ? `${fileName} has no program: a program is a function with SEC("…")`
        : `${fileName} loads none of its programs by itself (${all.join(", ")}): name some in \`load\``;
    problems.push({ property: "source", reason });
  }
  const entrypoints: CheckedObject["entrypoints"] = {};
  for (const [index, name] of chosen.entries()) {
    const property = args.load === undefined ? "source" : `load[${index}]`;
    const entrypoint = info.entrypoints[name];
    if (entrypoint === undefined) {
      problems.push({
        property,
        reason: `${fileName} has no program "${name}"; ${available("programs", name, all)}`,
      });
    } else if (entrypoint.programType === "unspec") {
      problems.push({
        property,
        reason: `section "${entrypoint.section}" of "${name}" names no program type; name it as libbpf does, e.g. SEC("xdp")`,
      });
    } else {
      const { programType: type, attachType } = entrypoint;
      entrypoints[name] = { type, ...(attachType === undefined ? {} : { attachType }) };
    }
  }
  return entrypoints;
}

function mapsOf(info: ObjectInfo): CheckedObject["maps"] {
  return Object.fromEntries(
    Object.values(info.maps)
      .filter(({ internal }) => internal !== true)
      .map(({ name, type, keySize, valueSize, maxEntries, key, value }) => [
        name,
        {
          type,
          keySize,
          valueSize,
          maxEntries,
          ...(key === undefined ? {} : { keyLayout: shortLayout(key) }),
          ...(value === undefined ? {} : { valueLayout: shortLayout(value) }),
        },
      ]),
  );
}

function globalsOf(
  info: ObjectInfo,
  fileName: string,
  args: ProgramInputs,
  problems: Problem[],
): CheckedObject["globals"] {
  const globals: CheckedObject["globals"] = {};
  for (const [name, value] of Object.entries(args.globals)) {
    const global = info.globals[name];
    const property = `globals.${name}`;
    if (global !== undefined) {
      encodeInto(global.type, value, property, problems);
      globals[name] = { section: global.section, offset: global.offset, layout: shortLayout(global.type) };
    } else if (info.maps[name] !== undefined) {
      problems.push({ property, reason: `"${name}" is a map of ${fileName}, no global: use MapEntries` });
    } else {
      const names = available("globals", name, Object.keys(info.globals));
      problems.push({ property, reason: `${fileName} has no global "${name}"; ${names}` });
    }
  }
  return globals;
}

/** The kernel would refuse a program whose map has another shape than the one it was compiled for. */
function checkSharedMaps(object: CheckedObject, args: ProgramInputs, problems: Problem[]): void {
  for (const [name, shared] of Object.entries(args.maps)) {
    const property = `maps.${name}`;
    const own = object.maps[name];
    if (own === undefined) {
      const names = available("maps", name, Object.keys(object.maps));
      problems.push({ property, reason: `${object.fileName} has no map "${name}"; ${names}` });
      continue;
    }
    for (const [what, mine, theirs] of [
      ["type", own.type, shared.type],
      ["key size", own.keySize, shared.keySize],
      ["value size", own.valueSize, shared.valueSize],
    ] as const) {
      if (mine === theirs) continue;
      problems.push({
        property,
        reason: `map "${shared.map}" of ${shared.spec} has ${what} ${theirs}, but ${object.fileName} was compiled for ${mine}`,
      });
    }
  }
}
