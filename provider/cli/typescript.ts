/** A C type as the TypeScript type of the JSON that stands for it; what a value may be is said in btf/encode.ts. */
import {
  isByteArray,
  isText,
  kernelField,
  type MemberLayout,
  type StructLayout,
  type TypeLayout,
  typeName,
} from "../btf";
import { cidrShape, promoted } from "../btf/members";
import { indented } from "./command";

/** An enum of more names is a list nobody reads. */
const MOST_NAMES = 32;

export function typeScript(layout: TypeLayout): string {
  switch (layout.kind) {
    case "int":
      if (layout.bool === true) return "boolean";
      // beyond 2^53 decimal text; an address as text
      return layout.size > 4 || layout.format === "ipv4" || (layout.format === "be" && layout.size === 4)
        ? "number | string"
        : "number";
    case "float":
      return "number";
    case "enum": {
      const names = Object.keys(layout.values);
      const few = names.length <= MOST_NAMES ? names.map((name) => JSON.stringify(name)) : ["string"];
      return [...few, "number"].join(" | ");
    }
    case "pointer":
      return "number | string";
    case "bytes":
      return "string | number[]";
    case "array":
      if (isText(layout) || isByteArray(layout)) return "string | number[]";
      return `${grouped(typeScript(layout.element))}[]`;
    case "struct": {
      const members = object(layout.members);
      const hasText = layout.format !== undefined || cidrShape(layout) !== undefined;
      return hasText ? `string | ${grouped(members)}` : members;
    }
    case "union":
      return choice(layout);
  }
}

/** Members of anonymous structs stand in it, those of anonymous unions as an alternative beside it. */
function object(members: readonly MemberLayout[]): string {
  const { own, choices } = parts(members);
  if (own.length === 0 && choices.length > 0) return choices.join(" & ");
  const text = own.length === 0 ? "{}" : `{\n${indented(own.join("\n"))}\n}`;
  return [text, ...choices].join(" & ");
}

function parts(members: readonly MemberLayout[]): { own: string[]; choices: string[] } {
  const own: string[] = [];
  const choices: string[] = [];
  for (const member of members) {
    const anonymous = promoted(member);
    if (anonymous?.kind === "union") choices.push(grouped(choice(anonymous)));
    else if (anonymous !== undefined) {
      const inner = parts(anonymous.members);
      own.push(...inner.own);
      choices.push(...inner.choices);
    } else if (member.name !== "" && kernelField(member.type) === undefined) {
      const bits = member.bits === undefined ? "" : `:${member.bits}`;
      own.push(`${member.name}: ${typeScript(member.type)}; // ${typeName(member.type)}${bits}`);
    }
  }
  return { own, choices };
}

/** Exactly one member is given. */
function choice(union: StructLayout): string {
  return union.members.length === 0 ? "{}" : union.members.map((member) => object([member])).join(" | ");
}

function grouped(type: string): string {
  return type.includes(" | ") || type.includes(" & ") ? `(${type})` : type;
}
