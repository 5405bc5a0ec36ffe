/**
 * Types as users declare them, e.g. for `key` and `value` of ebpf.Map, laid out as clang lays out the same C struct.
 *
 * | text | C |
 * | --- | --- |
 * | `u8` `u16` `u32` `u64`, `s8` … `s64` | integers in host byte order |
 * | `be16` `be32` `be64` | `__be16` …: network byte order |
 * | `bool`, `char`, `f32`, `f64` | `bool`, `char`, `float`, `double` |
 * | `ipv4` | `__be32`, written as `192.0.2.1` |
 * | `ipv6` | `struct in6_addr` (16 bytes, aligned to 4) |
 * | `mac` | `__u8[6]`, written as `02:00:00:00:00:01` |
 * | `cidr4`, `cidr6` | key of an LPM trie: `__u32` prefix length, address; written as `203.0.113.0/24` |
 * | `bytes:16` | `__u8[16]`, written as `0x…` |
 * | `text:16` | `char[16]`, written as text |
 * | `u8[6]`, `u32[2][3]`, or `["u8", 6]` | arrays |
 * | `{ packets: "u64", bytes: "u64" }` | struct, natural alignment, members in this order |
 * | `{ enum: { PASS: 0, DROP: 1 }, size: 4 }` | enum; size 1, 2, 4 (default) or 8 |
 * | `{ union: { v4: "ipv4", v6: "ipv6" } }` | union |
 *
 * `enum` and `union` are words of C, so no member can have these names. The order of a struct's members is the order of
 * the object's keys. What travels through the Pulumi engine loses that order: send `typeText(declared)`, which
 * `parseType` reads as well: `{ packets: u64, bytes: u64 }`, `enum:1 { PASS = 0, DROP = 1 }`, `union { v4: ipv4, v6: ipv6 }`.
 */
import { invalid, type Problem } from "../errors";
import { integerRange, parseInteger } from "./integers";
import type { MemberLayout, TypeLayout } from "./layout";
import { type Aligned, simpleType } from "./simple-types";
import { parseTypeText } from "./type-text";

export type DeclaredType =
  | string
  | readonly [element: DeclaredType, count: number]
  | { readonly enum: Readonly<Record<string, number | string>>; readonly size?: number }
  | { readonly union: Readonly<Record<string, DeclaredType>> }
  | { readonly [member: string]: DeclaredType };

/**
 * The layout of a declared type. `path` is what problems are named by.
 * Fails with EbpfError `invalid` that lists every problem.
 */
export function parseType(declared: DeclaredType, path = "type"): TypeLayout {
  const problems: Problem[] = [];
  const { layout } = new Builder(problems).build(declared, path, 0);
  if (problems.length > 0) throw invalid(`read the type ${path}`, problems);
  return layout;
}

const MAX_DEPTH = 16;
/** Largest value that the kernel takes: KMALLOC_MAX_SIZE of most maps is 4 MiB; more is a slip of the keyboard. */
const MAX_SIZE = 1 << 26;
const nothing: Aligned = { layout: { kind: "bytes", size: 0 }, alignment: 1 };

class Builder {
  constructor(private readonly problems: Problem[]) {}

  build(declared: unknown, path: string, depth: number): Aligned {
    if (depth > MAX_DEPTH) return this.fail(path, `types nest at most ${MAX_DEPTH} deep`);
    if (typeof declared === "string") return this.text(declared, path, depth);
    if (Array.isArray(declared)) {
      if (declared.length !== 2) return this.fail(path, 'an array is [type, count], e.g. ["u8", 6]');
      return this.array(this.build(declared[0], `${path}[0]`, depth + 1), declared[1], path);
    }
    if (declared === null || typeof declared !== "object") {
      return this.fail(
        path,
        `expected a type such as "u32" or { packets: "u64" }, got ${JSON.stringify(declared)}`,
      );
    }
    if (Object.hasOwn(declared, "enum"))
      return this.enum(declared as { enum: unknown; size?: unknown }, path);
    if (Object.hasOwn(declared, "union")) return this.members("union", Object(declared).union, path, depth);
    return this.members("struct", declared, path, depth);
  }

