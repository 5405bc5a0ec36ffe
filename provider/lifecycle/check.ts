/** Check: from what the program wrote to inputs that say everything, or to a list of problems. */
import type { Problem } from "../errors";
import type { CommonInputs, ResourceDefinition } from "../resources/resource";
import type { OpenSources, Source } from "../sources/source";
import { withoutDefaults } from "./defaults";
import { knownIssues, problemsOf, problemsOfError } from "./problems";
import { unknownPaths, withoutUnknown } from "./unknowns";

export interface Checked {
  inputs: Record<string, unknown>;
  problems: Problem[];
  /** Set when all is known: what plan needs. */
  complete?: { checked: CommonInputs; sources: Source[] };
}

/** Stands in for a connection that is not known yet, which no definition looks into. */
const UNKNOWN_CONNECTION = { host: "unknown" };

/**
 * With unknown values the known rest is still checked: the properties that hold unknown values are left out, and put
 * back as they came. What a definition computes is then there if it could be computed without them.
 */
export async function checkInputs(
  definition: ResourceDefinition,
  olds: Record<string, unknown> | undefined,
  raw: Record<string, unknown>,
  openSources: OpenSources,
): Promise<Checked> {
  const specId = typeof olds?.["specId"] === "string" ? olds["specId"] : raw["specId"];
  const news: Record<string, unknown> = { ...raw, specId, drift: [] };
  const unknown = unknownPaths(news);
  const leftOut = new Set(unknown.map(([name]) => String(name)));

  const parsed = definition.inputs.safeParse(news);
  if (!parsed.success) {
    const problems = problemsOf(definition.inputs, knownIssues(parsed.error.issues, unknown));
    if (problems.length > 0) return { inputs: news, problems: firstOf(problems) };
  }

  const known: Record<string, unknown> = { ...news };
  for (const name of leftOut) delete known[name];
  if (leftOut.has("connection")) known["connection"] = UNKNOWN_CONNECTION;
  const args = leftOut.size === 0 ? parsed : definition.inputs.safeParse(known);
  if (!args.success) return { inputs: news, problems: [] };

  const { checked, sources, problems } = await resolve(definition, args.data, openSources, leftOut);
  const real = leftOut.size === 0 ? problems : withoutUnknown(problems, leftOut);
  if (checked === undefined || real.length > 0) return { inputs: news, problems: firstOf(real) };
  const inputs = withoutDefaults(definition, { ...checked });
  if (leftOut.size === 0) return { inputs, problems: [], complete: { checked, sources } };
  const holes = Object.fromEntries([...leftOut].map((name) => [name, news[name]]));
  return { inputs: { ...inputs, ...holes }, problems: [] };
}

/** A list of a hundred thousand rules may be wrong in each of them. */
const MOST_PROBLEMS = 100;

function firstOf(problems: Problem[]): Problem[] {
  const more = problems.length - MOST_PROBLEMS;
  if (more <= 0) return problems;
  const rest = { property: "", reason: `and ${more.toLocaleString("en-US")} more problems` };
  return [...problems.slice(0, MOST_PROBLEMS), rest];
}

async function resolve(
  definition: ResourceDefinition,
  args: CommonInputs,
  openSources: OpenSources,
  leftOut: ReadonlySet<string>,
): Promise<{ checked?: CommonInputs; sources: Source[]; problems: Problem[] }> {
  try {
    const sources = await openSources(definition.sources(args));
    const result = definition.resolve(args, sources, leftOut);
    if ("problems" in result) return { sources, problems: result.problems };
    return { checked: result.checked, sources, problems: [] };
  } catch (thrown) {
    return { sources: [], problems: problemsOfError(thrown) };
  }
}
