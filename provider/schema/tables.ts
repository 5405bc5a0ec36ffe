/**
 * The tables of properties in README.md, made of the schemas' own descriptions, so that they cannot grow stale.
 * Pure. `npm run generate` writes them; a test compares.
 */
import * as z from "zod";
import { egressRuleSchema, ingressRuleSchema, peerSchema, portSchema } from "../network-policy/model";
import { definitions } from "../resources";
import { hooks } from "../resources/attachments";
import { testSchema } from "../resources/policy-tests";
import { commonInputs } from "../resources/resource";
import { connectionSchema } from "../transport/connection";
import { code, markdownTable } from "./markdown";
import { type Property, propertiesOf, type Type } from "./property";

/** Set by the SDK, not by the program. */
const hidden = ["specId", "drift", "secret"];

/** The table that says once what all kinds take. */
const common = "common";

/** What the SDK takes where the schema has what becomes of it. */
const types: Record<string, string> = {
  connection: "[connection](#the-connection)",
  hosts: "[fleet](#many-hosts-one-resource)",
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
  "AddressSet.file": "path or `FileAsset`",
  "NetworkPolicy.ingress": "list of [rules](#rules)",
  "NetworkPolicy.egress": "list of [rules](#rules)",
  "NetworkPolicy.confirm": "`{ withinSeconds }`",
  "NetworkPolicy.tests": "list of [tests](#tests)",
  "rule.from": "list of [peers](#peers)",
  "rule.to": "list of [peers](#peers)",
  "rule.ports": "list of [ports](#ports)",
  "peer.addressSet": "`AddressSet` or its `ref`",
  "port.protocol": "name or number",
  "test.protocol": "name or number",
  "Attachment.program": "`Program` or `program.entrypoint(name)`",
  "tcx.order": '`"first"`, `"last"`, `{ before }`, `{ after }`',
  proxy: "connection without `proxy`",
};

/** Parts of a NetworkPolicy that have tables of their own. */
const partSchemas: Readonly<Record<string, z.core.$ZodType>> = {
  rule: z.object({ ...ingressRuleSchema.shape, to: egressRuleSchema.shape.to }),
  peer: peerSchema,
  port: portSchema,
  test: testSchema,
};

/** Text with each table between `<!-- table: name -->` and `<!-- end -->` made anew. */
export function withTables(text: string): string {
  return text.replace(
    /(<!-- table: (\w+) -->\n)[^]*?(<!-- end -->)/g,
    (_all, begin: string, name: string, end: string) => `${begin}\n${table(name)}\n${end}`,
  );
}

function table(name: string): string {
  const rows = propertiesOf(schemaOf(name))
    .filter((property) => !hidden.includes(property.name))
    .filter((property) => name === common || !(property.name in commonInputs))
    .map((property) => row(name, property));
  return markdownTable(["property", "type", "default", "what"], rows);
}

function schemaOf(name: string): z.core.$ZodType {
  if (name === common) return z.strictObject(commonInputs);
  if (name === "connection") return connectionSchema;
  if (name in partSchemas) return partSchemas[name]!;
  const schema = definitions[name]?.inputs ?? (hooks as Record<string, { inputs: z.ZodType }>)[name]?.inputs;
  if (schema === undefined) throw new Error(`no schema is named ${name}`);
  return schema;
}

function row(owner: string, property: Property): string[] {
  const { name, description, default: given, example, needed } = property;
  const type = types[`${owner}.${name}`] ?? types[name] ?? typeText(property.type, name);
  const fallback = given !== undefined ? code(given) : needed ? "needed" : "";
  const sample = example === undefined ? "" : ` Example: ${code(example)}.`;
  const choice = longChoice(property.type);
  const oneOf = choice === undefined ? "" : ` One of ${choice.map((value) => `\`${value}\``).join(", ")}.`;
  return [`\`${name}\``, type, fallback, `${description}${oneOf}${sample}`];
}

/** The values of an enum that are too many for the column of types. */
function longChoice(type: Type): string[] | undefined {
  if (type.kind === "list") return longChoice(type.of);
  return type.kind === "enum" && type.values.length > mostInType ? type.values : undefined;
}

const mostInType = 8;

function typeText(type: Type, property: string): string {
  switch (type.kind) {
    case "enum":
      return type.values.length > mostInType
        ? "string"
        : type.values.map((value) => `\`"${value}"\``).join(", ");
    case "list":
      return ["string", "enum"].includes(type.of.kind) ? "string[]" : "list";
    case "record":
      return type.of.kind === "string" ? "`{ name: string }`" : "`{ name: value }`";
    case "union":
      return type.of.map((option) => typeText(option, property)).join(" or ");
    case "object":
      return `[${property}](#${property.toLowerCase()})`;
    case "integer":
      return "number";
    default:
      return type.kind;
  }
}
