/**
 * What resources say besides their inputs: outputs of definitions, and those that the plugin adds for languages
 * without our own SDK. TypeScript holds them to the interfaces that the code uses. Pure.
 */
import * as z from "zod";
import type { Target } from "../lifecycle/fleet/targets";
import type { AddressSetStatus, JudgedInterface, PolicyStatus, TextContent } from "../protocol/policy";
import type { LinkStatus, ProgramStatus } from "../protocol/status";
import { attachmentRefSchema } from "../resources/attachments/tcx";
import type { LoadedMap } from "../resources/loaded-map";
import { mapTypeSchema } from "../resources/map";
import type { CheckedShape } from "../resources/map-shape";
import type { CheckedMapEntries } from "../resources/map-entries";
import type { CheckedMap, CheckedObject } from "../resources/object-info";
import type { PolicyContent } from "../resources/network-policy";
import { mapRefSchema, programRefSchema } from "../resources/references";

/** A schema of all members of T and no others. */
function object<T extends object>(
  typeName: string,
  description: string,
  shape: { [Name in keyof T]-?: z.ZodType<T[Name]> },
): z.ZodType<T> {
  return z.object(shape).meta({ typeName, typeDescription: description }) as unknown as z.ZodType<T>;
}

/** Kernel facts: of a fleet those that its hosts have alike. */
const fact = (description: string) => z.number().int().meta({ description, needed: false });
const factText = (description: string) => z.string().meta({ description, needed: false });
const count = (description: string) => z.number().int().meta({ description });
const text = (description: string) => z.string().meta({ description });
const layout = z.custom<CheckedMap["keyLayout"]>().optional();

const programStatus = object<ProgramStatus>(
  "ProgramStatus",
  "An entrypoint in the kernel; of a fleet what all hosts have alike.",
  {
    programId: fact("The kernel's id."),
    tag: factText("The kernel's tag: 16 hex digits over its instructions."),
    type: factText("`bpf_prog_type` in lower case."),
    verifiedInstructions: fact(
      "Instructions that the verifier walked; 0 below Linux 5.16, which does not tell.",
    ),
    jitedBytes: fact("Bytes of machine code."),
    pin: factText("Its path in bpffs."),
  },
);

const loadedMap = object<LoadedMap>(
  "LoadedMap",
  "A map in the kernel; of a fleet what all hosts have alike.",
  {
    mapId: fact("The kernel's id."),
    pin: factText("Its path in bpffs."),
  },
);

const linkStatus = object<LinkStatus>(
  "LinkStatus",
  "An attachment in the kernel; of a fleet what all hosts have alike.",
  {
    linkId: fact("The kernel's id of the link; 0 for netlink attachments, which have none."),
    programId: fact("The kernel's id of the program on it."),
    programTag: factText("The kernel's tag of the program on it."),
    hook: factText("The hook that was really used: a wish for `tcx` may have become `tc`."),
    facts: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).meta({
      description: "Of the hook, such as the interface's index, the XDP mode that was found, the position.",
      needed: false,
    }),
  },
);

const objectMap = object<CheckedMap>("ObjectMap", "A map that the object defines.", {
  type: text("`bpf_map_type` in lower case."),
  keySize: count("Bytes."),
  valueSize: count("Bytes; of one CPU's value for per-CPU maps."),
  maxEntries: count("Most entries."),
  keyLayout: layout.meta({ description: "How keys are written as JSON; absent for raw bytes." }),
  valueLayout: layout.meta({ description: "How values are written as JSON; absent for raw bytes." }),
});

