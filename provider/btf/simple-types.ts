/** Declared types of one word, such as `u32` and `mac`. The table of them is in declared.ts. */
import type { StructLayout, TypeLayout } from "./layout";

/** `alignment` in bytes, as clang gives the same C type. */
export interface Aligned {
  layout: TypeLayout;
  alignment: number;
}

const octet: TypeLayout = { kind: "int", size: 1, signed: false };

/** A type of one word. */
export function simpleType(text: string): Aligned | undefined {
  const integer = /^(u|s|be)(8|16|32|64)$/.exec(text);
  if (integer !== null && text !== "be8") {
    const size = Number(integer[2]) / 8;
    const order = integer[1] === "be" ? { format: "be" as const } : {};
    return { layout: { kind: "int", size, signed: integer[1] === "s", ...order }, alignment: size };
  }
  const sized = /^(bytes|text):([1-9]\d{0,7})$/.exec(text);
  if (sized !== null) {
    const count = Number(sized[2]);
    const isBytes = sized[1] === "bytes";
    return {
      layout: {
        kind: "array",
        size: count,
        count,
        element: isBytes ? octet : { kind: "int", size: 1, signed: true, char: true },
        format: isBytes ? "hex" : "text",
      },
      alignment: 1,
    };
  }
  switch (text) {
    case "bool":
      return { layout: { kind: "int", size: 1, signed: false, bool: true }, alignment: 1 };
    case "char":
      return { layout: { kind: "int", size: 1, signed: true, char: true }, alignment: 1 };
    case "f32":
      return { layout: { kind: "float", size: 4 }, alignment: 4 };
    case "f64":
      return { layout: { kind: "float", size: 8 }, alignment: 8 };
    case "ipv4":
      return { layout: { kind: "int", size: 4, signed: false, format: "ipv4" }, alignment: 4 };
    case "ipv6":
      return { layout: { kind: "array", size: 16, count: 16, element: octet, format: "ipv6" }, alignment: 4 };
    case "mac":
      return { layout: { kind: "array", size: 6, count: 6, element: octet, format: "mac" }, alignment: 1 };
    case "cidr4":
      return { layout: cidrLayout(4), alignment: 4 };
    case "cidr6":
      return { layout: cidrLayout(16), alignment: 4 };
    default:
      return undefined;
  }
}

function cidrLayout(size: 4 | 16): StructLayout {
  const address = simpleType(size === 4 ? "ipv4" : "ipv6") as Aligned;
  return {
    kind: "struct",
    size: size + 4,
    members: [
      { name: "prefixlen", offsetBits: 0, type: { kind: "int", size: 4, signed: false } },
      { name: "addr", offsetBits: 32, type: address.layout },
    ],
    format: size === 4 ? "cidr4" : "cidr6",
  };
}

/** The words that `simpleType` knows, for messages. */
export const simpleTypes =
  "u8 … u64, s8 … s64, be16, be32, be64, bool, char, f32, f64, ipv4, ipv6, mac, cidr4, cidr6, bytes:N, text:N";
