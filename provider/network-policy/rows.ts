/**
 * The rows of one layer: for the peers of an address class that have rules on services, a trie over the services. Classes
 * with the same such peers share a row.
 */
import { DENY, HAS_PROTOCOL, SLOT } from "./cells";
import type { CellSpace } from "./cell-space";
import { type ColumnReader, type ColumnWriter, grown } from "./columns";
import { InternedLists } from "./interned";
import type { RuleTable } from "./rule-table";
import { type Row, rowOf, type RowRule } from "./services";
import { releaseTrie, TrieBuilder } from "./trie";

/** Of a rule: the name of its slot in cells. */
export function valueOf(table: RuleTable, slot: number): number {
  return (slot + 1) | (table.deny[slot] === 1 ? DENY : 0);
}

/** Builds rows: tries over services, whose leaves are values. */
export class RowBuilder {
  private readonly builder: TrieBuilder;
  private readonly keys = new Map<number, { starts: Uint32Array; payloads: Uint32Array }>();

  constructor(
    private readonly space: CellSpace,
    private readonly table: RuleTable,
  ) {
    const { label } = table;
    this.builder = new TrieBuilder(space, undefined, (a, b) =>
      a === 0 || (b !== 0 && label[(b & SLOT) - 1]! < label[(a & SLOT) - 1]!) ? b : a,
    );
  }

  rule(slot: number, services: Uint32Array | undefined): RowRule {
    const { table } = this;
    return {
      ...{ label: table.label[slot]!, value: valueOf(table, slot) },
      ...(services === undefined ? {} : { services }),
    };
  }

  /** In place of another row. */
  build(rules: readonly RowRule[], old: number): number {
    releaseTrie(this.space, old);
    if (rules.length === 0) return 0;
    const row = rowOf(rules);
    return this.use(row).build(0, 1, row.starts.length, row.values[0]!);
  }

  /** As `build`, of what lies below the only protocol of the rules, if it is one: `service` as in a class record. */
  buildBelow(rules: readonly RowRule[], old: number): { root: number; service: number } {
    releaseTrie(this.space, old);
    const row = rowOf(rules);
    const { starts, values } = row;
    const protocol = starts[1]! >>> 16;
    // the first service of the next protocol is where it ends
    const ends = starts.at(-1)! === (protocol + 1) << 16;
    const to = ends ? starts.length - 1 : starts.length;
    const builder = this.use(row);
    if (values[0] !== 0 || values.at(-1) !== 0 || starts[to - 1]! >>> 16 !== protocol)
      return { root: builder.build(0, 1, starts.length, values[0]!), service: 0 };
    const begins = (starts[1]! & 0xffff) === 0;
    return {
      root: builder.build(1, begins ? 2 : 1, to, begins ? values[1]! : 0),
      service: HAS_PROTOCOL + protocol * 65536,
    };
  }

  private use({ starts, values }: Row): TrieBuilder {
    const count = starts.length;
    let keys = this.keys.get(count);
    if (keys === undefined) {
      keys = { starts: new Uint32Array(count), payloads: new Uint32Array(count) };
      this.keys.set(count, keys);
    }
    for (let i = 0; i < count; i++) {
      keys.starts[i] = starts[i]! << 8;
      keys.payloads[i] = values[i]!;
    }
    return this.builder.use({ words: 1, bytes: 3, ...keys });
  }
}

export class Rows {
  /** Peers of each row, ascending. */
  lists = new InternedLists();
  roots = new Uint32Array(16);
  /** What a row is about, if it is one service or one protocol: as in a class record. */
  services = new Uint32Array(16);
  /** Rows that were built in this generation. */
  private built = new Uint8Array(16);

  copy(): Rows {
    const copy = new Rows();
    copy.lists = this.lists.copy();
    copy.roots = this.roots.slice();
    copy.services = this.services.slice();
    return copy;
  }

  write(writer: ColumnWriter): void {
    this.lists.write(writer);
    writer.column(this.roots.subarray(0, this.lists.count));
    writer.column(this.services.subarray(0, this.lists.count));
  }

  static read(reader: ColumnReader): Rows {
    const rows = new Rows();
    rows.lists = InternedLists.read(reader);
    rows.roots = reader.column();
    rows.services = reader.column();
    return rows;
  }

  /** The row of some peers, used once more. */
  retain(peers: Uint32Array, length: number): number {
    const row = this.lists.intern(peers, length);
    this.lists.uses[row]!++;
    return row;
  }

  release(row: number): void {
    this.lists.uses[row]!--;
  }

  /** Frees rows that nothing uses; gives those that have to be built: new ones and those of `touched` peers. */
  pending(space: CellSpace, touched: Uint8Array): number[] {
    const { lists } = this;
    this.roots = grown(this.roots, lists.count);
    this.services = grown(this.services, lists.count);
    this.built = grown(this.built, lists.count);
    lists.sweep((row) => {
      releaseTrie(space, this.roots[row]!);
      this.roots[row] = 0;
    });
    const pending: number[] = [];
    for (let row = 0; row < lists.count; row++) {
      if (!lists.has(row)) continue;
      let build = this.roots[row] === 0;
      for (let i = lists.lengthOf(row) - 1; i >= 0 && !build; i--)
        build = touched[lists.wordOf(row, i)] === 1;
      if (build) pending.push(row);
    }
    return pending;
  }

  set(row: number, root: number, service = 0): void {
    this.roots[row] = root;
    this.services[row] = service;
    this.built[row] = 1;
  }

  wasBuilt(row: number): boolean {
    return this.built[row] === 1;
  }
}
