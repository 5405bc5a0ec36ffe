/** `types OBJECT`: what an object offers, as TypeScript that a Pulumi program can check itself against. */
import {
  type EntrypointInfo,
  type GlobalInfo,
  type MapInfo,
  type ObjectInfo,
  readObject,
  typeName,
} from "../btf";
import { EbpfError } from "../errors";
import { holdsReferences, unfitMap } from "../resources/entry-maps";
import { openSources } from "../sources";
import { keyLayoutOf } from "../sources/keys";
import type { ObjectSource } from "../sources/source";
import { type Command, indented } from "./command";
import { typeScript } from "./typescript";

export const types: Command = {
  operands: ["OBJECT"],
  async run({ operands }) {
    const request = { property: "OBJECT", path: operands[0]!, includes: [], defines: {} };
    const [source] = (await openSources([{ kind: "object", ...request }])) as [ObjectSource];
    const info = objectIn(source);
    return { well: true, text: declarations(info, source.fileName), json: info };
  },
};

function objectIn({ bytes, fileName }: ObjectSource): ObjectInfo {
  try {
    return readObject(bytes);
  } catch (error) {
    throw EbpfError.from(error).with({ property: fileName });
  }
}

export function declarations(info: ObjectInfo, fileName: string): string {
  const maps = Object.values(info.maps).filter(({ internal }) => internal !== true);
  return [
    `// Types of ${fileName}, license ${JSON.stringify(info.license)}`,
    ...(maps.some(isPerCpu) ? [perCpu] : []),
    section(
      "Entrypoints by name, with the program's type.",
      "Entrypoints",
      Object.values(info.entrypoints).map((entrypoint) => ({
        comment: `SEC(${JSON.stringify(entrypoint.section)})${attachedAs(entrypoint)}`,
        text: `${entrypoint.name}: ${JSON.stringify(entrypoint.programType)};`,
      })),
    ),
    section(
      "Rows of the maps, as MapEntries takes them.",
      "Maps",
      maps.map((map) => ({ comment: shape(map), text: `${map.name}: ${rowOf(map)};` })),
    ),
    section(
      "Global variables, as Program takes them.",
      "Globals",
      Object.values(info.globals).map((global) => ({
        comment: `${global.section}, ${typeName(global.type)}`,
        text: `${property(global)}?: ${typeScript(global.type)};`,
      })),
    ),
  ].join("\n\n");
}

const perCpu = `/** One value for all CPUs, or one for each. */
export type PerCpu<T> = T | { perCpu: T[] };`;

function isPerCpu({ type }: MapInfo): boolean {
  return type.includes("percpu");
}

interface Member {
  comment: string;
  text: string;
}

function section(comment: string, name: string, members: readonly Member[]): string {
  const body = members
    .map((member) => `/** ${member.comment.replaceAll("*/", "* /")} */\n${member.text}`)
    .join("\n");
  return `/** ${comment} */\nexport interface ${name} {${members.length === 0 ? "" : `\n${indented(body)}\n`}}`;
}

function attachedAs({ attachType, sleepable }: EntrypointInfo): string {
  return `${attachType === undefined ? "" : `, ${attachType}`}${sleepable ? ", sleepable" : ""}`;
}

/** `lru_hash of 1024: struct flow (16 bytes) → u64 (8 bytes)` */
function shape({ type, maxEntries, keySize, valueSize, key, value, inner }: MapInfo): string {
  const part = (size: number, layout: MapInfo["key"]): string =>
    layout === undefined ? `${size} bytes` : `${typeName(layout)} (${size} bytes)`;
  const count = maxEntries === 0 ? "" : ` of ${maxEntries}`;
  if (keySize === 0 && valueSize === 0) return `${type}${count}`;
  const held = inner === undefined ? part(valueSize, value) : `a map: ${shape(inner)}`;
  return `${type}${count}: ${keySize === 0 ? "" : `${part(keySize, key)} → `}${held}`;
}

/** `never`: it takes no rows from outside. */
function rowOf(map: MapInfo): string {
  const { name, type, keySize, valueSize, key, value } = map;
  if (unfitMap({ map: name, type }, false).length > 0) return "never";
  const keyLayout = keyLayoutOf({ mapType: type, keySize, ...(key === undefined ? {} : { keyLayout: key }) });
  const one = typeScript(value ?? { kind: "bytes", size: valueSize });
  const held = holdsReferences(type)
    ? `unknown; // ${type === "prog_array" ? "an entrypoint" : "a map"} of a resource`
    : `${isPerCpu(map) ? `PerCpu<${one}>` : one};`;
  return `{\n${indented(`key: ${typeScript(keyLayout)};\nvalue: ${held}`)}\n}`;
}

/** Names of C need no quotes, but for what a compiler made up (`counter.0`). */
function property({ name }: GlobalInfo): string {
  return /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name);
}
