/**
 * The rules of one direction that are enforced, or audited, and their cells.
 *
 * Rules fall into four layers, and the strongest answer of the four decides: *narrow* (peers and services), *wide*
 * (the same, with peers that hold in many address classes: apart, since their services would be repeated in the rows
 * of all of these), *only* peers, and *everyone* (any peer). An address class has one row in each of the first two
 * layers; a row holds where in the 24 bits of a service the decision changes.
 */
import { AddressTrie, type TrieRoot } from "./address-trie";
import { SET } from "./cells";
import type { CellSpace } from "./cell-space";
import { ClassRows, type Estimate, type Records } from "./class-rows";
import { AddressClasses } from "./classes";
import type { ColumnReader, ColumnWriter } from "./columns";
import { InternedLists } from "./interned";
import { RowBuilder } from "./rows";
import { RuleContents, type SetChange } from "./rule-contents";
import type { RuleTable } from "./rule-table";
import type { RowRule } from "./services";

const FAMILIES = [
  { words: 1, root: SET.root4, table: SET.table4 },
  { words: 4, root: SET.root6, table: SET.table6 },
] as const;

/** What changed around the rules. */
export interface Update extends SetChange {
  space: CellSpace;
  table: RuleTable;
  estimate: Estimate;
}

export interface RuleSetScalars {
  everyone: number;
  records: Records;
  roots: [TrieRoot, TrieRoot];
}

export class RuleSet {
  private scalars: RuleSetScalars = {
    everyone: 0,
    records: { cell: 0, capacity: 0 },
    roots: [
      { root: 0, table: 0, cuts: 0 },
      { root: 0, table: 0, cuts: 0 },
    ],
  };

  private constructor(
    /** The cell that describes it. */
    readonly cell: number,
    readonly contents: RuleContents,
    private readonly classes: InternedLists,
    private readonly rows: ClassRows,
  ) {}

  static empty(cell: number): RuleSet {
    const [contents, classes] = [new RuleContents(), new InternedLists()];
    classes.intern(new Uint32Array(0));
    return new RuleSet(cell, contents, classes, new ClassRows(classes, contents));
  }

  copy(): RuleSet {
    const [contents, classes] = [this.contents.copy(), this.classes.copy()];
    const copy = new RuleSet(this.cell, contents, classes, this.rows.copy(classes, contents));
    copy.scalars = structuredClone(this.scalars);
    return copy;
  }

  /** Gives what is not in columns. */
  write(writer: ColumnWriter): RuleSetScalars {
    for (const part of [this.contents, this.classes, this.rows]) part.write(writer);
    return this.scalars;
  }

  static read(cell: number, reader: ColumnReader, scalars: RuleSetScalars): RuleSet {
    const [contents, classes] = [RuleContents.read(reader), InternedLists.read(reader)];
    const set = new RuleSet(cell, contents, classes, ClassRows.read(reader, classes, contents));
    set.scalars = scalars;
    return set;
  }

  /** Its number in the table. */
  private get number(): number {
    return this.cell - 1;
  }

  /** Whether any rule is there. */
  hasRules(table: RuleTable): boolean {
    return table.set.subarray(0, table.count).includes(this.number);
  }

  update(update: Update): void {
    const { space, table } = update;
    const { contents, scalars } = this;
    this.exchangeClasses(update);
    const builder = new RowBuilder(space, table);
    const rules = table.byPeers(this.number, contents.peers.count);
    this.rows.update({ ...update, rules, builder }, scalars.records);
    if (contents.everyoneTouched)
      scalars.everyone = builder.build(this.rulesForEveryone(table, builder), scalars.everyone);
    this.rows.sweepPeers();
    contents.services.sweep(() => undefined);
    this.describe(space);
  }

  /** Moves addresses between classes where their peers changed. */
  private exchangeClasses(update: Update): void {
    const changes = new InternedLists();
    changes.intern(new Uint32Array(0));
    const classes = new AddressClasses(this.classes, changes);
    FAMILIES.forEach(({ words }, family) => {
      const cuts = this.contents.flips(update, words).swept(changes);
      new AddressTrie(update.space, words, classes, this.scalars.roots[family]!).apply(cuts);
    });
    this.classes.uses[0] = 1;
    this.rows.sweepClasses();
  }

  private rulesForEveryone(table: RuleTable, builder: RowBuilder): RowRule[] {
    const everyone: RowRule[] = [];
    for (let slot = 0; slot < table.count; slot++) {
      if (table.set[slot] !== this.number || table.peers[slot] !== 0) continue;
      const services = table.services[slot]!;
      everyone.push(builder.rule(slot, services === 0 ? undefined : this.contents.services.at(services - 1)));
    }
    return everyone;
  }

  private describe(space: CellSpace): void {
    const { everyone, records, roots } = this.scalars;
    const set = (word: number, value: number): void => space.setWord(this.cell, word, value);
    FAMILIES.forEach(({ root, table }, family) => {
      set(root, roots[family]!.root);
      set(table, roots[family]!.table);
    });
    set(SET.everyone, everyone);
    set(SET.records, records.cell);
    set(SET.rests, records.cell + records.capacity);
    set(SET.classes, this.classes.count);
  }
}