  private fail(property: string, reason: string): Aligned {
    this.problems.push({ property, reason });
    return nothing;
  }

  private text(text: string, path: string, depth: number): Aligned {
    const simple = simpleType(text.trim());
    if (simple !== undefined) return simple;
    const parsed = parseTypeText(text);
    if (typeof parsed === "string") return this.fail(path, parsed);
    return this.build(parsed.type, path, depth + 1);
  }

  private array({ layout, alignment }: Aligned, count: unknown, path: string): Aligned {
    if (typeof count !== "number" || !Number.isInteger(count) || count < 1) {
      return this.fail(
        path,
        `the count of an array is a whole number from 1 on, got ${JSON.stringify(count)}`,
      );
    }
    const size = layout.size * count;
    if (size > MAX_SIZE) return this.fail(path, `the type has more than ${MAX_SIZE} bytes`);
    return { layout: { kind: "array", size, count, element: layout }, alignment };
  }

  private enum(declared: { enum: unknown; size?: unknown }, path: string): Aligned {
    const { size = 4, enum: names, ...more } = declared;
    if (typeof size !== "number" || ![1, 2, 4, 8].includes(size)) {
      return this.fail(`${path}.size`, "the size of an enum is 1, 2, 4 or 8");
    }
    for (const name of Object.keys(more)) this.fail(`${path}.${name}`, "an enum has enum and size only");
    if (
      names === null ||
      typeof names !== "object" ||
      Array.isArray(names) ||
      Object.keys(names).length === 0
    ) {
      return this.fail(path, "an enum is { enum: { NAME: number } } with at least one name");
    }
    const numbers = Object.entries(names).map(([name, number]) => [name, parseInteger(number)] as const);
    const signed = numbers.some(([, number]) => number !== undefined && number < 0n);
    const [min, max] = integerRange(size * 8, signed);
    for (const [name, number] of numbers) {
      this.checkName(name, `${path}.${name}`);
      if (number === undefined || number < min || number > max) {
        this.fail(`${path}.${name}`, `expected a whole number of ${size} bytes`);
      }
    }
    const values = Object.fromEntries(
      numbers.map(([name, number = 0n]) => [
        name,
        Number.isSafeInteger(Number(number)) ? Number(number) : `${number}`,
      ]),
    );
    return { layout: { kind: "enum", size, signed, values }, alignment: size };
  }

  private members(kind: "struct" | "union", declared: unknown, path: string, depth: number): Aligned {
    if (declared === null || typeof declared !== "object" || Array.isArray(declared)) {
      return this.fail(path, `a ${kind} is an object of members, e.g. { packets: "u64" }`);
    }
    const entries = Object.entries(declared);
    if (entries.length === 0) return this.fail(path, `a ${kind} has at least one member`);
    const members: MemberLayout[] = [];
    let size = 0;
    let alignment = 1;
    for (const [name, type] of entries) {
      this.checkName(name, `${path}.${name}`);
      const member = this.build(type, `${path}.${name}`, depth + 1);
      const offset = kind === "union" ? 0 : roundUp(size, member.alignment);
      members.push({ name, offsetBits: offset * 8, type: member.layout });
      size = Math.max(size, offset + member.layout.size);
      alignment = Math.max(alignment, member.alignment);
    }
    if (size > MAX_SIZE) return this.fail(path, `the type has more than ${MAX_SIZE} bytes`);
    return { layout: { kind, size: roundUp(size, alignment), members }, alignment };
  }

  private checkName(name: string, path: string): void {
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name))
      this.fail(path, `${JSON.stringify(name)} is no name in C`);
  }
}

function roundUp(size: number, alignment: number): number {
  return Math.ceil(size / alignment) * alignment;
}
