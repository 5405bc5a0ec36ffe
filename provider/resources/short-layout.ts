/** Layouts in checked inputs: simple types by name, at any depth. They lie in the state of all that refers to a map. */
import { isDeepStrictEqual } from "node:util";
import { parseType, type TypeLayout, typeName } from "../btf";
import { simpleType } from "../btf/simple-types";

/** A simple type as its name, such as `u32`; else a TypeLayout whose inner types are ShortLayouts. */
export type ShortLayout =
  | string
  | { kind: TypeLayout["kind"]; size: number; members?: { type: ShortLayout }[]; element?: ShortLayout };

export function shortLayout(layout: TypeLayout): ShortLayout {
  if (layout.kind === "struct" || layout.kind === "union") {
    return {
      ...layout,
      members: layout.members.map((member) => ({ ...member, type: shortLayout(member.type) })),
    };
  }
  if (layout.kind === "array") return { ...layout, element: shortLayout(layout.element) };
  if (layout.kind !== "int" && layout.kind !== "float") return { ...layout };
  const name = typeName(layout);
  return isDeepStrictEqual(simpleType(name)?.layout, layout) ? name : { ...layout };
}

/** Also takes a whole TypeLayout. */
export function fullLayout(short: ShortLayout): TypeLayout {
  if (typeof short === "string") return parseType(short);
  if (short.kind === "struct" || short.kind === "union") {
    const full = short.members!.map((member) => ({ ...member, type: fullLayout(member.type) }));
    return { ...short, members: full } as unknown as TypeLayout;
  }
  if (short.kind !== "array") return short as TypeLayout;
  return { ...short, element: fullLayout(short.element!) } as unknown as TypeLayout;
}
