/** Map definitions of an object: BTF definitions in `.maps`, legacy `struct bpf_map_def` in `maps`. */
import { type Btf, type BtfMember, type BtfType, resolve, typeOf } from "./btf";
import { layoutOf, lpmKeyLayout, sizeOf } from "./btf-layout";
import { damaged } from "./byte-view";
import type { Elf, ElfSection } from "./elf";
import type { TypeLayout } from "./layout";

/** One map of an object. Sizes in bytes, as bpf(2) takes them. */
export interface MapInfo {
  name: string;
  /** Kernel spelling without `BPF_MAP_TYPE_`, e.g. `lru_hash`. */
  type: string;
  keySize: number;
  /** Of one CPU for per-CPU maps. */
  valueSize: number;
  /** 0 where the loader chooses, as for perf_event_array (number of CPUs). */
  maxEntries: number;
  /** `map_flags` of bpf(2). */
  flags: number;
  /** `by_name`: libbpf would pin it under /sys/fs/bpf by its name. */
  pinning: "none" | "by_name";
  numaNode?: number;
  /** Decimal string. */
  mapExtra?: string;
  /** Present when the definition names a type (`__type(key, …)`). */
  key?: TypeLayout;
  value?: TypeLayout;
  /** Template of the inner maps of a map-in-map. */
  inner?: MapInfo;
  /** Slots filled in C (`.values = { [2] = &inner }`): index → map or function of the same object. */
  values?: Record<string, string>;
  /** A section of globals that libbpf turns into a map; `name` is then the section, e.g. `.rodata`. */
  internal?: true;
}

/** By number, `enum bpf_map_type` of uapi/linux/bpf.h in lower case (libbpf 1.7's spelling). */
export const mapTypes = [
  "unspec",
  "hash",
  "array",
  "prog_array",
  "perf_event_array",
  "percpu_hash",
  "percpu_array",
  "stack_trace",
  "cgroup_array",
  "lru_hash",
  "lru_percpu_hash",
  "lpm_trie",
  "array_of_maps",
  "hash_of_maps",
  "devmap",
  "sockmap",
  "cpumap",
  "xskmap",
  "sockhash",
  "cgroup_storage",
  "reuseport_sockarray",
  "percpu_cgroup_storage",
  "queue",
  "stack",
  "sk_storage",
  "devmap_hash",
  "struct_ops",
  "ringbuf",
  "inode_storage",
  "task_storage",
  "bloom_filter",
  "user_ringbuf",
  "cgrp_storage",
  "arena",
  "insn_array",
] as const;

/** The maps of section `.maps`. */
export function readMapDefinitions(elf: Elf, btf: Btf): MapInfo[] {
  const datasec = btf.types.find((type) => type.kind === "datasec" && type.name === ".maps");
  if (datasec?.kind !== "datasec") return [];
  return datasec.variables.map((variable) => {
    const type = typeOf(btf, variable.type);
    if (type.kind !== "var") throw damaged("read BTF: section .maps holds something that is no variable");
    const definition = structOf(btf, type.type, type.name);
    const map = readDefinition(btf, definition, type.name);
    const values = readValues(elf, definition, type.name);
    return values === undefined ? map : { ...map, values };
  });
}

type Struct = BtfType & { kind: "struct" | "union" };

function structOf(btf: Btf, id: number, map: string): Struct {
  const { type } = resolve(btf, id);
  if (type.kind !== "struct") throw damaged(`read map ${map}: its definition is no struct`);
  return type;
}

function readDefinition(btf: Btf, definition: Struct, name: string): MapInfo {
  const members = new Map(definition.members.map((member) => [member.name, member]));
  const number = (field: string) => Number(readNumber(btf, members.get(field), name) ?? 0n);
  const key = readType(btf, members.get("key"), name);
  const value = readType(btf, members.get("value"), name);
  const typeNumber = number("type");
  const type = mapTypes[typeNumber];
  if (type === undefined || type === "unspec") {
    throw damaged(`read map ${name}: map type ${typeNumber} is unknown`);
  }
  const extra = readNumber(btf, members.get("map_extra"), name);
  const slots = members.get("values");
  const inner = slots === undefined ? undefined : readInner(btf, slots, name);
  const keyLayout = key === undefined ? undefined : layoutOf(btf, key);
  return {
    name,
    type,
    keySize: agreed(name, "key", number("key_size"), key === undefined ? undefined : sizeOf(btf, key)),
    valueSize:
      slots !== undefined
        ? 4
        : agreed(name, "value", number("value_size"), value === undefined ? undefined : sizeOf(btf, value)),
    maxEntries: number("max_entries"),
    flags: number("map_flags"),
    pinning: number("pinning") === 1 ? "by_name" : "none",
    ...(members.has("numa_node") ? { numaNode: number("numa_node") } : {}),
    ...(extra === undefined ? {} : { mapExtra: extra.toString() }),
    ...(keyLayout === undefined ? {} : { key: type === "lpm_trie" ? lpmKeyLayout(keyLayout) : keyLayout }),
    ...(value === undefined ? {} : { value: layoutOf(btf, value) }),
    ...(inner === undefined ? {} : { inner }),
  };
}

