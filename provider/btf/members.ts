/** Members of structs and unions as JSON sees them: those of anonymous ones count as the parent's, as in C. */
import type { MemberLayout, StructLayout, TypeLayout } from "./layout";

/** An anonymous struct or union, whose members are promoted. */
export function promoted(member: MemberLayout): StructLayout | undefined {
  const { name, type } = member;
  return name === "" && (type.kind === "struct" || type.kind === "union") ? type : undefined;
}

/** Every name that JSON can use for a member of this struct or union, promoted ones included. */
export function memberNames(layout: StructLayout): string[] {
  return layout.members.flatMap((member) => namesOf(member));
}

/** The names that choose this member: its own, or those of the anonymous type behind it. */
export function namesOf(member: MemberLayout): string[] {
  const anonymous = promoted(member);
  return anonymous === undefined ? [member.name] : memberNames(anonymous);
}

/** The members of a union that `names` speaks of. */
export function chosenMembers(union: StructLayout, names: ReadonlySet<string>): MemberLayout[] {
  return union.members.filter((member) => namesOf(member).some((name) => names.has(name)));
}

/** The member that shows most of a union's bytes: the first of the largest. */
export function widestMember(union: StructLayout): MemberLayout | undefined {
  const width = (member: MemberLayout) => member.bits ?? member.type.size * 8;
  return union.members.reduce<MemberLayout | undefined>(
    (best, member) => (best === undefined || width(member) > width(best) ? member : best),
    undefined,
  );
}

/** `[prefix length, address size]` where the struct has the shape of an LPM-trie key for addresses. */
export function cidrShape(layout: TypeLayout): 4 | 16 | undefined {
  if (layout.kind !== "struct") return undefined;
  const [prefix] = layout.members;
  if (prefix?.offsetBits !== 0 || prefix.type.kind !== "int" || prefix.type.size !== 4) return undefined;
  return layout.size === 8 ? 4 : layout.size === 20 ? 16 : undefined;
}
