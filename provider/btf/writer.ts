/**
 * Raw BTF for the key and the value of a declared map, so that `bpftool map dump` and `pulumi-ebpf inspect` show typed
 * entries. Only kinds that Linux 5.2 knows: what is newer (FLOAT, ENUM64) is written as bytes or integers of its size.
 */
import { EbpfError } from "../errors";
import {
  type EnumLayout,
  type IntLayout,
  isByteArray,
  kernelField,
  type StructLayout,
  type TypeLayout,
} from "./layout";

export interface WrittenBtf {
  /** For BPF_BTF_LOAD, or `bpftool btf dump file`. */
  raw: Buffer;
  /** 0 when there is no key or value. */
  keyTypeId: number;
  valueTypeId: number;
}

/** Fails with EbpfError `unsupported` for values with kptrs, whose types only the object's own BTF has. */
export function writeBtf(types: { key?: TypeLayout; value?: TypeLayout }): WrittenBtf {
  const writer = new Writer();
  const keyTypeId = types.key === undefined ? 0 : writer.add(types.key);
  const valueTypeId = types.value === undefined ? 0 : writer.add(types.value);
  return { raw: writer.finish(), keyTypeId, valueTypeId };
}

/** Map types whose key and value the kernel accepts BTF for; the others fail with ENOTSUPP (libbpf 1.7, `bpf_object__create_map`). */
export function takesBtf(mapType: string): boolean {
  return !withoutBtf.includes(mapType);
}

const withoutBtf = [
  "perf_event_array",
  "cgroup_array",
  "stack_trace",
  "array_of_maps",
  "hash_of_maps",
  "devmap",
  "devmap_hash",
  "cpumap",
  "xskmap",
  "sockmap",
  "sockhash",
  "queue",
  "stack",
  "arena",
  "prog_array",
  "ringbuf",
  "user_ringbuf",
  "reuseport_sockarray",
];

const HEADER_SIZE = 24;
const KIND = { int: 1, ptr: 2, array: 3, struct: 4, union: 5, enum: 6, typedef: 8 } as const;
const SIGNED = 1;
const BOOL = 4;

/** By size; the names that clang gives on x86-64 and arm64. */
const integerNames: Record<number, [signed: string, unsigned: string]> = {
  1: ["signed char", "unsigned char"],
  2: ["short", "unsigned short"],
  4: ["int", "unsigned int"],
  8: ["long long", "unsigned long long"],
  16: ["__int128", "unsigned __int128"],
};

class Writer {
  private readonly types: Buffer[] = [];
  private readonly strings: string[] = [""];
  private stringSize = 1;
  private readonly known = new Map<string, number>();

  /** The id of the layout's type; equal layouts share one. */
  add(layout: TypeLayout): number {
    const text = JSON.stringify(layout);
    const known = this.known.get(text);
    if (known !== undefined) return known;
    const id = this.write(layout);
    this.known.set(text, id);
    return id;
  }

  finish(): Buffer {
    const types = Buffer.concat(this.types);
    const strings = Buffer.from(`${this.strings.join("\0")}\0`, "latin1");
    const header = Buffer.alloc(HEADER_SIZE);
    header.writeUInt16LE(0xeb9f, 0);
    header.writeUInt8(1, 2);
    header.writeUInt32LE(HEADER_SIZE, 4);
    header.writeUInt32LE(types.length, 12);
    header.writeUInt32LE(types.length, 16);
    header.writeUInt32LE(strings.length, 20);
    return Buffer.concat([header, types, strings]);
  }

  private write(layout: TypeLayout): number {
    switch (layout.kind) {
      case "int":
        return this.integer(layout);
      case "enum":
        return layout.size === 8 ? this.plainInteger(8, layout.signed) : this.enum(layout);
      case "float":
      case "bytes":
        return this.array(this.plainInteger(1, false), layout.size);
      case "pointer":
        if (kernelField(layout) !== undefined) {
          throw new EbpfError(
            "unsupported",
            "write BTF: a kptr needs the kernel type that it points to",
            { feature: "kptr in a declared type" },
            { remedy: "define the map in an object" },
          );
        }
        return this.type(KIND.ptr, "", 0, 0);
      case "array":
        return layout.format === "ipv6" && isByteArray(layout)
          ? this.in6Addr()
          : this.array(this.add(layout.element), layout.count);
      case "struct":
      case "union":
        return this.struct(layout);
    }
  }

  private integer(layout: IntLayout): number {
    if (layout.format !== undefined) {
      const typedef = this.plainInteger(layout.size, layout.signed);
      return layout.size === 1 ? typedef : this.type(KIND.typedef, `__be${layout.size * 8}`, 0, typedef);
    }
    if (layout.bool) return this.type(KIND.int, "_Bool", 0, layout.size, [intData(layout.size, BOOL)]);
    if (layout.char) return this.type(KIND.int, "char", 0, 1, [intData(1, SIGNED)]);
    return this.plainInteger(layout.size, layout.signed);
  }

  private plainInteger(size: number, signed: boolean): number {
    const key = `${signed ? "s" : "u"}${size}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const name = integerNames[size]?.[signed ? 0 : 1] ?? "";
    const id = this.type(KIND.int, name, 0, size, [intData(size, signed ? SIGNED : 0)]);
    this.known.set(key, id);
    return id;
  }

  private array(element: number, count: number): number {
    const index = this.plainInteger(4, false);
    return this.type(KIND.array, "", 0, 0, [element, index, count]);
  }

  private in6Addr(): number {
    const bytes = this.array(this.plainInteger(1, false), 16);
    return this.type(KIND.struct, "in6_addr", 1, 16, [this.string("u6_addr8"), bytes, 0]);
  }

  private enum(layout: EnumLayout): number {
    const values = Object.entries(layout.values).map(([name, value]) => [
      this.string(name),
      Number(value) >>> 0,
    ]);
    return this.type(KIND.enum, layout.name ?? "", values.length, layout.size, values.flat());
  }

  private struct(layout: StructLayout): number {
    // kind_flag: the upper byte of a member's offset is then the width of a bit-field
    const flag = layout.members.some(({ bits }) => bits !== undefined);
    const members = layout.members.map(({ name, offsetBits, bits = 0, type }) => [
      this.string(name),
      this.add(type),
      flag ? ((bits << 24) | offsetBits) >>> 0 : offsetBits,
    ]);
    const kind = (flag ? 0x80 : 0) | KIND[layout.kind];
    return this.type(kind, layout.name ?? "", members.length, layout.size, members.flat());
  }

  private type(kind: number, name: string, count: number, sizeOrType: number, more: number[] = []): number {
    const words = [this.string(name), ((kind << 24) | count) >>> 0, sizeOrType, ...more];
    const bytes = Buffer.alloc(words.length * 4);
    words.forEach((word, index) => bytes.writeUInt32LE(word, index * 4));
    this.types.push(bytes);
    return this.types.length;
  }

  /** Names that the kernel would refuse (such as `.bss`) are left out. */
  private string(name: string): number {
    if (!/^([A-Za-z_]\w*|[a-z]+( [a-z_0-9]+)*)$/.test(name)) return 0;
    const offset = this.stringSize;
    this.strings.push(name);
    this.stringSize += name.length + 1;
    return offset;
  }
}

function intData(size: number, encoding: number): number {
  return (encoding << 24) | (size * 8);
}
