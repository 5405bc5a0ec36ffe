/**
 * Defaults of inputs: left out of what the engine holds, because it writes the whole state after each step. A missing
 * value and the default are one and the same to diff.
 */
import { isDeepStrictEqual } from "node:util";
import * as z from "zod";
import type { CommonInputs, ResourceDefinition } from "../resources/resource";

const known = new WeakMap<ResourceDefinition, Readonly<Record<string, unknown>>>();

function defaultsOf(definition: ResourceDefinition): Readonly<Record<string, unknown>> {
  let defaults = known.get(definition);
  if (defaults === undefined) {
    const entries = Object.entries(definition.inputs.shape).flatMap(([name, schema]): [string, unknown][] =>
      schema instanceof z.ZodDefault ? [[name, schema.def.defaultValue]] : [],
    );
    known.set(definition, (defaults = Object.fromEntries(entries)));
  }
  return defaults;
}

export function withoutDefaults<T extends Record<string, unknown>>(
  definition: ResourceDefinition,
  inputs: T,
): T {
  const rest: Record<string, unknown> = { ...inputs };
  for (const [name, value] of Object.entries(defaultsOf(definition))) {
    if (name in rest && isDeepStrictEqual(rest[name], value)) delete rest[name];
  }
  return rest as T;
}

/** As a definition takes them. */
export function withDefaults(
  definition: ResourceDefinition,
  inputs: CommonInputs | Record<string, unknown>,
): CommonInputs & Record<string, unknown> {
  return { ...defaultsOf(definition), ...inputs } as CommonInputs & Record<string, unknown>;
}
