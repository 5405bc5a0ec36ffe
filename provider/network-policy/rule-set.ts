/**
 * The rules of one direction that are enforced, or audited, and their cells.
 *
 * Rules fall into four layers, and the strongest answer of the four decides: *narrow* (peers and services), *wide*
 * (the same, with peers that hold in many address classes: apart, since their services would be repeated in the rows
 * of all of these), *only* peers, and *everyone* (any peer). An address class has one row in each of the first two
 * layers; a row holds where in the 24 bits of a service the decision changes.
 *
 * One file of this length: peers, classes and rows are columns that an update goes through in one order, each by the numbers
 * of the one before.
 */
import { AddressTrie, type TrieRoot } from "./address-trie";
import { type AddressSet } from "./address-sets";
import { CELL_WORDS, HAS_REST, HAS_SERVICE, RECORD, RECORD_WORDS, REST, SET } from "./cells";
import type { CellSpace } from "./cell-space";
import { AddressClasses } from "./classes";
import { type ColumnReader, type ColumnWriter, grown } from "./columns";
import { Flips } from "./flips";
import { InternedLists } from "./interned";
import { coverage, setsOf } from "./peer-sets";
import { NONE, type Ranges, united, type Words } from "./ranges";
import { RowBuilder, Rows, valueOf } from "./rows";
import type { RuleTable } from "./rule-table";
import type { RowRule } from "./services";
import { releaseTrie } from "./trie";

/** Classes where peers may hold before their rules move to the wide layer. */
const NARROW_CLASSES = 64;
/** In `rows` of a class: not known yet; no row; else the row's number and this. */
const [UNKNOWN, NO_ROW, FIRST_ROW] = [0, 1, 2];

const FAMILIES = [
  { words: 1, root: SET.root4, table: SET.table4 },
  { words: 4, root: SET.root6, table: SET.table6 },
] as const;
const LAYERS = ["narrow", "wide"] as const;

/** What changed around the rules. */
export interface Update {
  space: CellSpace;
  table: RuleTable;
  /** By number, before and now. */
  before: readonly (AddressSet | undefined)[];
  sets: readonly (AddressSet | undefined)[];
  /** Where a set matches otherwise; absent: nowhere. */
  differs(set: number, words: Words): Ranges | undefined;
  /** Called with the cells that there will be, before they are made, and what each slot adds to them. */
  estimate(cells: number, shares: ReadonlyMap<number, number>): void;
}

export interface RuleSetScalars {
  everyone: number;
  /** Cells of the records, and as many of their rests behind them. */
  records: { cell: number; capacity: number };
  roots: [TrieRoot, TrieRoot];
}

export class RuleSet {
  /** Used once by each rule; see peer-sets. */
  peers = new InternedLists();
  services = new InternedLists();
  private classes = new InternedLists();
  private layers = { narrow: new Rows(), wide: new Rows() };
  /** By class; see FIRST_ROW. */
  private rowOf = { narrow: new Uint32Array(16), wide: new Uint32Array(16) };
  private only = new Uint32Array(16);
  /** By peers: 1 where their rules are in the wide layer. */
  private wide = new Uint32Array(16);
  private scalars: RuleSetScalars = {
    everyone: 0,
    records: { cell: 0, capacity: 0 },
    roots: [
      { root: 0, table: 0, cuts: 0 },
      { root: 0, table: 0, cuts: 0 },
    ],
  };
  /** Peers that are gone or others, with what they were. */
  private readonly exchanged = new Map<number, Uint32Array>();
  /** By peers: 1 where the generation before had none of this number. */
  private appeared = new Uint8Array(16);
  /** By peers: 1 where their rules changed. */
  private touched = new Uint8Array(16);
  private everyoneTouched = false;
  private changed = false;

  constructor(
    /** The cell that describes it. */
    readonly cell: number,
  ) {
    this.classes.intern(new Uint32Array(0));
  }

