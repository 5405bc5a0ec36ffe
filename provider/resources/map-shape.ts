/** What the kernel takes for each type of map, kernel/bpf/*map*.c: defaults, and limits known before asking it. */
import { mapTypes, type TypeLayout } from "../btf";
import type { Problem } from "../errors";
import { type ShortLayout, shortLayout } from "./short-layout";

/** Belong to a program: values of `struct_ops` are its functions, `insn_array` is loaded with it. */
const DEPENDENT = ["unspec", "struct_ops", "insn_array"] as const;

export type MapType = Exclude<(typeof mapTypes)[number], (typeof DEPENDENT)[number]>;

/** Map types that can stand alone. */
export const MAP_TYPES = mapTypes.filter(
  (type): type is MapType => !(DEPENDENT as readonly string[]).includes(type),
);

/** `map_flags` that make sense for a map of its own, include/uapi/linux/bpf.h. */
export const MAP_FLAGS = {
  no_prealloc: 1 << 0,
  no_common_lru: 1 << 1,
  stack_build_id: 1 << 5,
  zero_seed: 1 << 6,
  rdonly_prog: 1 << 7,
  wronly_prog: 1 << 8,
  clone: 1 << 9,
  mmapable: 1 << 10,
  preserve_elems: 1 << 11,
  inner_map: 1 << 12,
} as const;
export type MapFlag = keyof typeof MAP_FLAGS;

const NUMA_NODE = 1 << 2;
const u32: TypeLayout = { kind: "int", size: 4, signed: false };
const s32: TypeLayout = { kind: "int", size: 4, signed: true };
const stackFrames: TypeLayout = {
  kind: "array",
  size: 127 * 8,
  count: 127,
  element: { kind: "int", size: 8, signed: false },
};

interface TypeRule {
  /** `index`: u32 always. `owner`: a file descriptor, s32. `none`: no key. Default: the user says. */
  key?: "index" | "owner" | "none";
  /** `none`: no value. Else the layout when the user says nothing. */
  value?: "none" | TypeLayout;
  /** Flags the kernel insists on. */
  flags?: number;
  entries?: "none" | "pages" | "bytes";
  inner?: true;
  /** Sizes of the value that the kernel takes. */
  valueSizes?: number[];
}

const local: TypeRule = { key: "owner", flags: MAP_FLAGS.no_prealloc, entries: "none" };
const ring: TypeRule = { key: "none", value: "none", entries: "bytes" };
const descriptors: TypeRule = { key: "index", value: u32, valueSizes: [4] };

const rules: Partial<Record<MapType, TypeRule>> = {
  array: { key: "index" },
  percpu_array: { key: "index" },
  prog_array: descriptors,
  perf_event_array: descriptors,
  cgroup_array: descriptors,
  array_of_maps: { ...descriptors, inner: true },
  hash_of_maps: { value: u32, valueSizes: [4], inner: true },
  stack_trace: { key: "index", value: stackFrames },
  devmap: { key: "index", value: u32, valueSizes: [4, 8] },
  devmap_hash: { key: "index", value: u32, valueSizes: [4, 8] },
  cpumap: { key: "index", value: u32, valueSizes: [4, 8] },
  xskmap: descriptors,
  sockmap: { key: "index", value: u32, valueSizes: [4, 8] },
  sockhash: { value: u32, valueSizes: [4, 8] },
  reuseport_sockarray: { key: "index", value: { kind: "int", size: 8, signed: false }, valueSizes: [4, 8] },
  lpm_trie: { flags: MAP_FLAGS.no_prealloc },
  cgroup_storage: { entries: "none" },
  percpu_cgroup_storage: { entries: "none" },
  sk_storage: local,
  inode_storage: local,
  task_storage: local,
  cgrp_storage: local,
  queue: { key: "none" },
  stack: { key: "none" },
  bloom_filter: { key: "none" },
  ringbuf: ring,
  user_ringbuf: ring,
  arena: { key: "none", value: "none", entries: "pages", flags: MAP_FLAGS.mmapable },
};

/** What a user says of a map, types already laid out. */
export interface WantedMap {
  type: MapType;
  key?: TypeLayout;
  value?: TypeLayout;
  maxEntries?: number;
  flags: number;
  numaNode?: number;
  mapExtra?: string;
  inner?: CheckedShape;
}

