/**
 * The tables of properties in README.md, made of the schemas' own descriptions, so that they cannot grow stale.
 * Pure. `npm run docs` writes them; a test compares.
 */
import type { z } from "zod";
import { definitions } from "../resources";
import { hooks } from "../resources/attachments";
import { connectionSchema } from "../transport/connection";

/** The parts of a zod schema that a table needs; zod's own types hide them. */
interface Def {
  type: string;
  innerType?: Schema;
  element?: Schema;
  valueType?: Schema;
  options?: Schema[];
  entries?: Record<string, string>;
}
interface Schema {
  def: Def;
  shape?: Record<string, Schema>;
  meta?: () => { description?: string; default?: unknown; example?: unknown } | undefined;
}

/** Set by the SDK, not by the program. */
const hidden = ["specId", "drift", "MapEntries.secret", "MapEntries.connection", "Attachment.connection"];

/** What the SDK takes where the schema has what becomes of it. */
const types: Record<string, string> = {
  connection: "[connection](#the-connection)",
  "Program.source": "path or `FileAsset`",
  "Program.maps": "`{ name: Map }`",
  "Map.key": "[type](#types-of-keys-and-values)",
  "Map.value": "[type](#types-of-keys-and-values)",
  "Map.inner": "`{ type, key, value, maxEntries, flags }`",
  "Map.btf": "`{ source, map }`",
  "MapEntries.map": "`Map` or `program.map(name)`",
  "MapEntries.entries": "`{ key, value }[]`",
  "MapEntries.file": "path or `FileAsset`",
  "MapEntries.formats": "`{ path: format }`",
  "Attachment.program": "`Program` or `program.entrypoint(name)`",
  "tcx.order": '`"first"`, `"last"`, `{ before }`, `{ after }`',
  proxy: "connection without `proxy`",
};

/** Text with each table between `<!-- table: name -->` and `<!-- end -->` made anew. */
export function withTables(text: string): string {
  return text.replace(
    /(<!-- table: (\w+) -->\n)[^]*?(<!-- end -->)/g,
    (_all, begin: string, name: string, end: string) => `${begin}\n${table(name)}\n${end}`,
  );
}

function table(name: string): string {
  const properties = Object.entries(shapeOf(name)).filter(
    ([property]) => !hidden.includes(property) && !hidden.includes(`${name}.${property}`),
  );
  const rows = properties.map(([property, schema]) => row(name, property, schema));
  return ["| property | type | default | what |", "| --- | --- | --- | --- |", ...rows, ""].join("\n");
}

function shapeOf(name: string): Record<string, Schema> {
  const schema: unknown =
    name === "connection"
      ? connectionSchema
      : (definitions[name]?.inputs ?? (hooks as Record<string, { inputs: z.ZodType }>)[name]?.inputs);
  if (schema === undefined) throw new Error(`no schema is named ${name}`);
  return (schema as { shape: Record<string, Schema> }).shape;
}

function row(owner: string, property: string, schema: Schema): string {
  const { description = "", default: given, example } = schema.meta?.() ?? {};
  const type = types[`${owner}.${property}`] ?? types[property] ?? typeText(schema, property);
  const optional = schema.def.type === "optional" || schema.def.type === "default";
  const fallback = given !== undefined ? code(given) : optional ? "" : "needed";
  const sample = example === undefined ? "" : ` Example: ${code(example)}.`;
  const choice = longChoice(schema);
  const oneOf = choice === undefined ? "" : ` One of ${choice.map((value) => `\`${value}\``).join(", ")}.`;
  const cells = [`\`${property}\``, type, fallback, `${description}${oneOf}${sample}`];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

/** The values of an enum that are too many for the column of types. */
function longChoice({ def }: Schema): string[] | undefined {
  const inner = def.innerType ?? def.element;
  if (inner !== undefined) return longChoice(inner);
  const values = Object.keys(def.entries ?? {});
  return values.length > mostInType ? values : undefined;
}

const mostInType = 8;

function typeText(schema: Schema, property: string): string {
  const { type, innerType, element, valueType, options, entries } = schema.def;
  switch (type) {
    case "optional":
    case "default":
      return typeText(innerType!, property);
    case "enum":
      return Object.keys(entries!).length > mostInType
        ? "string"
        : Object.keys(entries!)
            .map((value) => `\`"${value}"\``)
            .join(", ");
    case "array":
      return ["string", "enum"].includes(element!.def.type) ? "string[]" : "list";
    case "record":
      return valueType!.def.type === "string" ? "`{ name: string }`" : "`{ name: value }`";
    case "union":
      return options!.map((option) => typeText(option, property)).join(" or ");
    case "object":
      return `[${property}](#${property.toLowerCase()})`;
    default:
      return type;
  }
}

function code(value: unknown): string {
  const text = JSON.stringify(value)
    .replace(/"(\w+)":/g, "$1:")
    .replaceAll(":", ": ")
    .replaceAll(",", ", ");
  return `\`${text}\``;
}
