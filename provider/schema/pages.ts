/**
 * docs/reference: a page for each resource and function, one for the provider and one for the types, made of the same
 * zod schemas as schema.json. Pure; the examples are given, see docs/reference/examples.
 */
import { functions } from "../functions";
import { definitions } from "../resources";
import { providerConfigSchema } from "./config";
import { code, markdownTable } from "./markdown";
import { outputs } from "./outputs";
import { type Property, propertiesOf, type Type } from "./property";
import { notInputs, resourceTexts } from "./texts";

/** Of one resource or function, as text of a program. */
export interface Example {
  ts: string;
  yaml: string;
}

const nodeText: Readonly<Record<string, string>> = {
  MapEntries:
    "In Node.js `map` takes a Map or `program.map(name)`, and the connection follows from it. Elsewhere give the " +
    "connection too, or set `ebpf:connection`.",
  Attachment:
    "In Node.js `program` takes a Program or `program.entrypoint(name)`, and the connection follows from it. Elsewhere " +
    "give the connection too, or set `ebpf:connection`.",
  NetworkPolicy: "In Node.js `addressSet` of a rule also takes an AddressSet.",
  Map: 'In Node.js `key` and `value` also take objects: `{ packets: "u64", bytes: "u64" }`.',
};

/** Texts by file name. `example` is asked for each name. */
export function referencePages(example: (name: string) => Example): Record<string, string> {
  const types = new TypePage();
  const pages: Record<string, string> = {
    "provider.md": page("Provider", resourceTexts["Provider"]!, example("Provider"), [
      section("Configuration", "As `ebpf:…` of a stack, or as arguments of an explicit provider.", [
        types.table(propertiesOf(providerConfigSchema)),
      ]),
    ]),
  };
  for (const [kind, { inputs }] of Object.entries(definitions)) {
    const given = propertiesOf(inputs).filter(({ name }) => !notInputs.includes(name));
    pages[fileOf(kind)] = page(kind, resourceTexts[kind]!, example(kind), [
      section("Inputs", nodeText[kind] ?? "", [types.table(given)]),
      section("Outputs", "All inputs, and:", [types.outputs(propertiesOf(outputs[kind]!))]),
      section("Import", importText(kind), []),
    ]);
  }
  for (const { name, description, inputs, outputs: answer } of Object.values(functions)) {
    pages[fileOf(name)] = page(name, description, example(name), [
      section("Arguments", "", [types.table(propertiesOf(inputs))]),
      section("Result", "", [types.outputs(propertiesOf(answer))]),
    ]);
  }
  const list = Object.keys(pages).map((file) => `- [${titleOf(pages[file]!)}](${file})`);
  return { ...pages, "types.md": types.text(), "README.md": index(list) };
}

/** `getMapEntries` is `get-map-entries.md`. */
function fileOf(name: string): string {
  return `${name.replace(/(?<=[a-z])[A-Z]/g, (letter) => `-${letter}`).toLowerCase()}.md`;
}

function titleOf(text: string): string {
  return text.slice(2, text.indexOf("\n"));
}

function page(title: string, text: string, { ts, yaml }: Example, sections: string[]): string {
  const examples = `\`\`\`ts\n${ts}\`\`\`\n\n\`\`\`yaml\n${yaml}\`\`\`\n`;
  return [`# ${title}\n`, `${text}\n`, examples, ...sections].join("\n");
}

function section(title: string, text: string, parts: string[]): string {
  return [`## ${title}\n`, ...(text === "" ? [] : [`${text}\n`]), ...parts].join("\n");
}

function importText(kind: string): string {
  const id = `[user@]host[:port]/[owner:]project/stack/${kind}/name`;
  return (
    `\`pulumi import ebpf:index:${kind} NAME ID\` in plugin mode, \`npx pulumi-ebpf import\` in dynamic mode. ` +
    `The id is \`${id}\`; \`npx pulumi-ebpf ls HOST\` lists what a host holds.`
  );
}

function index(list: string[]): string {
  const text =
    "Every resource and function, their properties and types. The names are those of Node.js, YAML and the engine; " +
    "Python writes `max_entries`, Go `MaxEntries`. See [languages](../languages.md).";
  return ["# Reference\n", `${text}\n`, ...list, "- [Types](types.md)", ""].join("\n");
}

/** Tables, and the named types met on the way. */
class TypePage {
  private readonly types = new Map<string, string>();

  table(list: Property[]): string {
    const rows = list.map((property) => {
      const { default: fallback, needed } = property;
      return [...this.cells(property), fallback === undefined ? (needed ? "needed" : "") : code(fallback)];
    });
    return markdownTable(
      ["property", "type", "default", "what"],
      rows.map(([name, type, what, given]) => [name!, type!, given!, what!]),
    );
  }

  outputs(list: Property[]): string {
    return markdownTable(
      ["property", "type", "what"],
      list.map((property) => this.cells(property)),
    );
  }

  text(): string {
    const all = [...this.types].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
    return ["# Types\n", ...all].join("\n");
  }

  private cells({ name, type, description, example, secret, replaces }: Property): string[] {
    const more = [
      ...(example === undefined ? [] : [`Example: ${code(example)}.`]),
      ...(secret ? ["A secret."] : []),
      ...(replaces ? ["A change replaces the resource; in a fleet, what is on that host."] : []),
    ];
    return [`\`${name}\``, this.typeText(type), [description, ...more].join(" ")];
  }

  private typeText(type: Type): string {
    switch (type.kind) {
      case "list":
        return `list of ${this.typeText(type.of)}`;
      case "record":
        return `${this.typeText(type.of)} by name`;
      case "union":
        return this.union(type);
      case "enum":
        return type.values.map((value) => code(value)).join(", ");
      case "object":
        return this.named(type.name!, type.description ?? "", type.properties);
      default:
        return type.kind;
    }
  }

  private union({ name, description = "", of }: Type & { kind: "union" }): string {
    const objects = of.filter((option) => option.kind === "object");
    if (name === undefined || objects.length === 0)
      return of.map((option) => this.typeText(option)).join(" or ");
    const others = of.filter((option) => option.kind !== "object").map((option) => this.typeText(option));
    const members = objects
      .flatMap(({ properties }) => properties)
      .map((member) => ({ ...member, needed: false }));
    return [...others, this.named(name, description, members)].join(" or ");
  }

  private named(name: string, description: string, properties: Property[]): string {
    if (!this.types.has(name)) {
      this.types.set(name, ""); // a type may refer to itself
      this.types.set(name, section(name, description, [this.table(properties)]));
    }
    return `[${name}](types.md#${name.toLowerCase()})`;
  }
}
