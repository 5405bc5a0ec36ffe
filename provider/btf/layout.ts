/** TypeLayout: the memory layout of a C type as plain JSON. Sizes in bytes unless the name says bits. */

/**
 * How bytes read as text.
 * - `be`: an integer in network byte order (`__be16`, `__be32`, `__be64`).
 * - `ipv4` (4 bytes), `ipv6` (16 bytes): an address in network byte order, `192.0.2.1`, `2001:db8::1`.
 * - `cidr4`, `cidr6`: a whole LPM-trie key, `203.0.113.0/24`: u32 prefix length, then the address.
 * - `mac` (6 bytes): `02:00:00:00:00:01`.
 * - `hex`: `0x…`, two digits a byte. - `text`: UTF-8, padded with NUL.
 */
export type Format = "be" | "ipv4" | "ipv6" | "cidr4" | "cidr6" | "mac" | "hex" | "text";

export interface IntLayout {
  kind: "int";
  size: number;
  signed: boolean;
  /** C `bool`. */
  bool?: true;
  /** C `char`: an array of it is text. */
  char?: true;
  format?: "be" | "ipv4";
}

export interface FloatLayout {
  kind: "float";
  size: number;
}

export interface EnumLayout {
  kind: "enum";
  size: number;
  signed: boolean;
  name?: string;
  /** Name → number; beyond 53 bits a decimal string. */
  values: Record<string, number | string>;
}

export interface StructLayout {
  kind: "struct" | "union";
  size: number;
  /** The tag in C, else the typedef's name; absent for an anonymous one. */
  name?: string;
  members: MemberLayout[];
  format?: "ipv4" | "ipv6" | "cidr4" | "cidr6";
}

export interface MemberLayout {
  /** Empty for an anonymous struct or union, whose members count as the parent's, as in C. */
  name: string;
  offsetBits: number;
  /** Width of a bit-field. */
  bits?: number;
  type: TypeLayout;
}

export interface ArrayLayout {
  kind: "array";
  size: number;
  count: number;
  element: TypeLayout;
  format?: "ipv4" | "ipv6" | "mac" | "hex" | "text";
}

export interface PointerLayout {
  kind: "pointer";
  size: number;
  /** BTF type tag of the target, such as `kptr`. */
  tag?: string;
}

/** Bytes without a known type. */
export interface BytesLayout {
  kind: "bytes";
  size: number;
}

export type TypeLayout =
  IntLayout | FloatLayout | EnumLayout | StructLayout | ArrayLayout | PointerLayout | BytesLayout;

/** Structs of kernel-owned state: never written from outside, zero in an encoded value, absent in a decoded one. */
const kernelOwned = [
  "bpf_timer",
  "bpf_spin_lock",
  "bpf_res_spin_lock",
  "bpf_wq",
  "bpf_task_work",
  "bpf_list_head",
  "bpf_list_node",
  "bpf_rb_root",
  "bpf_rb_node",
  "bpf_refcount",
];

const kptrTags = ["kptr", "kptr_untrusted", "percpu_kptr", "uptr"];

/** What the kernel keeps for itself at this place: `bpf_timer`, …, or `kptr` for any kind of kernel pointer. */
export function kernelField(layout: TypeLayout): string | undefined {
  if (layout.kind === "pointer")
    return layout.tag !== undefined && kptrTags.includes(layout.tag) ? "kptr" : undefined;
  if (layout.kind !== "struct" || layout.name === undefined) return undefined;
  return kernelOwned.includes(layout.name) ? layout.name : undefined;
}

/** A type in a few words for messages: `u32`, `u8[6]`, `struct flow`. */
export function typeName(layout: TypeLayout): string {
  switch (layout.kind) {
    case "int":
      if (layout.format !== undefined) return layout.format === "be" ? `be${layout.size * 8}` : layout.format;
      if (layout.bool) return "bool";
      if (layout.char) return "char";
      return `${layout.signed ? "s" : "u"}${layout.size * 8}`;
    case "float":
      return `f${layout.size * 8}`;
    case "enum":
    case "struct":
    case "union":
      return layout.name === undefined ? layout.kind : `${layout.kind} ${layout.name}`;
    case "array": {
      const counts = [];
      let element: TypeLayout = layout;
      for (; element.kind === "array"; element = element.element) counts.push(`[${element.count}]`);
      return `${typeName(element)}${counts.join("")}`;
    }
    case "pointer":
      return layout.tag === undefined ? "pointer" : `${layout.tag} pointer`;
    case "bytes":
      return `bytes:${layout.size}`;
  }
}

/** An array of single bytes that are numbers, not characters. */
export function isByteArray(layout: TypeLayout): boolean {
  if (layout.kind !== "array" || isText(layout)) return false;
  const { element } = layout;
  return element.kind === "int" && element.size === 1 && element.bool !== true;
}

/** A char array. */
export function isText(layout: TypeLayout): boolean {
  return (
    layout.kind === "array" &&
    (layout.format === "text" || (layout.element.kind === "int" && layout.element.char === true))
  );
}
