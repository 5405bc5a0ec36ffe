/**
 * What the address classes of a rule set lead to: a row in each of two layers, the strongest of the rules on no service, and
 * the record that has all of it. Columns that an update goes through in one order, each by the numbers of the one before.
 */
import { CELL_WORDS, HAS_REST, HAS_SERVICE, RECORD, RECORD_WORDS, REST } from "./cells";
import type { CellSpace } from "./cell-space";
import { type ColumnReader, type ColumnWriter, grown } from "./columns";
import type { InternedLists } from "./interned";
import { type RowBuilder, Rows, valueOf } from "./rows";
import type { RuleContents } from "./rule-contents";
import type { RuleTable, SlotsByPeers } from "./rule-table";
import type { RowRule } from "./services";
import { releaseTrie } from "./trie";

/** Classes where peers may hold before their rules move to the wide layer. */
const NARROW_CLASSES = 64;
/** In `rows` of a class: not known yet; no row; else the row's number and this. */
const [UNKNOWN, NO_ROW, FIRST_ROW] = [0, 1, 2];

const LAYERS = ["narrow", "wide"] as const;

/** Called with the cells that there will be, before they are made, and what each slot adds to them. */
export type Estimate = (cells: number, shares: ReadonlyMap<number, number>) => void;

export interface RowsUpdate {
  space: CellSpace;
  table: RuleTable;
  /** Those of the rule set. */
  rules: SlotsByPeers;
  builder: RowBuilder;
  estimate: Estimate;
}

/** Where records are. */
export interface Records {
  /** The first cell. */
  cell: number;
  /** Cells of the records, and as many of their rests behind them. */
  capacity: number;
}

export class ClassRows {
  private layers = { narrow: new Rows(), wide: new Rows() };
  /** By class; see FIRST_ROW. */
  private rowOf = { narrow: new Uint32Array(16), wide: new Uint32Array(16) };
  private only = new Uint32Array(16);
  /** By peers: 1 where their rules are in the wide layer. */
  private wide = new Uint32Array(16);

  constructor(
    private readonly classes: InternedLists,
    private readonly contents: RuleContents,
  ) {}

  copy(classes: InternedLists, contents: RuleContents): ClassRows {
    const copy = new ClassRows(classes, contents);
    copy.layers = { narrow: this.layers.narrow.copy(), wide: this.layers.wide.copy() };
    copy.rowOf = { narrow: this.rowOf.narrow.slice(), wide: this.rowOf.wide.slice() };
    copy.only = this.only.slice();
    copy.wide = this.wide.slice();
    return copy;
  }

  write(writer: ColumnWriter): void {
    const { classes, contents, layers, rowOf, only, wide } = this;
    for (const layer of [layers.narrow, layers.wide]) layer.write(writer);
    for (const column of [rowOf.narrow, rowOf.wide, only]) writer.column(column.subarray(0, classes.count));
    writer.column(wide.subarray(0, contents.peers.count));
  }

  static read(reader: ColumnReader, classes: InternedLists, contents: RuleContents): ClassRows {
    const rows = new ClassRows(classes, contents);
    rows.layers = { narrow: Rows.read(reader), wide: Rows.read(reader) };
    rows.rowOf = { narrow: reader.column(), wide: reader.column() };
    rows.only = reader.column();
    rows.wide = reader.column();
    return rows;
  }

  /** There may be more classes now, and some that have no addresses any more. */
  sweepClasses(): void {
    const { classes } = this;
    for (const layer of LAYERS) this.rowOf[layer] = grown(this.rowOf[layer], classes.count);
    this.only = grown(this.only, classes.count);
    classes.sweep((number) => {
      for (const layer of LAYERS) {
        const row = this.rowOf[layer][number]!;
        if (row >= FIRST_ROW) this.layers[layer].release(row - FIRST_ROW);
        this.rowOf[layer][number] = UNKNOWN;
      }
    });
  }