const objectInfo = object<CheckedObject>("ObjectInfo", "What an object file holds.", {
  fileName: text("Its name without directories."),
  blob: text("sha256 of the ELF file."),
  sourceDigest: z.string().optional().meta({
    description: "What tells versions of a C source apart: a digest of its preprocessed text and its flags.",
  }),
  entrypoints: z
    .record(
      z.string(),
      object<CheckedObject["entrypoints"][string]>("ObjectEntrypoint", "An entrypoint that is loaded.", {
        type: text("`bpf_prog_type` in lower case."),
        attachType: z.string().optional().meta({
          description: "`bpf_attach_type` in lower case, where the ELF section fixes it.",
        }),
      }),
    )
    .meta({ description: "Entrypoints that are loaded, by name." }),
  maps: z.record(z.string(), objectMap).meta({ description: "Maps that it defines, by name." }),
  globals: z
    .record(
      z.string(),
      object<CheckedObject["globals"][string]>("ObjectGlobal", "Where a global variable stands.", {
        section: text("ELF section."),
        offset: count("Bytes from the section's begin."),
        layout: z.custom<CheckedObject["globals"][string]["layout"]>().meta({ description: "Its type." }),
      }),
    )
    .meta({ description: "The global variables that are set, by name. Their values are not repeated here." }),
});

type OneShape = Omit<CheckedShape, "inner">;
const shape: { [Name in keyof OneShape]-?: z.ZodType<OneShape[Name]> } = {
  type: mapTypeSchema.meta({ description: "The kernel's type in lower case." }),
  keySize: count("Bytes."),
  valueSize: count("Bytes; of one CPU's value for per-CPU maps."),
  maxEntries: count("Most entries."),
  flags: count("`map_flags` of bpf(2)."),
  numaNode: z.number().int().optional().meta({ description: "NUMA node of its memory." }),
  mapExtra: z.string().optional().meta({ description: "`map_extra` of bpf(2)." }),
  keyLayout: layout.meta({ description: "How keys are written as JSON; absent for raw bytes." }),
  valueLayout: layout.meta({ description: "How values are written as JSON; absent for raw bytes." }),
};

const rows = object<{ count: number; matching: number }>("RowCount", "Rows, declared and found.", {
  count: count("Rows declared."),
  matching: count("Of these, rows that the map held with their value when it was last looked at."),
});

const content = object<CheckedMapEntries["content"]>("RowsContent", "What the rows are, without them.", {
  manifest: text("sha256 over them; equal rows in equal order have equal ones."),
  count: count("Rows with bytes as values."),
  perCpu: z.enum(["all", "each"]).meta({ typeName: "PerCpuValues" }).optional().meta({
    description: "Of a per-CPU map: one value for all CPUs, or one for each.",
  }),
  references: z.custom<CheckedMapEntries["content"]["references"]>().optional().meta({
    description: "Rows with maps or programs as values.",
  }),
});

const textContent = object<TextContent>("TextContent", "What a list is, without its items.", {
  manifest: text("sha256 over them; equal items in equal order have equal ones."),
  count: count("Items."),
});

const policyContent = object<PolicyContent>("PolicyContent", "What the rules are, without them.", {
  ingress: textContent.optional().meta({ description: "Those of ingress, if the policy names it." }),
  egress: textContent.optional().meta({ description: "Those of egress, if the policy names it." }),
  sets: z.array(z.string()).meta({ description: "`specId` of each AddressSet that rules name." }),
});

const judgedHook = (description: string) => z.string().optional().meta({ description });
const judgedInterface = object<
  Omit<JudgedInterface, "ingress" | "egress"> & { ingress?: string; egress?: string }
>("JudgedInterface", "An interface on which packets are judged.", {
  name: text("Its name."),
  netns: z.string().optional().meta({ description: "Its network namespace, if not the host's own." }),
  ifindex: fact("The kernel's index."),
  ingress: judgedHook("`tcx`, `tc` or `xdp`: how what it receives is judged; absent: by no policy."),
  egress: judgedHook("`tcx` or `tc`: how what it sends is judged; absent: by no policy."),
  policies: z.array(z.string()).meta({ description: "`specId` of all policies that judge here, in order." }),
  bypassable: z.string().optional().meta({
    description: "A program of somebody else ahead of ours that may pass or redirect packets, in words.",
  }),
});

const policyStatus = object<Omit<PolicyStatus, "interfaces" | "revertsAt"> & { interfaces: unknown[] }>(
  "PolicyStatus",
  "What judges; of a fleet what all hosts have alike.",
  {
    interfaces: z.array(judgedInterface).meta({ description: "Where packets are judged." }),
    uncovered: z.array(z.string()).meta({
      description: "Interfaces that `interfaces` matches and that came later: an update takes them in.",
    }),
    generation: factText("Number of the compiled form that judges; it never comes back."),
    cells: fact("Cells of 64 bytes that it takes."),
    memoryBytes: fact("Bytes of all maps, as the kernel counts them."),
  },
);