  copy(): RuleSet {
    const copy = new RuleSet(this.cell);
    copy.peers = this.peers.copy();
    copy.services = this.services.copy();
    copy.classes = this.classes.copy();
    copy.layers = { narrow: this.layers.narrow.copy(), wide: this.layers.wide.copy() };
    copy.rowOf = { narrow: this.rowOf.narrow.slice(), wide: this.rowOf.wide.slice() };
    copy.only = this.only.slice();
    copy.wide = this.wide.slice();
    copy.scalars = structuredClone(this.scalars);
    return copy;
  }

  /** Gives what is not in columns. */
  write(writer: ColumnWriter): RuleSetScalars {
    const { peers, services, classes, layers, rowOf, only, wide } = this;
    for (const part of [peers, services, classes, layers.narrow, layers.wide]) part.write(writer);
    for (const column of [rowOf.narrow, rowOf.wide, only]) writer.column(column.subarray(0, classes.count));
    writer.column(wide.subarray(0, peers.count));
    return this.scalars;
  }

  static read(cell: number, reader: ColumnReader, scalars: RuleSetScalars): RuleSet {
    const set = new RuleSet(cell);
    set.peers = InternedLists.read(reader);
    set.services = InternedLists.read(reader);
    set.classes = InternedLists.read(reader);
    set.layers = { narrow: Rows.read(reader), wide: Rows.read(reader) };
    set.rowOf = { narrow: reader.column(), wide: reader.column() };
    set.only = reader.column();
    set.wide = reader.column();
    set.scalars = scalars;
    return set;
  }

  /** Whether numbers of peers and services, + 1, are those of a rule that has these. */
  has(
    peers: number,
    services: number,
    content: Uint32Array | undefined,
    ranges: Uint32Array | undefined,
  ): boolean {
    return (
      peers === (content === undefined ? 0 : (this.peers.find(content) ?? -1) + 1 || -1) &&
      services === (ranges === undefined ? 0 : (this.services.find(ranges) ?? -1) + 1 || -1)
    );
  }

  /** A rule is there no more, or is about to become another. */
  release(peers: number, services: number): void {
    this.touch(peers);
    if (services > 0) this.services.uses[services - 1]!--;
    if (peers > 0 && --this.peers.uses[peers - 1]! === 0) this.remember(peers - 1, this.peers.at(peers - 1));
  }

  /**
   * Peers and services of a rule, by number + 1. `instead` are peers that the rule had: unless other rules have these,
   * the new ones get their number, so that classes that do not change keep theirs.
   */
  retain(
    content: Uint32Array | undefined,
    services: Uint32Array | undefined,
    instead = 0,
  ): { peers: number; services: number } {
    let peers = 0;
    if (content !== undefined) {
      peers = this.peersNumber(content, instead) + 1;
      this.peers.uses[peers - 1]!++;
    }
    this.touch(peers);
    if (services === undefined) return { peers, services: 0 };
    const number = this.services.intern(services);
    this.services.uses[number]!++;
    return { peers, services: number + 1 };
  }

  private peersNumber(content: Uint32Array, instead: number): number {
    const { peers } = this;
    const known = peers.find(content);
    if (known === undefined && instead > 0 && peers.uses[instead - 1] === 0) {
      peers.replace(instead - 1, content);
      return instead - 1;
    }
    const number = known ?? peers.intern(content);
    if (known !== undefined) return number;
    this.appeared = grown(this.appeared, number + 1);
    this.appeared[number] = 1;
    return number;
  }

  private touch(peers: number): void {
    this.changed = true;
    if (peers === 0) this.everyoneTouched = true;
    else {
      this.touched = grown(this.touched, peers);
      this.touched[peers - 1] = 1;
    }
  }

  private remember(peers: number, content: Uint32Array): void {
    if (this.appeared[peers] !== 1 && !this.exchanged.has(peers)) this.exchanged.set(peers, content.slice());
  }

