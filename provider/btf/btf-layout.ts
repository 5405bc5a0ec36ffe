/** From a BTF type to its TypeLayout. */
import { type Btf, type BtfMember, type BtfType, resolve } from "./btf";
import { damaged } from "./byte-view";
import type { ArrayLayout, IntLayout, MemberLayout, StructLayout, TypeLayout } from "./layout";

// A value is a few hundred fields; damaged BTF can describe an endless tree.
const MAX_DEPTH = 32;
const MAX_NODES = 16_384;
const MAX_SIZE = 2 ** 32;

const networkOrder = ["__be16", "__be32", "__be64"];
const addressStructs: Record<string, "ipv4" | "ipv6"> = { in_addr: "ipv4", in6_addr: "ipv6" };

/**
 * The layout of BTF type `id`. Types without a size (functions, forward declarations) and trees too deep or too
 * wide to be a map's value become `bytes`. Fails with EbpfError `invalid` for BTF that contradicts itself.
 */
export function layoutOf(btf: Btf, id: number): TypeLayout {
  const budget = { nodes: MAX_NODES };
  return build(btf, id, MAX_DEPTH, budget);
}

/** Bytes of BTF type `id`; 0 where it has no size. */
export function sizeOf(btf: Btf, id: number, depth = MAX_DEPTH): number {
  const { type } = resolve(btf, id);
  switch (type.kind) {
    case "int":
    case "float":
    case "enum":
    case "enum64":
    case "struct":
    case "union":
    case "datasec":
      return type.size;
    case "ptr":
      return 8;
    case "array": {
      if (depth === 0) throw damaged(`read BTF: array type ${id} is nested too deeply`);
      const size = type.count * sizeOf(btf, type.type, depth - 1);
      if (size > MAX_SIZE) throw damaged(`read BTF: array type ${id} is larger than 4 GiB`);
      return size;
    }
    default:
      return 0;
  }
}

function build(btf: Btf, id: number, depth: number, budget: { nodes: number }): TypeLayout {
  const { type, typedefs } = resolve(btf, id);
  if (depth === 0 || budget.nodes-- <= 0) return { kind: "bytes", size: sizeOf(btf, id) };
  switch (type.kind) {
    case "int":
      return intLayout(type, typedefs);
    case "float":
      return { kind: "float", size: type.size };
    case "enum":
    case "enum64":
      return {
        kind: "enum",
        size: type.size,
        signed: type.signed,
        ...named(type.name, typedefs),
        values: Object.fromEntries(type.values.map(({ name, value }) => [name, jsonInteger(value)])),
      };
    case "struct":
    case "union":
      return structLayout(btf, type, typedefs, depth, budget);
    case "array": {
      const size = sizeOf(btf, id);
      return { kind: "array", size, count: type.count, element: build(btf, type.type, depth - 1, budget) };
    }
    case "ptr": {
      const [tag] = resolve(btf, type.type).tags;
      return { kind: "pointer", size: 8, ...(tag === undefined ? {} : { tag }) };
    }
    default:
      return { kind: "bytes", size: sizeOf(btf, id) };
  }
}

function intLayout(type: BtfType & { kind: "int" }, typedefs: string[]): TypeLayout {
  if (![1, 2, 4, 8, 16].includes(type.size)) return { kind: "bytes", size: type.size };
  const layout: IntLayout = { kind: "int", size: type.size, signed: type.signed };
  if (type.bool) layout.bool = true;
  if (type.char && type.size === 1) layout.char = true;
  if (typedefs.some((name) => networkOrder.includes(name))) layout.format = "be";
  return layout;
}

function structLayout(
  btf: Btf,
  type: BtfType & { kind: "struct" | "union" },
  typedefs: string[],
  depth: number,
  budget: { nodes: number },
): StructLayout {
  const format = addressStructs[type.name];
  return {
    kind: type.kind,
    size: type.size,
    ...named(type.name, typedefs),
    members: type.members.map((member) => memberLayout(btf, type, member, depth, budget)),
    ...(format !== undefined && type.size === (format === "ipv4" ? 4 : 16) ? { format } : {}),
  };
}

function memberLayout(
  btf: Btf,
  parent: BtfType & { kind: "struct" | "union" },
  member: BtfMember,
  depth: number,
  budget: { nodes: number },
): MemberLayout {
  const { name, offsetBits } = member;
  const type = build(btf, member.type, depth - 1, budget);
  const bits = member.bits ?? legacyBits(btf, member.type);
  const wide = bits === undefined ? type.size * 8 : bits;
  const wrongBits = bits !== undefined && (!["int", "enum"].includes(type.kind) || bits > type.size * 8);
  if (offsetBits + wide > parent.size * 8 || wrongBits || (bits === undefined && offsetBits % 8 !== 0)) {
    throw damaged(
      `read BTF: member ${name} does not fit ${parent.kind} ${parent.name} of ${parent.size} bytes`,
    );
  }
  return { name, offsetBits, ...(bits === undefined ? {} : { bits }), type };
}

/** Before kind_flag a bit-field was an int type of fewer bits than its bytes hold. */
function legacyBits(btf: Btf, id: number): number | undefined {
  const { type } = resolve(btf, id);
  return type.kind === "int" && !type.bool && type.bits > 0 && type.bits < type.size * 8
    ? type.bits
    : undefined;
}

/** The tag, else the typedef next to the type. */
function named(tag: string, typedefs: string[]): { name?: string } {
  const name = tag === "" ? typedefs.at(-1) : tag;
  return name === undefined ? {} : { name };
}

function jsonInteger(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}

/**
 * The key of an LPM trie, marked so that CIDR text encodes the whole of it. Any other key comes back as it is.
 * The address of an LPM key is matched from its first byte on, so a plain u32 there holds network byte order.
 */
export function lpmKeyLayout(key: TypeLayout): TypeLayout {
  if (key.kind !== "struct") return key;
  const [prefix, ...rest] = key.members;
  if (prefix?.type.kind !== "int" || prefix.type.size !== 4 || prefix.offsetBits !== 0) return key;
  const size = key.size - 4;
  if (size !== 4 && size !== 16) return key;
  const address = size === 4 ? "ipv4" : "ipv6";
  const members = rest.map((member) =>
    member.type.size === size ? { ...member, type: asAddress(member.type, address) } : member,
  );
  return { ...key, members: [prefix, ...members], format: size === 4 ? "cidr4" : "cidr6" };
}

function asAddress(type: TypeLayout, format: "ipv4" | "ipv6"): TypeLayout {
  if (type.kind === "int") return { ...type, format: "ipv4" };
  if (type.kind === "array" && type.element.kind === "int") return { ...type, format } satisfies ArrayLayout;
  return type;
}
