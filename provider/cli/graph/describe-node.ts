/** What stands in a resource's box: its name and a few facts of its outputs. Any of them may be a secret, or missing. */
import { hookNames } from "../../resources/attachments";
import type { Properties } from "./model";

export interface NodeText {
  name: string;
  /** One line each. */
  facts: string[];
}

export interface ResourceText extends NodeText {
  /** Of the maps that a Program defines. */
  maps: NodeText[];
}

type Facts = (outputs: Properties) => string[];

const facts: Record<string, Facts> = {
  Program(outputs) {
    const { fileName, entrypoints = {} } = objectOf(outputs);
    const loaded = record(outputs["entrypoints"]);
    return [
      ...(typeof fileName === "string" ? [fileName] : []),
      ...Object.keys(record(entrypoints)).map((name) => {
        const type = record(record(entrypoints)[name])["type"];
        const instructions = record(loaded[name])["verifiedInstructions"];
        const cost = Number(instructions) > 0 ? `, ${count(instructions)} instructions` : "";
        return `${name}: ${String(type)}${cost}`;
      }),
    ];
  },
  Map: ({ shape }) => [shapeText(record(shape))],
  MapEntries({ rows, content, mode }) {
    const number = record(rows)["count"] ?? record(content)["count"];
    return [`${plural(number, "row")}, ${typeof mode === "string" ? mode : "own"}`];
  },
  AddressSet: ({ content }) => [plural(record(content)["count"], "network")],
  NetworkPolicy({ interfaces, mode, content }) {
    const where = Array.isArray(interfaces) ? [interfaces.map(String).join(", ")] : [];
    const rules = ["ingress", "egress"].flatMap((direction) => {
      const named = record(content)[direction];
      return named === undefined ? [] : [`${direction}: ${plural(record(named)["count"], "rule")}`];
    });
    return [...where, ...rules, ...(mode === "audit" ? ["audit"] : [])];
  },
  Attachment(outputs) {
    const hook = hookNames.find((name) => outputs[name] !== undefined);
    const where = hook === undefined ? "" : whereText(record(outputs[hook]));
    const mode = record(record(outputs["link"])["facts"])["mode"];
    const found = mode === undefined ? [] : [`${String(mode)} mode`];
    return [...(hook === undefined ? [] : [`${hook} ${where}`.trimEnd()]), ...found];
  },
};

export function describeNode(kind: string, name: string, outputs: Properties): ResourceText {
  return { name, facts: facts[kind]?.(outputs) ?? [], maps: kind === "Program" ? ownMaps(outputs) : [] };
}

/** Without those that other resources bring. */
function ownMaps(outputs: Properties): NodeText[] {
  const shared = Object.keys(record(outputs["maps"]));
  return Object.entries(record(objectOf(outputs)["maps"]))
    .filter(([name]) => !shared.includes(name))
    .map(([name, shape]) => ({ name, facts: [shapeText(record(shape))] }));
}

function objectOf(outputs: Properties): Properties {
  return record(outputs["object"]);
}

function shapeText({ type, maxEntries }: Properties): string {
  const size = Number(maxEntries) > 0 ? `, ${count(maxEntries)} entries` : "";
  return `${typeof type === "string" ? type : "map"}${size}`;
}

/** `eth0 ingress`, `/sys/fs/cgroup/a connect4`, `sched/sched_switch`. */
function whereText(hook: Properties): string {
  const parts = ["netns", "interface", "path", "event", "name", "function", "direction", "type"];
  return parts.flatMap((part) => (typeof hook[part] === "string" ? [hook[part]] : [])).join(" ");
}

function record(value: unknown): Properties {
  return value !== null && typeof value === "object" ? (value as Properties) : {};
}

function count(number: unknown): string {
  return Number(number).toLocaleString("en-US");
}

function plural(number: unknown, noun: string): string {
  return number === undefined ? `${noun}s` : `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}