  /** Whether the peers of some rule have a set. */
  names(set: number): boolean {
    for (let peers = 0; peers < this.peers.count; peers++) {
      if (!this.peers.has(peers) || this.peers.wordOf(peers, 0) === 0) continue;
      if (setsOf(this.peers.at(peers)).includes(set)) return true;
    }
    return false;
  }

  /** Whether any rule is there. */
  hasRules(table: RuleTable): boolean {
    return table.set.subarray(0, table.count).includes(this.cell - 1);
  }

  /** Whether there is anything to update. */
  changes({ differs }: Update): boolean {
    if (this.changed) return true;
    for (let peers = 0; peers < this.peers.count; peers++) {
      if (!this.peers.has(peers) || this.peers.wordOf(peers, 0) === 0) continue;
      const sets = setsOf(this.peers.at(peers));
      if (FAMILIES.some(({ words }) => sets.some((set) => differs(set, words) !== undefined))) return true;
    }
    return false;
  }

  update(update: Update): void {
    const { space, table } = update;
    const classes = this.exchangeClasses(update);
    const rules = this.rulesByPeers(table);
    const stale = this.staleClasses();
    this.assignRows(stale, rules, table);
    this.buildRows(update, rules);
    this.writeRecords(space, stale);
    this.peers.sweep((peers) => (this.wide[peers] = 0));
    this.services.sweep(() => undefined);
    const { everyone, records, roots } = this.scalars;
    const words = (word: number, value: number) => space.setWord(this.cell, word, value);
    FAMILIES.forEach(({ root, table }, family) => {
      words(root, roots[family]!.root);
      words(table, roots[family]!.table);
    });
    words(SET.everyone, everyone);
    words(SET.records, records.cell);
    words(SET.rests, records.cell + records.capacity);
    words(SET.classes, classes);
  }

  /** Moves addresses between classes where their peers changed. Gives how many classes there are numbers for. */
  private exchangeClasses(update: Update): number {
    const changes = new InternedLists();
    changes.intern(new Uint32Array(0));
    const classes = new AddressClasses(this.classes, changes);
    FAMILIES.forEach(({ words }, family) => {
      const cuts = this.flips(update, words).swept(changes);
      new AddressTrie(update.space, words, classes, this.scalars.roots[family]!).apply(cuts);
    });
    this.classes.uses[0] = 1;
    for (const layer of LAYERS) this.rowOf[layer] = grown(this.rowOf[layer], this.classes.count);
    this.only = grown(this.only, this.classes.count);
    this.classes.sweep((number) => this.releaseRows(number));
    return this.classes.count;
  }

  private flips(update: Update, words: Words): Flips {
    const flips = new Flips(words);
    const { before, sets } = update;
    const now = (peers: number) =>
      this.peers.uses[peers] === 0 ? NONE[words] : coverage(this.peers.at(peers), sets, words);
    for (const [peers, old] of this.exchanged) flips.add(peers, coverage(old, before, words), now(peers));
    for (let peers = 0; peers < this.peers.count; peers++) {
      if (this.appeared[peers] === 1) {
        flips.add(peers, NONE[words], now(peers));
        continue;
      }
      if (this.peers.uses[peers] === 0 || !this.peers.has(peers)) continue;
      if (this.peers.wordOf(peers, 0) === 0 || this.exchanged.has(peers)) continue;
      const content = this.peers.at(peers);
      const within = united(
        Array.from(setsOf(content), (set) => update.differs(set, words) ?? NONE[words]),
        words,
      );
      if (within.count === 0) continue;
      flips.add(peers, coverage(content, before, words, within), coverage(content, sets, words, within));
    }
    return flips;
  }