/** A map as it will be created. Lies in the state; `MapShape` of the Spec follows from it. */
export interface CheckedShape {
  type: MapType;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  numaNode?: number;
  mapExtra?: string;
  keyLayout?: ShortLayout;
  valueLayout?: ShortLayout;
  inner?: CheckedShape;
}

const PAGE = 4096;

/** `at` is the path in front of property names, empty or `inner.`. */
export function shapeOf(wanted: WantedMap, at: string, problems: Problem[]): CheckedShape {
  const rule = rules[wanted.type] ?? {};
  const fail = (property: string, reason: string) => problems.push({ property: `${at}${property}`, reason });
  const key = keyOf(wanted, rule, fail);
  const value = valueOf(wanted, rule, fail);
  const maxEntries = entriesOf(wanted, rule, fail);
  if (rule.inner === true && wanted.inner === undefined) {
    fail("inner", `is missing: a map of type ${wanted.type} needs the shape of its inner maps`);
  } else if (rule.inner !== true && wanted.inner !== undefined) {
    fail("inner", `a map of type ${wanted.type} has no inner maps`);
  }
  const { type, numaNode, mapExtra, inner } = wanted;
  return {
    type,
    keySize: key?.size ?? 0,
    valueSize: value?.size ?? 0,
    maxEntries,
    flags: wanted.flags | (rule.flags ?? 0) | (numaNode === undefined ? 0 : NUMA_NODE),
    ...(numaNode === undefined ? {} : { numaNode }),
    ...(mapExtra === undefined ? {} : { mapExtra }),
    ...(key === undefined ? {} : { keyLayout: shortLayout(key) }),
    ...(value === undefined ? {} : { valueLayout: shortLayout(value) }),
    ...(inner === undefined ? {} : { inner }),
  };
}

type Fail = (property: string, reason: string) => void;

function keyOf({ type, key }: WantedMap, rule: TypeRule, fail: Fail): TypeLayout | undefined {
  if (rule.key === "none") {
    if (key !== undefined) fail("key", `a map of type ${type} has no keys`);
    return undefined;
  }
  if (rule.key === "index" || rule.key === "owner") {
    if (key !== undefined && key.size !== 4)
      fail("key", `a map of type ${type} has keys of 4 bytes, not ${key.size}`);
    return key ?? (rule.key === "index" ? u32 : s32);
  }
  if (key === undefined) fail("key", `is missing: a map of type ${type} needs the type of its keys`);
  // kernel/bpf/lpm_trie.c: a prefix length and 1 to 256 bytes
  else if (type === "lpm_trie" && (key.size < 5 || key.size > 260)) {
    fail(
      "key",
      `a key of an lpm_trie has 5 to 260 bytes: a u32 prefix length, then the data; this has ${key.size}`,
    );
  }
  return key;
}

function valueOf({ type, value }: WantedMap, rule: TypeRule, fail: Fail): TypeLayout | undefined {
  if (rule.value === "none") {
    if (value !== undefined) fail("value", `a map of type ${type} has no values`);
    return undefined;
  }
  const found = value ?? rule.value;
  if (found === undefined) fail("value", `is missing: a map of type ${type} needs the type of its values`);
  else if (rule.valueSizes !== undefined && !rule.valueSizes.includes(found.size)) {
    fail(
      "value",
      `a map of type ${type} has values of ${rule.valueSizes.join(" or ")} bytes, not ${found.size}`,
    );
  }
  return found;
}

function entriesOf({ type, maxEntries }: WantedMap, rule: TypeRule, fail: Fail): number {
  if (rule.entries === "none") {
    if (maxEntries !== undefined && maxEntries !== 0)
      fail("maxEntries", `a map of type ${type} has no limit`);
    return 0;
  }
  const unit = rule.entries ?? "entries";
  if (maxEntries === undefined || maxEntries === 0) {
    fail("maxEntries", `is missing: a map of type ${type} needs its size in ${unit}`);
    return 0;
  }
  // kernel/bpf/ringbuf.c: a power of two of whole pages
  if (rule.entries === "bytes" && (maxEntries < PAGE || !isPowerOfTwo(maxEntries))) {
    const next = Math.max(PAGE, 2 ** Math.ceil(Math.log2(maxEntries)));
    fail(
      "maxEntries",
      `a map of type ${type} has a power of two of at least ${PAGE} bytes, such as ${next}; not ${maxEntries}`,
    );
  }
  return maxEntries;
}

function isPowerOfTwo(number: number): boolean {
  return Number.isInteger(Math.log2(number));
}
