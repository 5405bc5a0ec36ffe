/**
 * schema.json: the package as Pulumi's generators, its YAML language and its registry read it, made of the same zod
 * schemas that check the inputs. Pure. `npm run generate` writes it; a test compares.
 */
import type * as z from "zod";
import { definitions } from "../resources";
import { providerConfigSchema } from "./config";
import { functions } from "../functions";
import type { ProviderFunction } from "../functions/function";
import { outputs } from "./outputs";
import { type Property, propertiesOf, type Type } from "./property";
import { notInputs, resourceTexts } from "./texts";

type Json = Record<string, unknown>;

export interface PackageInfo {
  version: string;
  description: string;
  keywords: readonly string[];
  license: string;
}

/** The named types met on the way. */
class Types {
  readonly named: Record<string, Json> = {};

  spec(type: Type, path: string): Json {
    switch (type.kind) {
      case "any":
        return { $ref: "pulumi.json#/Any" };
      case "list":
        return { type: "array", items: this.spec(type.of, path) };
      case "record":
        return { type: "object", additionalProperties: this.spec(type.of, path) };
      case "enum":
        return this.reference(type.name, path, {
          type: "string",
          enum: type.values.map((value) => ({ name: memberName(value), value })),
        });
      case "object":
        return this.object(type, path);
      case "union":
        return this.union(type, path);
      default:
        return { type: type.kind };
    }
  }

  /** Of a resource, a function, or a named type. */
  properties(list: Property[], path: string): Record<string, Json> {
    return Object.fromEntries(
      list.map(({ name, type, description, example, secret, replaces, default: fallback }) => {
        const sample = example === undefined ? "" : ` Example: \`${JSON.stringify(example)}\`.`;
        const spec = {
          ...this.spec(type, `${path}.${name}`),
          description: `${description}${sample}`,
          // the metaschema takes no others
          ...(["string", "number", "boolean"].includes(typeof fallback) ? { default: fallback } : {}),
          ...(secret ? { secret: true } : {}),
          ...(replaces ? { willReplaceOnChanges: true } : {}),
        };
        return [name, spec];
      }),
    );
  }

  private object({ name, description, properties }: Type & { kind: "object" }, path: string): Json {
    const required = needed(properties);
    return this.reference(name, path, {
      type: "object",
      ...(description === undefined ? {} : { description }),
      properties: this.properties(properties, name ?? path),
      ...(required.length === 0 ? {} : { required }),
    });
  }

  /** Objects become one type that has the members of all: no language tells them apart by their members. */
  private union({ name, description, of }: Type & { kind: "union" }, path: string): Json {
    const objects = of.filter((type): type is Type & { kind: "object" } => type.kind === "object");
    const others = of.filter(({ kind }) => kind !== "object");
    const properties = new Map<string, Property>();
    for (const property of objects.flatMap((type) => type.properties)) {
      const everywhere = objects.every((type) =>
        type.properties.some((other) => other.name === property.name && other.needed),
      );
      properties.set(property.name, { ...property, needed: everywhere });
    }
    const merged: Type[] = [
      ...others,
      ...(objects.length === 0
        ? []
        : [
            {
              kind: "object" as const,
              ...(name === undefined ? {} : { name }),
              ...(description === undefined ? {} : { description }),
              properties: [...properties.values()],
            },
          ]),
    ];
    const specs = merged.map((type) => (type.kind === "enum" ? { type: "string" } : this.spec(type, path)));
    return specs.length === 1 ? specs[0]! : { oneOf: specs };
  }

  /** A schema that asks for less of the same members, as a lookup does, is of the same type. */
  private reference(name: string | undefined, path: string, spec: Json): Json {
    if (name === undefined) throw new Error(`${path} needs a typeName`);
    const token = `ebpf:index:${name}`;
    const before = this.named[token] ?? spec;
    const members = ({ required: _required, ...rest }: Json) => JSON.stringify(rest);
    if (members(before) !== members(spec)) throw new Error(`two types are named ${name}, one is at ${path}`);
    const stricter = needs(before) >= needs(spec) ? before : spec;
    this.named[token] = stricter;
    return { $ref: `#/types/${token}` };
  }
}

export function packageSchema(info: PackageInfo): Json {
  const types = new Types();
  const config = propertiesOf(providerConfigSchema);
  const resources = Object.keys(definitions).map((kind) => [`ebpf:index:${kind}`, resource(kind, types)]);
  return {
    name: "ebpf",
    displayName: "eBPF",
    version: info.version,
    description: info.description,
    keywords: info.keywords,
    license: info.license,
    publisher: "pulumi-ebpf",
    meta: { moduleFormat: "(.*)" },
    config: { variables: types.properties(config.map(asVariable), "config") },
    provider: {
      description: resourceTexts["Provider"],
      inputProperties: types.properties(config, "Provider"),
    },
    resources: Object.fromEntries(resources),
    functions: Object.fromEntries(
      Object.values(functions).map((one) => [`ebpf:index:${one.name}`, functionSpec(one, types)]),
    ),
    types: Object.fromEntries(Object.entries(types.named).sort(([a], [b]) => (a < b ? -1 : 1))),
    language: languages,
  };
}

function resource(kind: string, types: Types): Json {
  const inputs = propertiesOf(definitions[kind]!.inputs).filter(({ name }) => !notInputs.includes(name));
  const added = propertiesOf(outputs[kind]!);
  const all = [...inputs, ...added];
  return {
    description: resourceTexts[kind],
    properties: types.properties(
      // an input that has its default is left out of the state
      all.map(({ default: _default, ...property }) => property),
      kind,
    ),
    required: needed(all),
    inputProperties: types.properties(inputs, kind),
    requiredInputs: needed(inputs),
    aliases: [{ type: `pulumi-nodejs:dynamic/ebpf:${kind}` }],
  };
}

/** A variable has no enum: the generator for Go gives its default in a package that cannot know it. */
function asVariable(property: Property): Property {
  return property.type.kind === "enum" ? { ...property, type: { kind: "string" } } : property;
}

function needs(type: Json): number {
  return (type["required"] as string[] | undefined)?.length ?? 0;
}

function functionSpec({ name, description, inputs, outputs }: ProviderFunction, types: Types): Json {
  const object = (schema: z.ZodObject) => {
    const properties = propertiesOf(schema);
    const required = needed(properties);
    return {
      type: "object",
      properties: types.properties(properties, name),
      ...(required.length === 0 ? {} : { required }),
    };
  };
  return { description, inputs: object(inputs), outputs: object(outputs) };
}

function needed(properties: Property[]): string[] {
  return properties.filter((property) => property.needed).map(({ name }) => name);
}

/** Of an enum's value: `skb/ingress` is `SkbIngress`. */
function memberName(value: string): string {
  return value
    .split(/[^A-Za-z0-9]+/)
    .map((word) => `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`)
    .join("");
}

const languages = {
  nodejs: { packageName: "pulumi-ebpf", respectSchemaVersion: true },
  python: { packageName: "pulumi_ebpf", respectSchemaVersion: true, pyproject: { enabled: true } },
  go: {
    importBasePath: "github.com/pulumi-ebpf/pulumi-ebpf/sdk/go/ebpf",
    respectSchemaVersion: true,
    generateResourceContainerTypes: true,
  },
  csharp: { respectSchemaVersion: true, namespaces: { ebpf: "Ebpf" } },
};