  /** Slots of the rules that have these peers: `slots[starts[peers]]` and on, up to the start of the next. */
  private rulesByPeers(table: RuleTable): { starts: Uint32Array; slots: Uint32Array } {
    const own = this.cell - 1;
    const starts = new Uint32Array(this.peers.count + 1);
    for (let slot = 0; slot < table.count; slot++) {
      if (table.set[slot] === own && table.peers[slot] !== 0) starts[table.peers[slot]!]!++;
    }
    for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!;
    const slots = new Uint32Array(starts.at(-1)!);
    const next = starts.slice();
    for (let slot = 0; slot < table.count; slot++) {
      if (table.set[slot] === own && table.peers[slot] !== 0) slots[next[table.peers[slot]! - 1]!++] = slot;
    }
    return { starts, slots };
  }

  /** Classes whose rows may be others: new ones, those of peers whose rules changed, and of peers that became wide. */
  private staleClasses(): number[] {
    const { classes, wide } = this;
    const coverage = new Uint32Array(this.peers.count);
    for (let number = 0; number < classes.count; number++) {
      if (!classes.has(number)) continue;
      for (let i = classes.lengthOf(number) - 1; i >= 0; i--) coverage[classes.wordOf(number, i)]!++;
    }
    this.wide = grown(wide, this.peers.count);
    const moved = new Uint8Array(this.peers.count);
    moved.set(this.touched.subarray(0, moved.length));
    for (let peers = 0; peers < this.peers.count; peers++) {
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

  private assignRows(stale: readonly number[], rules: Rules, table: RuleTable): void {
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

  private releaseRows(number: number): void {
    for (const layer of LAYERS) {
      const row = this.rowOf[layer][number]!;
      if (row >= FIRST_ROW) this.layers[layer].release(row - FIRST_ROW);
      this.rowOf[layer][number] = UNKNOWN;
    }
  }

  private buildRows({ space, table, estimate }: Update, rules: Rules): void {
    const builder = new RowBuilder(space, table);
    let cells = 0;
    const shares = new Map<number, number>();
    const pending = LAYERS.map((layer) => {
      const rows = this.layers[layer];
      return rows.pending(space, this.touched).filter((row) => {
        const slots = this.slotsOf(rows, row, rules, table);
        const service = layer === "narrow" ? this.oneService(slots, table) : undefined;
        if (service !== undefined) {
          releaseTrie(space, rows.roots[row]!);
          rows.set(row, valueOf(table, strongestOf(slots, table)), HAS_SERVICE + service);
          return false;
        }
        for (const slot of slots) {
          const ranges = this.services.lengthOf(table.services[slot]! - 1) / 2;
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
          list.push(builder.rule(slot, this.services.at(table.services[slot]! - 1)));
        }
        if (layer === "wide") rows.set(row, builder.build(list, rows.roots[row]!));
        else {
          const { root, service } = builder.buildBelow(list, rows.roots[row]!);
          rows.set(row, root, service);
        }
      }
    });
    if (!this.everyoneTouched) return;
    const everyone: RowRule[] = [];
    for (let slot = 0; slot < table.count; slot++) {
      if (table.set[slot] !== this.cell - 1 || table.peers[slot] !== 0) continue;
      const services = table.services[slot]!;
      everyone.push(builder.rule(slot, services === 0 ? undefined : this.services.at(services - 1)));
    }
    this.scalars.everyone = builder.build(everyone, this.scalars.everyone);
  }

  private collected = new Uint32Array(64);

  /** Slots of the rules on services that a row is made of; valid until the next call. */
  private slotsOf(rows: Rows, row: number, { starts, slots }: Rules, table: RuleTable): Uint32Array {
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
    let service: number | undefined;
    for (const slot of slots) {
      const number = table.services[slot]! - 1;
      const first = this.services.wordOf(number, 0);
      if (this.services.lengthOf(number) !== 2 || this.services.wordOf(number, 1) !== first) return undefined;
      if (service !== undefined && service !== first) return undefined;
      service = first;
    }
    return service;
  }

  private writeRecords(space: CellSpace, stale: readonly number[]): void {
    const { records } = this.scalars;
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

interface Rules {
  starts: Uint32Array;
  slots: Uint32Array;
}
