/** Policy `ebpf-program-types`: which types of program may be loaded. */
import type { ResourceValidationPolicy } from "@pulumi/policy";
import * as z from "zod";
import { unpacked } from "../adapters/packed";
import type { Problem } from "../errors";
import { available } from "../resources/closest";
import type { CheckedObject } from "../resources/object-info";
import type { CheckedProgramRef } from "../resources/references";
import { programTypes as known } from "../btf/sections";
import { type ResourceRule, resourcePolicy } from "./rule";

const options = z.strictObject({
  allowed: z
    .array(
      z.string().refine((type) => known.includes(type), {
        error: ({ input }) => `"${String(input)}" is none; ${available("types", String(input), known)}`,
      }),
    )
    .optional()
    .meta({
      description: "Types as the kernel spells them, without BPF_PROG_TYPE_: xdp, sched_cls. Default: all.",
    }),
});

export type ProgramTypeOptions = z.input<typeof options>;

const rule: ResourceRule<z.output<typeof options>> = {
  name: "ebpf-program-types",
  description: "Only programs of allowed types are loaded and attached.",
  options,
  violations(kind, properties, { allowed }) {
    if (allowed === undefined) return [];
    return typesOf(kind, properties)
      .filter(({ type }) => !allowed.includes(type))
      .map(({ property, entrypoint, type }) => ({
        property,
        reason: `"${entrypoint}" is a program of type ${type}; allowed are ${allowed.join(", ")}`,
      }));
  },
};

interface Typed extends Pick<Problem, "property"> {
  entrypoint: string;
  type: string;
}

function typesOf(kind: string, properties: Record<string, unknown>): Typed[] {
  if (kind === "Program") {
    const { entrypoints = {} } = (unpacked(properties["object"]) ?? {}) as Partial<CheckedObject>;
    const property = properties["load"] === undefined ? "source" : "load";
    return Object.entries(entrypoints).map(([entrypoint, { type }]) => ({ property, entrypoint, type }));
  }
  // also of a Program in another stack, which no policy saw there
  const program =
    kind === "Attachment" ? (properties["program"] as CheckedProgramRef | undefined) : undefined;
  return program === undefined ? [] : [{ property: "program", ...program }];
}

/** Refuses Programs that load, and Attachments that attach, a program of a type that is not in the list. */
export function programTypes(given: ProgramTypeOptions = {}): ResourceValidationPolicy {
  return resourcePolicy(rule, given);
}