const setStatus = object<AddressSetStatus>(
  "AddressSetStatus",
  "A set on the host; of a fleet what all hosts have alike.",
  {
    networks: fact("How many networks it has."),
    usedBy: z.array(z.string()).meta({ description: "`specId` of the policies that name it." }),
  },
);

const target = object<Target>("Target", "What one host of a fleet holds, as far as is known.", {
  digest: text("Of the version that it holds; empty: nobody knows."),
  incarnation: text("Of the creation that it belongs to."),
  reachable: z.boolean().meta({ description: "Whether the host answered when it was last asked." }),
  drift: z.array(z.string()).meta({ description: "Why it is not as it should be, in words." }),
});

const common = {
  specId: text(
    "`[<owner>:]<project>/<stack>/<Kind>/<name>`: its name on the host, which outlives renames and aliases.",
  ),
  incarnation: factText("Tells this creation from earlier ones of the same name. Not of a fleet."),
  drift: z.array(z.string()).meta({
    description:
      "Where the kernel deviates from what was applied, in words. Filled by a refresh; empty after an update.",
  }),
  digest: z.string().optional().meta({ description: "Of a fleet: the version that its hosts shall hold." }),
  targets: z.record(z.string(), target).optional().meta({
    description: "Of a fleet: what each host holds, by `host[:port]`.",
  }),
};

/** Outputs of each kind besides its inputs. */
export const outputs: Readonly<Record<string, z.ZodObject>> = {
  Program: z.object({
    ...common,
    object: objectInfo.meta({ description: "What the object file holds; known in preview." }),
    entrypoints: z.record(z.string(), programStatus).meta({ description: "The loaded entrypoints by name." }),
    loadedMaps: z.record(z.string(), loadedMap).meta({ description: "The loaded maps by name." }),
    swappedLinks: z
      .array(z.string())
      .optional()
      .meta({
        description:
          "The links of Attachments that its last update swapped to the new programs, in words, as " +
          "`xdp on eth0 of shop/prod/Attachment/web`; in the preview of an update those that it will swap.",
      }),
    entrypointRefs: z.record(z.string(), programRefSchema).meta({
      description: "Of each entrypoint what `program` of an Attachment takes; known in preview.",
    }),
    mapRefs: z.record(z.string(), mapRefSchema).meta({
      description: "Of each map what `map` of MapEntries and `maps` of a Program take; known in preview.",
    }),
  }),
  Map: z.object({
    ...common,
    shape: object<CheckedShape & { name: string }>("MapShape", "A map as it is created.", {
      name: text("The resource's name."),
      ...shape,
      inner: object<OneShape>("InnerMapShape", "Inner maps as they are created.", shape)
        .optional()
        .meta({ description: "Shape of the inner maps." }),
    }).meta({ description: "The map as it is created, defaults filled in; known in preview." }),
    status: loadedMap.meta({ description: "The map in the kernel." }),
    ref: mapRefSchema.meta({
      description: "What `map` of MapEntries and `maps` of a Program take; known in preview.",
    }),
  }),
  MapEntries: z.object({
    ...common,
    content: content.meta({ description: "What the rows are, without them; known in preview." }),
    rows: rows.meta({ description: "How many rows are declared, and found." }),
  }),
  AddressSet: z.object({
    ...common,
    content: textContent.meta({ description: "What the networks are, without them; known in preview." }),
    status: setStatus.meta({ description: "The set on the host." }),
    ref: text("What `addressSet` of a rule takes, also in another stack: the `specId`."),
  }),
  NetworkPolicy: z.object({
    ...common,
    content: policyContent.meta({ description: "What the rules are, without them; known in preview." }),
    status: policyStatus.meta({ description: "What judges on the host." }),
  }),
  Attachment: z.object({
    ...common,
    link: linkStatus.meta({ description: "The attachment in the kernel." }),
    ref: attachmentRefSchema.meta({ description: "What `before` and `after` of another's `order` take." }),
  }),
};