  /** Peers that no rule has any more. */
  sweepPeers(): void {
    this.contents.peers.sweep((peers) => (this.wide[peers] = 0));
  }

  update(update: RowsUpdate, records: Records): void {
    const stale = this.staleClasses();
    this.assignRows(stale, update);
    this.buildRows(update);
    this.writeRecords(update.space, stale, records);
  }

  /** Classes whose rows may be others: new ones, those of peers whose rules changed, and of peers that became wide. */
  private staleClasses(): number[] {
    const { classes, wide } = this;
    const { peers: lists, touched } = this.contents;
    const coverage = new Uint32Array(lists.count);
    for (let number = 0; number < classes.count; number++) {
      if (!classes.has(number)) continue;
      for (let i = classes.lengthOf(number) - 1; i >= 0; i--) coverage[classes.wordOf(number, i)]!++;
    }
    this.wide = grown(wide, lists.count);
    const moved = new Uint8Array(lists.count);
    moved.set(touched.subarray(0, moved.length));
    for (let peers = 0; peers < lists.count; peers++) {
      if (coverage[peers]! <= NARROW_CLASSES || this.wide[peers] === 1) continue;
      this.wide[peers] = 1;
      moved[peers] = 1;
    }
    const stale: number[] = [];
    for (let number = 0; number < classes.count; number++) {
      if (!classes.has(number)) continue;
      let found = this.rowOf.narrow[number] === UNKNOWN;
      for (let i = classes.lengthOf(number) - 1; i >= 0 && !found; i--) {
        found = moved[classes.wordOf(number, i)] === 1;
      }
      if (found) stale.push(number);
    }
    return stale;
  }

  private assignRows(stale: readonly number[], { table, rules }: RowsUpdate): void {
    const { starts, slots } = rules;
    const lists = { narrow: new Uint32Array(64), wide: new Uint32Array(64) };
    for (const number of stale) {
      const length = this.classes.lengthOf(number);
      const lengths = { narrow: 0, wide: 0 };
      let strongest = -1;
      for (let i = 0; i < length; i++) {
        const peers = this.classes.wordOf(number, i);
        let serviced = false;
        for (let at = starts[peers]!; at < starts[peers + 1]!; at++) {
          const slot = slots[at]!;
          if (table.services[slot] !== 0) serviced = true;
          else if (strongest < 0 || table.label[slot]! < table.label[strongest]!) strongest = slot;
        }
        if (!serviced) continue;
        const layer = this.wide[peers] === 1 ? "wide" : "narrow";
        lists[layer] = grown(lists[layer], lengths[layer] + 1);
        lists[layer][lengths[layer]++] = peers;
      }
      const old = LAYERS.map((layer) => this.rowOf[layer][number]!);
      LAYERS.forEach((layer) => {
        this.rowOf[layer][number] =
          lengths[layer] === 0 ? NO_ROW : this.layers[layer].retain(lists[layer], lengths[layer]) + FIRST_ROW;
      });
      LAYERS.forEach((layer, i) => {
        if (old[i]! >= FIRST_ROW) this.layers[layer].release(old[i]! - FIRST_ROW);
      });
      this.only[number] = strongest < 0 ? 0 : valueOf(table, strongest);
    }
  }

  private buildRows({ builder, space, table, rules, estimate }: RowsUpdate): void {
    let cells = 0;
    const shares = new Map<number, number>();
    const pending = LAYERS.map((layer) => {
      const rows = this.layers[layer];
      return rows.pending(space, this.contents.touched).filter((row) => {
        const slots = this.slotsOf(rows, row, rules, table);
        const service = layer === "narrow" ? this.oneService(slots, table) : undefined;
        if (service !== undefined) {
          releaseTrie(space, rows.roots[row]!);
          rows.set(row, valueOf(table, strongestOf(slots, table)), HAS_SERVICE + service);
          return false;
        }
        for (const slot of slots) {
          const ranges = this.contents.services.lengthOf(table.services[slot]! - 1) / 2;
          cells += ranges;
          shares.set(slot, (shares.get(slot) ?? 0) + ranges);
        }
        return true;
      });
    });
    estimate(space.live + cells, shares);
    LAYERS.forEach((layer, i) => {
      const rows = this.layers[layer];
      for (const row of pending[i]!) {
        const list: RowRule[] = [];
        for (const slot of this.slotsOf(rows, row, rules, table)) {
          list.push(builder.rule(slot, this.contents.services.at(table.services[slot]! - 1)));
        }
        if (layer === "wide") rows.set(row, builder.build(list, rows.roots[row]!));
        else {
          const { root, service } = builder.buildBelow(list, rows.roots[row]!);
          rows.set(row, root, service);
        }
      }
    });
  }

