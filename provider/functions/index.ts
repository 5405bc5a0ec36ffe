/**
 * Functions: questions that change nothing, for both adapters. The plugin answers them as Invoke, the Node SDK in
 * dynamic mode calls them in the program's own process.
 *
 * Owns: the list, checking of arguments, the texts of what is wrong with them. Does not own: the verbs of the agent
 * (provider/agent/queries), unknown and secret values, which are an adapter's.
 */
import { EbpfError, invalid, type Problem } from "../errors";
import { problemsOf } from "../lifecycle/problems";
import type { FunctionTools, ProviderFunction } from "./function";
import { getAttachments } from "./get-attachments";
import { getHostFeatures } from "./get-host-features";
import { getMap } from "./get-map";
import { getMapEntries } from "./get-map-entries";
import { getProgram } from "./get-program";
import { inspectObject } from "./inspect-object";

export type { FunctionTools, ProviderFunction } from "./function";

export const functions: Readonly<Record<string, ProviderFunction>> = Object.fromEntries(
  [getHostFeatures, getProgram, getMap, getMapEntries, getAttachments, inspectObject].map((one) => [
    one.name,
    one,
  ]),
);

export interface Answer {
  outputs: Record<string, unknown>;
  /** Names of outputs that hold secrets. */
  secrets: readonly string[];
}

/** `args` are plain JSON, all known. Fails with EbpfError; `invalid` lists all that is wrong with the arguments. */
export async function runFunction(
  name: string,
  args: Record<string, unknown>,
  tools: FunctionTools,
): Promise<Answer> {
  const found = functions[name];
  if (found === undefined) {
    const all = Object.keys(functions).join(", ");
    throw new EbpfError("not-found", `find function "${name}": there are ${all}`, { what: "function", name });
  }
  const parsed = found.inputs.safeParse(args);
  if (!parsed.success) {
    const problems: Problem[] = problemsOf(found.inputs, parsed.error.issues);
    throw invalid(`call ${name}`, problems);
  }
  const outputs = await found.run(parsed.data as never, tools);
  return { outputs, secrets: found.secrets?.(outputs as never) ?? [] };
}
