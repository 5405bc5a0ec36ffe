/**
 * Properties of the resources as documents and other languages need them, read from the zod schemas: the only code
 * that looks inside those. Pure.
 */
import type * as z from "zod";

export type Type =
  | { kind: "string" | "integer" | "number" | "boolean" | "any" }
  | { kind: "enum"; name?: string; values: string[] }
  | { kind: "list"; of: Type }
  | { kind: "record"; of: Type }
  | { kind: "object"; name?: string; description?: string; properties: Property[] }
  | { kind: "union"; name?: string; description?: string; of: Type[] };

export interface Property {
  name: string;
  type: Type;
  /** Has no default, and nothing else stands in for it. */
  needed: boolean;
  description: string;
  default?: unknown;
  example?: unknown;
  secret: boolean;
  /** Its change replaces the resource. */
  replaces: boolean;
}

/** What schemas say by `.meta()`. */
interface Meta {
  description?: string;
  example?: unknown;
  secret?: boolean;
  replaces?: boolean;
  /** `false` where something besides the schema stands in for a missing value. */
  needed?: boolean;
  /** Of an object, enum or union: its name in languages with named types. */
  typeName?: string;
  typeDescription?: string;
}

/** The parts of a zod schema that matter here; zod's own types hide them. */
interface Schema {
  def: {
    type: string;
    innerType?: Schema;
    defaultValue?: unknown;
    element?: Schema;
    valueType?: Schema;
    options?: Schema[];
    entries?: Record<string, string>;
    values?: unknown[];
  };
  shape?: Record<string, Schema>;
  isInt?: boolean;
  meta(): Meta | undefined;
}

/** Properties of an object schema in their order. */
export function propertiesOf(schema: z.core.$ZodType): Property[] {
  return properties(schema as unknown as Schema);
}

function properties({ shape }: Schema): Property[] {
  if (shape === undefined) throw new Error("only an object's schema has properties");
  return Object.entries(shape).map(([name, schema]) => property(name, schema));
}

function property(name: string, schema: Schema): Property {
  const { description = "", example, secret = false, replaces = false, needed = true } = metaOf(schema);
  const fallback = schema.def.type === "default" ? { default: schema.def.defaultValue } : {};
  return {
    name,
    type: typeOf(schema),
    needed: needed && schema.def.type !== "optional" && schema.def.type !== "default",
    description,
    ...fallback,
    ...(example === undefined ? {} : { example }),
    secret,
    replaces,
  };
}

/** Also where a schema was made optional after it got its texts. */
function metaOf(schema: Schema): Meta {
  const { innerType } = schema.def;
  return { ...(innerType === undefined ? {} : metaOf(innerType)), ...schema.meta() };
}

function typeOf(schema: Schema): Type {
  const { type, innerType, element, valueType, options, entries, values } = schema.def;
  const { typeName, typeDescription } = schema.meta() ?? {};
  const name = typeName === undefined ? {} : { name: typeName };
  const text = typeDescription === undefined ? {} : { description: typeDescription };
  switch (type) {
    case "optional":
    case "default":
    case "nullable":
      return typeOf(innerType!);
    case "string":
    case "boolean":
      return { kind: type };
    case "number":
      return { kind: schema.isInt === true ? "integer" : "number" };
    case "enum":
      return { kind: "enum", ...name, values: Object.keys(entries!) };
    case "literal":
      if (values!.every((value) => typeof value === "boolean")) return { kind: "boolean" };
      return { kind: "enum", ...name, values: values!.map(String) };
    case "array":
      return { kind: "list", of: typeOf(element!) };
    case "record":
      return { kind: "record", of: typeOf(valueType!) };
    case "union":
      return { kind: "union", ...name, ...text, of: options!.map(typeOf) };
    case "object":
      return { kind: "object", ...name, ...text, properties: properties(schema) };
    case "unknown":
    case "custom":
      return { kind: "any" };
    default:
      throw new Error(`no type is known for a schema of type ${type}`);
  }
}