function agreed(map: string, part: "key" | "value", stated: number, ofType: number | undefined): number {
  if (ofType !== undefined && stated !== 0 && stated !== ofType) {
    throw damaged(`read map ${map}: ${part}_size is ${stated}, but its ${part} type has ${ofType} bytes`);
  }
  return ofType ?? stated;
}

/** `__uint(name, n)` is `int (*name)[n]`; `__ulong(name, n)` an enum with the one value n. */
function readNumber(btf: Btf, member: BtfMember | undefined, map: string): bigint | undefined {
  if (member === undefined) return undefined;
  const { type } = resolve(btf, member.type);
  if (type.kind === "ptr") {
    const target = resolve(btf, type.type).type;
    if (target.kind === "array") return BigInt(target.count);
  }
  if ((type.kind === "enum" || type.kind === "enum64") && type.values[0] !== undefined) {
    return BigInt.asUintN(64, type.values[0].value);
  }
  throw damaged(`read map ${map}: attribute ${member.name} is not written with __uint() or __ulong()`);
}

function readType(btf: Btf, member: BtfMember | undefined, map: string): number | undefined {
  if (member === undefined) return undefined;
  const { type } = resolve(btf, member.type);
  if (type.kind !== "ptr") throw damaged(`read map ${map}: its ${member.name} is not written with __type()`);
  return type.type;
}

/** `__array(values, struct inner)`: an array of pointers to the inner definition, or to functions. */
function readInner(btf: Btf, slots: BtfMember, map: string): MapInfo | undefined {
  const array = resolve(btf, slots.type).type;
  const pointer = array.kind === "array" ? resolve(btf, array.type).type : undefined;
  if (pointer?.kind !== "ptr") throw damaged(`read map ${map}: its values are not written with __array()`);
  const target = resolve(btf, pointer.type).type;
  if (target.kind !== "struct") return undefined;
  if (target.members.some(({ name }) => name === "values")) {
    throw damaged(`read map ${map}: an inner map may not be a map-in-map itself`);
  }
  return readDefinition(btf, target, `${map}.inner`);
}

function readValues(elf: Elf, definition: Struct, map: string): Record<string, string> | undefined {
  const slots = definition.members.find(({ name }) => name === "values");
  const section = elf.sections.find(({ name }) => name === ".maps");
  const symbol = elf.symbols.find(({ name, section: index }) => name === map && index === section?.index);
  if (slots === undefined || section === undefined || symbol === undefined) return undefined;
  const start = symbol.value + slots.offsetBits / 8;
  const filled = elf
    .relocations(section)
    .filter(({ offset }) => offset >= start && offset < symbol.value + symbol.size)
    .map(({ offset, symbol: target }) => [`${Math.floor((offset - start) / 8)}`, target.name] as const);
  return filled.length === 0 ? undefined : Object.fromEntries(filled);
}

/**
 * Maps of the section `maps` (`struct bpf_map_def`, or iproute2's `bpf_elf_map`, which begins alike).
 * libbpf 1.0 and later refuses to load such objects.
 */
export function readLegacyMaps(elf: Elf, section: ElfSection): MapInfo[] {
  return elf.symbols
    .filter((symbol) => symbol.section === section.index && symbol.type === "object")
    .map(({ name, value, size }) => {
      const data = section.data.slice(value, size, `map ${name}`);
      const typeNumber = data.u32(0);
      const type = mapTypes[typeNumber];
      if (type === undefined) throw damaged(`read map ${name}: map type ${typeNumber} is unknown`);
      return {
        name,
        type,
        keySize: data.u32(4),
        valueSize: data.u32(8),
        maxEntries: data.u32(12),
        flags: data.length >= 20 ? data.u32(16) : 0,
        pinning: "none",
      };
    });
}
