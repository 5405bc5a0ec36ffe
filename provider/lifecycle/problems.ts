/** Problems of inputs, from zod's issues and from errors. */
import type * as z from "zod";
import { EbpfError, type Problem } from "../errors";
import { closest } from "../resources/closest";
import { type Path, propertyPath, touches, unknownPaths } from "./unknowns";

type Issue = z.core.$ZodIssue;
type Schema = z.core.$ZodType;

export function problemsOf(schema: Schema, issues: readonly Issue[]): Problem[] {
  return issues.flatMap((issue) => {
    const path = issue.path as Path;
    if (issue.code !== "unrecognized_keys")
      return [{ property: propertyPath(path), reason: reasonOf(issue) }];
    const known = keysAt(schema, path);
    return issue.keys.map((key) => ({
      property: propertyPath([...path, key]),
      reason: `unknown property${suggestion(key, known)}`,
    }));
  });
}

/** What a schema says against a value, less what concerns parts that are UNKNOWN. */
export function problemsOfInput(schema: z.ZodType, value: unknown): Problem[] {
  const parsed = schema.safeParse(value);
  if (parsed.success) return [];
  return problemsOf(schema, knownIssues(parsed.error.issues, unknownPaths(value)));
}

export function knownIssues(issues: readonly Issue[], unknown: readonly Path[]): Issue[] {
  return issues.filter(({ path }) => !unknown.some((hole) => touches(path as Path, hole)));
}

function suggestion(key: string, known: string[]): string {
  const near = closest(key, known);
  if (near !== undefined) return `; did you mean "${near}"?`;
  return known.length === 0 ? "" : `; there are ${known.join(", ")}`;
}

function reasonOf(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return issue.message.endsWith("received undefined")
        ? "is missing"
        : issue.message.replace("Invalid input: ", "");
    case "invalid_value":
      return `expected one of ${issue.values.map(String).join(", ")}`;
    default:
      return issue.message.replace(/^(Invalid input: |Too (small|big): )/, "");
  }
}

/** Properties that a schema knows at a path, less those that no user writes. */
function keysAt(schema: Schema, path: Path): string[] {
  let inner: Schema | undefined = unwrap(schema);
  for (const part of path) {
    const definition: z.core.$ZodTypeDef & Record<string, unknown> = inner._zod.def as never;
    const next: unknown =
      definition.type === "object"
        ? (definition["shape"] as Record<string, Schema>)[String(part)]
        : (definition["element"] ?? definition["valueType"]);
    if (next === undefined) return [];
    inner = unwrap(next as Schema);
  }
  const shape = (inner._zod.def as { shape?: Record<string, Schema> }).shape ?? {};
  return Object.keys(shape).filter((key) => path.length > 0 || (key !== "specId" && key !== "drift"));
}

function unwrap(schema: Schema): Schema {
  const inner = (schema._zod.def as { innerType?: Schema }).innerType;
  return inner === undefined ? schema : unwrap(inner);
}

/** An error as problems: its own list when it has one. */
export function problemsOfError(thrown: unknown): Problem[] {
  const error = EbpfError.from(thrown);
  const { problems = [], property = "" } = error.context;
  if (problems.length > 0) return problems;
  return [{ property, reason: error.with({}).render() }];
}
