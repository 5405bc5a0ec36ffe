/**
 * The fast way for flat rows (CSV): columns named by leaf paths (`key.addr`, `value.packets`) are compiled once into
 * writers, which then fill millions of rows without a JSON value between.
 */
import { invalid, type Problem } from "../errors";
import { type CellWriter, cellWriter, jsonOf } from "./cells";
import { encodeInto } from "./encode";
import { writeBits } from "./integers";
import {
  isByteArray,
  isText,
  kernelField,
  type MemberLayout,
  type StructLayout,
  type TypeLayout,
  typeName,
} from "./layout";
import { chosenMembers, cidrShape, namesOf, promoted } from "./members";

export interface RowEncoder {
  /** Bytes that one row fills. */
  size: number;
  /**
   * Fills `size` bytes of `out` from `offset` on. The cells stand in the order of the columns.
   * Returns the problems, named by column; undefined when there are none.
   */
  write(row: readonly string[], out: Buffer, offset: number): Problem[] | undefined;
}

interface Cell {
  index: number;
  write: CellWriter;
}

/**
 * The encoder of the columns that belong to `root` (`root` itself, `root.…`, `root[…`); the others are left alone, so
 * that one row serves a key's and a value's encoder. A list of bytes, an address, a text is one column (`0x…` or its
 * text form); arrays have a column per element (`value.counts[0]`); the columns choose a union's member. A cell takes what `encode` takes as
 * text, and true, false, 1 or 0 for bool.
 *
 * Fails with EbpfError `invalid` that lists missing and unknown columns.
 */
export function compileEncoder(layout: TypeLayout, columns: readonly string[], root: string): RowEncoder {
  const problems: Problem[] = [];
  const compiler = new Compiler(columns, problems);
  compiler.compile(layout, root, 0);
  for (const [index, column] of columns.entries()) {
    if (belongsTo(column, root) && !compiler.cells.some((cell) => cell.index === index)) {
      problems.push({
        property: column,
        reason:
          columns.indexOf(column) < index
            ? "the column stands there twice"
            : `no part of ${typeName(layout)}`,
      });
    }
  }
  if (problems.length > 0) throw invalid(`read the columns of ${root}`, problems);
  const { cells } = compiler;
  const { size } = layout;
  return {
    size,
    write(row, out, offset) {
      out.fill(0, offset, offset + size);
      let found: Problem[] | undefined;
      for (const { index, write } of cells) {
        const cell = row[index];
        const reason = cell === undefined ? "missing" : write(cell, out, offset);
        if (reason !== undefined) (found ??= []).push({ property: columns[index] as string, reason });
      }
      return found;
    },
  };
}

function belongsTo(column: string, path: string): boolean {
  return column === path || column.startsWith(`${path}.`) || column.startsWith(`${path}[`);
}

class Compiler {
  readonly cells: Cell[] = [];

  constructor(
    private readonly columns: readonly string[],
    private readonly problems: Problem[],
  ) {}

  compile(layout: TypeLayout, path: string, offset: number): void {
    if (kernelField(layout) !== undefined || layout.size === 0) return;
    const index = this.columns.indexOf(path);
    if (isLeaf(layout) && index >= 0) {
      this.cells.push({ index, write: cellWriter(layout, offset) });
    } else if (layout.kind === "struct") {
      this.members(layout.members, path, offset);
    } else if (layout.kind === "union") {
      this.choice(layout, path, offset);
    } else if (layout.kind === "array" && this.columns.some((column) => column.startsWith(`${path}[`))) {
      for (let at = 0; at < layout.count; at++) {
        this.compile(layout.element, `${path}[${at}]`, offset + at * layout.element.size);
      }
    } else {
      const each = isLeaf(layout) ? "" : ` in columns ${path}[0] and so on`;
      this.problems.push({
        property: path,
        reason: `the column is missing; expected ${typeName(layout)}${each}`,
      });
    }
  }

  private members(members: MemberLayout[], path: string, offset: number): void {
    for (const member of members) {
      const at = offset + Math.floor(member.offsetBits / 8);
      const anonymous = promoted(member);
      if (anonymous?.kind === "struct") this.members(anonymous.members, path, at);
      else if (anonymous?.kind === "union") this.choice(anonymous, path, at);
      else if (member.bits !== undefined) this.bitField(member, `${path}.${member.name}`, offset);
      else this.compile(member.type, `${path}.${member.name}`, at);
    }
  }

  private choice(union: StructLayout, path: string, offset: number): void {
    const names = new Set(
      union.members
        .flatMap(namesOf)
        .filter((name) => this.columns.some((column) => belongsTo(column, `${path}.${name}`))),
    );
    const chosen = chosenMembers(union, names);
    if (chosen.length === 1) return this.members(chosen, path, offset);
    const all = union.members.map((member) => namesOf(member).join(" + ")).join(", ");
    this.problems.push({ property: path, reason: `give columns for exactly one of ${all}` });
  }

  private bitField({ type, bits = 0, offsetBits }: MemberLayout, path: string, offset: number): void {
    const index = this.columns.indexOf(path);
    if (index < 0) {
      this.problems.push({ property: path, reason: `the column is missing; expected ${typeName(type)}` });
      return;
    }
    const member: MemberLayout = { name: "cell", offsetBits: 0, bits, type };
    const wrapper: StructLayout = { kind: "struct", size: type.size, members: [member] };
    this.cells.push({
      index,
      write: (cell, out, at) => {
        const problems: Problem[] = [];
        const bytes = encodeInto(wrapper, { cell: jsonOf(type, cell) }, "", problems);
        if (problems[0] !== undefined) return problems[0].reason;
        const value = BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
        writeBits(out, (at + offset) * 8 + offsetBits, bits, value);
        return undefined;
      },
    });
  }
}

/** One column holds all of it. */
function isLeaf(layout: TypeLayout): boolean {
  if (layout.kind === "array") return isText(layout) || isByteArray(layout) || layout.format !== undefined;
  if (layout.kind === "struct" || layout.kind === "union") {
    return layout.format !== undefined || cidrShape(layout) !== undefined;
  }
  return true;
}
