/** ProviderFunction: a question that changes nothing, to a host or about a local object. */
import * as z from "zod";
import { EbpfError } from "../errors";
import type { OpenSources } from "../sources/source";
import { type Connection, connectionSchema } from "../transport/connection";
import type { AgentSession } from "../transport/session";

export interface FunctionTools {
  /** Session with the host of a connection; without one, of the default connection. */
  open(connection: Connection | undefined): Promise<AgentSession>;
  openSources: OpenSources;
  /** Aborted when the engine cancels. */
  signal?: AbortSignal;
}

export interface ProviderFunction {
  /** In the SDKs and, after `ebpf:index:`, in the engine. */
  name: string;
  description: string;
  /** An object's schema, `.meta()` per property as in resources. */
  inputs: z.ZodObject;
  outputs: z.ZodObject;
  /** `args` as `inputs` gives them. Fails with EbpfError; `not-found` for what is not there. */
  run(args: never, tools: FunctionTools): Promise<Record<string, unknown>>;
  /** Outputs that hold secrets, for an adapter to mark. Absent: none ever. */
  secrets?(result: never): readonly string[];
}

/** Types `run` by the two schemas. */
export function providerFunction<Inputs extends z.ZodObject, Outputs extends z.ZodObject>(
  definition: Omit<ProviderFunction, "inputs" | "outputs" | "run" | "secrets"> & {
    inputs: Inputs;
    outputs: Outputs;
    run(args: z.output<Inputs>, tools: FunctionTools): Promise<z.input<Outputs>>;
    secrets?(result: z.input<Outputs>): readonly string[];
  },
): ProviderFunction {
  return definition as ProviderFunction;
}

/** An output that is a whole number, with what it says. */
export const count = (description: string) => z.number().int().meta({ description });
/** An output that is text, with what it says. */
export const text = (description: string) => z.string().meta({ description });

export const connectionInput = {
  connection: connectionSchema.optional().meta({
    description: "How the host is reached. Default: the provider's connection.",
  }),
};

/** Fails with `invalid` unless exactly one of the properties is given. */
export function onlyOneOf<Name extends string>(
  args: Partial<Record<Name, unknown>>,
  names: readonly Name[],
): void {
  const given = names.filter((name) => args[name] !== undefined);
  if (given.length === 1) return;
  const all = names.join(", ");
  const what = given.length === 0 ? "none is given" : `${given.join(" and ")} are given`;
  throw new EbpfError("invalid", `choose one of ${all}: ${what}`, {}, { remedy: "give exactly one of them" });
}
