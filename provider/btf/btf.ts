/** Parser of raw BTF (the ELF section `.BTF`). Format: Documentation/bpf/btf.rst of the kernel. */
import { ByteView, damaged } from "./byte-view";

/** By number, `BTF_KIND_*` of uapi/linux/btf.h in lower case. */
const kinds = [
  "void",
  "int",
  "ptr",
  "array",
  "struct",
  "union",
  "enum",
  "fwd",
  "typedef",
  "volatile",
  "const",
  "restrict",
  "func",
  "func_proto",
  "var",
  "datasec",
  "float",
  "decl_tag",
  "type_tag",
  "enum64",
] as const;

export interface BtfMember {
  name: string;
  type: number;
  offsetBits: number;
  /** Width of a bit-field; absent for an ordinary member. */
  bits?: number;
}

export type BtfType =
  | { kind: "void" }
  | { kind: "int"; name: string; size: number; bits: number; signed: boolean; char: boolean; bool: boolean }
  | { kind: "float"; name: string; size: number }
  | { kind: "ptr"; type: number }
  | { kind: "typedef" | "type_tag"; name: string; type: number }
  | { kind: "volatile" | "const" | "restrict"; type: number }
  | { kind: "array"; type: number; count: number }
  | { kind: "struct" | "union"; name: string; size: number; members: BtfMember[] }
  | {
      kind: "enum" | "enum64";
      name: string;
      size: number;
      signed: boolean;
      values: { name: string; value: bigint }[];
    }
  | { kind: "fwd"; name: string; union: boolean }
  | { kind: "func"; name: string; type: number; linkage: number }
  | { kind: "func_proto"; type: number; parameters: { name: string; type: number }[] }
  | { kind: "var"; name: string; type: number; linkage: "static" | "global" | "extern" }
  | {
      kind: "datasec";
      name: string;
      size: number;
      variables: { type: number; offset: number; size: number }[];
    }
  | { kind: "decl_tag"; name: string; type: number; component: number };

/** `types[0]` is void; the index is the type id. */
export interface Btf {
  types: BtfType[];
}

const MAGIC = 0xeb9f;

/** Fails with EbpfError `invalid` for damage, for big-endian BTF and for kinds newer than BTF_KIND_ENUM64. */
export function readBtf(bytes: Uint8Array): Btf {
  const view = new ByteView(bytes, "BTF");
  if (view.u16(0) !== MAGIC) {
    throw damaged(`read BTF: ${view.u16(0) === 0x9feb ? "it is big-endian" : "its magic number is wrong"}`);
  }
  if (view.u8(2) !== 1) throw damaged(`read BTF: version ${view.u8(2)} is unknown`);
  const header = view.u32(4);
  const types = view.slice(header + view.u32(8), view.u32(12), "the BTF types");
  const strings = view.slice(header + view.u32(16), view.u32(20), "the BTF strings");
  const result: BtfType[] = [{ kind: "void" }];
  for (let at = 0; at < types.length;) {
    const { type, end } = readType(types, strings, at);
    result.push(type);
    at = end;
  }
  return { types: result };
}