  private collected = new Uint32Array(64);

  /** Slots of the rules on services that a row is made of; valid until the next call. */
  private slotsOf(rows: Rows, row: number, { starts, slots }: SlotsByPeers, table: RuleTable): Uint32Array {
    const { lists } = rows;
    let count = 0;
    for (let i = lists.lengthOf(row) - 1; i >= 0; i--) {
      const peers = lists.wordOf(row, i);
      for (let at = starts[peers]!; at < starts[peers + 1]!; at++) {
        if (table.services[slots[at]!] === 0) continue;
        this.collected = grown(this.collected, count + 1);
        this.collected[count++] = slots[at]!;
      }
    }
    return this.collected.subarray(0, count);
  }

  /** The service that all of these rules are about, if it is one. */
  private oneService(slots: Uint32Array, table: RuleTable): number | undefined {
    const { services } = this.contents;
    let service: number | undefined;
    for (const slot of slots) {
      const number = table.services[slot]! - 1;
      const first = services.wordOf(number, 0);
      if (services.lengthOf(number) !== 2 || services.wordOf(number, 1) !== first) return undefined;
      if (service !== undefined && service !== first) return undefined;
      service = first;
    }
    return service;
  }

  private writeRecords(space: CellSpace, stale: readonly number[], records: Records): void {
    const needed = Math.ceil((this.classes.count * RECORD_WORDS) / CELL_WORDS);
    const all = needed > records.capacity;
    if (all) {
      if (records.capacity > 0) space.releaseRegion(records.cell, 2 * records.capacity);
      records.capacity = needed + (needed >> 3);
      records.cell = space.region(2 * records.capacity);
    }
    const isStale = new Uint8Array(this.classes.count);
    for (const number of stale) isStale[number] = 1;
    const { rowOf, layers } = this;
    for (let number = 0; number < this.classes.count; number++) {
      if (!this.classes.has(number)) continue;
      const narrow = rowOf.narrow[number]! - FIRST_ROW;
      const wide = rowOf.wide[number]! - FIRST_ROW;
      const rebuilt =
        (narrow >= 0 && layers.narrow.wasBuilt(narrow)) || (wide >= 0 && layers.wide.wasBuilt(wide));
      if (!all && !rebuilt && isStale[number] === 0) continue;
      const at = number * RECORD_WORDS;
      const only = this.only[number]!;
      const hasRest = wide >= 0 || (narrow >= 0 && only !== 0);
      const service = narrow < 0 ? 0 : layers.narrow.services[narrow]!;
      space.setWord(
        records.cell,
        at + RECORD.narrow,
        narrow >= 0 ? layers.narrow.roots[narrow]! : hasRest ? 0 : only,
      );
      space.setWord(records.cell, at + RECORD.service, service + (hasRest ? HAS_REST : 0));
      const rests = records.cell + records.capacity;
      space.setWord(rests, at + REST.wide, wide < 0 ? 0 : layers.wide.roots[wide]!);
      space.setWord(rests, at + REST.only, hasRest ? only : 0);
    }
  }
}

function strongestOf(slots: Uint32Array, { label }: RuleTable): number {
  return slots.reduce((strongest, slot) => (label[slot]! < label[strongest]! ? slot : strongest));
}
