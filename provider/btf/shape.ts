/** Whether one map can stand in for another: type, sizes, flags, NUMA node, inner shape, and what key and value mean. */
import { kernelField, type MemberLayout, type StructLayout, type TypeLayout, typeName } from "./layout";

/** A MapInfo is one. */
export interface ComparableShape {
  type: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  numaNode?: number;
  mapExtra?: string;
  key?: TypeLayout;
  value?: TypeLayout;
  inner?: ComparableShape;
}

export interface ShapeDifference {
  part: keyof ComparableShape;
  /** In words, e.g. `value.packets moves from byte 8 to byte 0`. */
  reason: string;
}

/**
 * The differences from `before` to `after`; empty when data can stay as it is. Types are compared by structure: sizes,
 * offsets, member and enum names, signs, and the places of what the kernel owns; the tags of structs, typedefs and
 * formats do not matter. Where one side has no type only sizes are compared.
 */
export function compareShapes(before: ComparableShape, after: ComparableShape): ShapeDifference[] {
  const differences: ShapeDifference[] = [];
  const add = (part: ShapeDifference["part"], reason: string) => differences.push({ part, reason });
  const compare = (part: ShapeDifference["part"], what: string, a: unknown, b: unknown) => {
    if (a !== b) add(part, `${what} from ${a} to ${b}`);
  };
  compare("type", "its type changes", before.type, after.type);
  compare("keySize", "the key's size in bytes changes", before.keySize, after.keySize);
  compare("valueSize", "the value's size in bytes changes", before.valueSize, after.valueSize);
  compare("maxEntries", "the number of entries changes", before.maxEntries, after.maxEntries);
  compare("flags", "the flags change", hex(before.flags), hex(after.flags));
  compare("numaNode", "the NUMA node changes", before.numaNode ?? "any", after.numaNode ?? "any");
  compare("mapExtra", "map_extra changes", before.mapExtra ?? "0", after.mapExtra ?? "0");
  for (const part of ["key", "value"] as const) {
    const [a, b] = [before[part], after[part]];
    if (a === undefined || b === undefined || before[`${part}Size`] !== after[`${part}Size`]) continue;
    for (const reason of compareLayouts(a, b, part)) add(part, reason);
  }
  if (before.inner !== undefined && after.inner !== undefined) {
    for (const { reason } of compareShapes(before.inner, after.inner)) add("inner", `inner map: ${reason}`);
  } else if ((before.inner === undefined) !== (after.inner === undefined)) {
    add("inner", before.inner === undefined ? "it gets an inner map" : "it loses its inner map");
  }
  return differences;
}

function hex(flags: number): string {
  return `0x${flags.toString(16)}`;
}

/** Differences in words of two layouts; `path` names the root. */
export function compareLayouts(before: TypeLayout, after: TypeLayout, path: string): string[] {
  const [owned, ownedAfter] = [kernelField(before), kernelField(after)];
  if (owned !== ownedAfter)
    return [`${path} changes from ${owned ?? typeName(before)} to ${ownedAfter ?? typeName(after)}`];
  const changed = [`${path} changes from ${typeName(before)} to ${typeName(after)}`];
  if (before.size !== after.size) {
    const sizes = `${path} changes from ${before.size} to ${after.size} bytes`;
    return before.kind === "struct" && after.kind === "struct"
      ? [sizes, ...compareMembers(before, after, path)]
      : [`${changed[0]} (${before.size} to ${after.size} bytes)`];
  }
  if (owned !== undefined || before.kind === "bytes" || after.kind === "bytes") return [];
  if (before.kind === "int" && after.kind === "int") {
    // whether char has a sign is the compiler's choice
    const characters = before.char === true || after.char === true;
    return before.signed === after.signed || characters ? [] : changed;
  }
  if (before.kind === "enum" && after.kind === "enum") {
    return Object.entries(before.values).flatMap(([name, number]) =>
      Object.hasOwn(after.values, name) && `${after.values[name]}` !== `${number}`
        ? [`${path}: ${name} changes from ${number} to ${after.values[name]}`]
        : [],
    );
  }
  if (before.kind === "array" && after.kind === "array") {
    if (before.count !== after.count) return changed;
    return compareLayouts(before.element, after.element, `${path}[]`);
  }
  if (
    (before.kind === "struct" || before.kind === "union") &&
    (after.kind === "struct" || after.kind === "union") &&
    before.kind === after.kind
  ) {
    return compareMembers(before, after, path);
  }
  return before.kind === after.kind ? [] : changed;
}

function compareMembers(before: StructLayout, after: StructLayout, path: string): string[] {
  const [old, now] = [byPlace(before), byPlace(after)];
  const reasons: string[] = [];
  for (const [name, member] of old) {
    const other = now.get(name);
    const at = `${path}.${name}`;
    if (other === undefined) reasons.push(`${at} is gone`);
    else if (other.offsetBits !== member.offsetBits) {
      reasons.push(`${at} moves from ${place(member)} to ${place(other)}`);
    } else if (other.bits !== member.bits) {
      reasons.push(`${at} changes from ${width(member)} to ${width(other)} bits`);
    } else reasons.push(...compareLayouts(member.type, other.type, at));
  }
  for (const [name, member] of now) {
    if (!old.has(name)) reasons.push(`${path}.${name} is new at ${place(member)}`);
  }
  return reasons;
}

/** Members by name; anonymous ones by where they stand among their kind. */
function byPlace(layout: StructLayout): Map<string, MemberLayout> {
  let anonymous = 0;
  return new Map(
    layout.members.map((member) => [member.name === "" ? `(anonymous ${anonymous++})` : member.name, member]),
  );
}

function place({ offsetBits, bits }: MemberLayout): string {
  return bits === undefined ? `byte ${offsetBits / 8}` : `bit ${offsetBits}`;
}

function width({ bits, type }: MemberLayout): number {
  return bits ?? type.size * 8;
}

/** What the kernel owns in a value, and the byte where it lies. */
export interface KernelField {
  /** `bpf_timer`, `bpf_spin_lock`, …, or `kptr`. */
  field: string;
  path: string;
  offset: number;
}

/** Timers, locks, kptrs and their like in a value: such maps cannot be copied from outside. */
export function specials(layout: TypeLayout, path = "value", offset = 0): KernelField[] {
  const field = kernelField(layout);
  if (field !== undefined) return [{ field, path, offset }];
  if (layout.kind === "array") {
    // the elements are alike: the first speaks for all, so that a large array costs nothing
    return layout.count === 0 ? [] : specials(layout.element, `${path}[]`, offset);
  }
  if (layout.kind !== "struct" && layout.kind !== "union") return [];
  return layout.members.flatMap(({ name, offsetBits, type }) =>
    specials(type, name === "" ? path : `${path}.${name}`, offset + Math.floor(offsetBits / 8)),
  );
}