function readType(view: ByteView, strings: ByteView, at: number): { type: BtfType; end: number } {
  const name = strings.text(view.u32(at));
  const info = view.u32(at + 4);
  const sizeOrType = view.u32(at + 8);
  const count = info & 0xffff;
  const flag = info >>> 31 === 1;
  const kind = kinds[(info >>> 24) & 0x1f];
  const body = at + 12;
  const entries = <T>(size: number, read: (at: number) => T): T[] => {
    view.slice(body, count * size);
    return Array.from({ length: count }, (_, index) => read(body + index * size));
  };
  const done = (type: BtfType, extra = 0) => ({ type, end: body + extra });
  const text = (offset: number) => strings.text(view.u32(offset));

  switch (kind) {
    case "int": {
      const data = view.u32(body);
      const encoding = (data >>> 24) & 15;
      return done(
        {
          kind,
          name,
          size: sizeOrType,
          bits: data & 0xff,
          signed: (encoding & 1) !== 0,
          // clang calls it `char` by name only; gcc and pahole set BTF_INT_CHAR
          char: (encoding & 2) !== 0 || name === "char",
          bool: (encoding & 4) !== 0,
        },
        4,
      );
    }
    case "float":
      return done({ kind, name, size: sizeOrType });
    case "ptr":
    case "volatile":
    case "const":
    case "restrict":
      return done({ kind, type: sizeOrType });
    case "typedef":
    case "type_tag":
      return done({ kind, name, type: sizeOrType });
    case "array":
      return done({ kind, type: view.u32(body), count: view.u32(body + 8) }, 12);
    case "struct":
    case "union": {
      const members = entries(12, (offset): BtfMember => {
        const position = view.u32(offset + 8);
        const bits = flag ? position >>> 24 : 0;
        return {
          name: text(offset),
          type: view.u32(offset + 4),
          offsetBits: flag ? position & 0xffffff : position,
          ...(bits > 0 ? { bits } : {}),
        };
      });
      return done({ kind, name, size: sizeOrType, members }, count * 12);
    }
    case "enum": {
      const values = entries(8, (offset) => ({
        name: text(offset),
        value: BigInt(flag ? view.i32(offset + 4) : view.u32(offset + 4)),
      }));
      return done({ kind, name, size: sizeOrType, ...enumSign(values, flag, sizeOrType) }, count * 8);
    }
    case "enum64": {
      const values = entries(12, (offset) => ({
        name: text(offset),
        value: flag ? view.i64(offset + 4) : view.u64(offset + 4),
      }));
      return done({ kind, name, size: sizeOrType, signed: flag, values }, count * 12);
    }
    case "fwd":
      return done({ kind, name, union: flag });
    case "func":
      return done({ kind, name, type: sizeOrType, linkage: count });
    case "func_proto": {
      const parameters = entries(8, (offset) => ({ name: text(offset), type: view.u32(offset + 4) }));
      return done({ kind, type: sizeOrType, parameters }, count * 8);
    }
    case "var": {
      const linkage = (["static", "global", "extern"] as const)[view.u32(body)] ?? "extern";
      return done({ kind, name, type: sizeOrType, linkage }, 4);
    }
    case "datasec": {
      const variables = entries(12, (offset) => ({
        type: view.u32(offset),
        offset: view.u32(offset + 4),
        size: view.u32(offset + 8),
      }));
      return done({ kind, name, size: sizeOrType, variables }, count * 12);
    }
    case "decl_tag":
      return done({ kind, name, type: sizeOrType, component: view.i32(body) }, 4);
    default:
      throw damaged(
        `read BTF: kind ${(info >>> 24) & 0x1f} at byte ${at} is unknown`,
        "compile for an older kernel, or use a newer pulumi-ebpf",
      );
  }
}

/**
 * clang before 16 wrote no sign flag: there, a 4-byte enum with a value that is negative as an int is taken as signed,
 * as bpftool and pahole do.
 */
function enumSign(values: { name: string; value: bigint }[], flag: boolean, size: number) {
  const signed = flag || (size === 4 && values.some(({ value }) => value >= 0x8000_0000n));
  return {
    signed,
    values: signed ? values.map(({ name, value }) => ({ name, value: BigInt.asIntN(32, value) })) : values,
  };
}

/** The type behind typedefs, tags and qualifiers, with the names of the typedefs and type tags passed. */
export function resolve(
  btf: Btf,
  id: number,
): { type: BtfType; id: number; typedefs: string[]; tags: string[] } {
  const typedefs: string[] = [];
  const tags: string[] = [];
  for (let at = id, steps = 0; steps < 64; steps++) {
    const type = typeOf(btf, at);
    switch (type.kind) {
      case "typedef":
        typedefs.push(type.name);
        break;
      case "type_tag":
        tags.push(type.name);
        break;
      case "const":
      case "volatile":
      case "restrict":
        break;
      default:
        return { type, id: at, typedefs, tags };
    }
    at = type.type;
  }
  throw damaged(`read BTF: type ${id} refers to itself`);
}

export function typeOf(btf: Btf, id: number): BtfType {
  const type = btf.types[id];
  if (type === undefined) throw damaged(`read BTF: there is no type ${id}`);
  return type;
}
