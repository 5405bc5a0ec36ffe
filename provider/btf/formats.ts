/** Saying how a member reads as text where C does not: a plain `__u32` that holds an IPv4 address. */
import { EbpfError } from "../errors";
import { lpmKeyLayout } from "./btf-layout";
import { type Format, isByteArray, type StructLayout, type TypeLayout, typeName } from "./layout";
import { memberNames, promoted } from "./members";

/**
 * The layout with `format` at `path` (`""` the whole value, `addr`, `tuple.saddr`).
 * Fails with EbpfError `not-found` for an unknown member, `invalid` where the format does not fit the type.
 */
export function withFormat(layout: TypeLayout, path: string, format: Format): TypeLayout {
  const [first = "", ...rest] = path.split(".");
  if (first === "") return formatted(layout, format);
  if (layout.kind === "struct" || layout.kind === "union") {
    const found = inMembers(layout, first, (type) => withFormat(type, rest.join("."), format));
    if (found !== undefined) return found;
  }
  const names = layout.kind === "struct" || layout.kind === "union" ? memberNames(layout) : [];
  throw new EbpfError(
    "not-found",
    `set the format ${format}: ${typeName(layout)} has no member ${first}`,
    { what: "member", name: first },
    names.length === 0 ? {} : { remedy: `it has ${names.join(", ")}` },
  );
}

function inMembers(
  layout: StructLayout,
  name: string,
  change: (type: TypeLayout) => TypeLayout,
): StructLayout | undefined {
  for (const [index, member] of layout.members.entries()) {
    const anonymous = promoted(member);
    const type =
      anonymous !== undefined
        ? inMembers(anonymous, name, change)
        : member.name === name
          ? change(member.type)
          : undefined;
    if (type !== undefined) return { ...layout, members: layout.members.with(index, { ...member, type }) };
  }
  return undefined;
}

function formatted(layout: TypeLayout, format: Format): TypeLayout {
  if (layout.kind === "int" && layout.size > 1) {
    if (format === "be" || (format === "ipv4" && layout.size === 4)) return { ...layout, format };
  }
  if (layout.kind === "array" && layout.element.kind === "int") {
    const sizes: Partial<Record<Format, number>> = { ipv4: 4, ipv6: 16, mac: 6 };
    if (format === "hex" || (format === "text" && isByteArray(layout))) return { ...layout, format };
    if ((format === "ipv4" || format === "ipv6" || format === "mac") && layout.size === sizes[format]) {
      return { ...layout, format };
    }
  }
  if (layout.kind === "struct" || layout.kind === "union") {
    if ((format === "ipv4" && layout.size === 4) || (format === "ipv6" && layout.size === 16)) {
      return { ...layout, format };
    }
    const key = lpmKeyLayout(layout);
    if ((key.kind === "struct" || key.kind === "union") && key.format === format) return key;
  }
  throw new EbpfError("invalid", `set the format ${format}: it does not fit ${typeName(layout)}`, {});
}
