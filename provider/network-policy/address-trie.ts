/**
 * The trie of one family's addresses, whose leaves are address classes. It is changed where classes change and nowhere
 * else; of an empty one that is everywhere, so a trie from nothing is a change like any other.
 */
import { kindOf, LEAF, payloadOf, reference, SKIP, SKIP_WORDS, SPREAD, TABLE, TABLE_CELLS } from "./cells";
import type { CellSpace } from "./cell-space";
import { Cuts } from "./cuts";
import type { Words } from "./ranges";
import { MOST_RUNS, releaseRuns, type Runs, runsOf } from "./nodes";
import { decremented, incremented, keyWord, releaseTrie, setByte, TrieBuilder, zeroFrom } from "./trie";

/** Cuts from which a table of the first 16 bits pays. */
const TABLE_CUTS = 1024;
/** Cuts behind the first 16 bits of IPv6 from which one of the next 16 bits does. */
const SECOND_TABLE_CUTS = 4096;

/** Where a trie is; what else it is lies in cells. */
export interface TrieRoot {
  /** Used where there is no table. */
  root: number;
  /** First cell of the table; 0: none. */
  table: number;
  /** At least as many as there are, while there is no table. */
  cuts: number;
}

/** The classes of addresses, as a trie sees them. */
export interface Leaves {
  uses: Uint32Array;
  /** The class that addresses of a class are in after a change; change 0 is none. */
  changed(number: number, change: number): number;
}

export class AddressTrie {
  private changes = new Cuts(1);
  private payloads = new Uint32Array(0);
  private readonly builder: TrieBuilder;

  constructor(
    private readonly space: CellSpace,
    private readonly words: Words,
    private readonly leaves: Leaves,
    private readonly at: TrieRoot,
  ) {
    this.builder = new TrieBuilder(space, leaves);
  }

  /** From each start of `changes` on, addresses change class by that change; before the first start they do not. */
  apply(changes: Cuts): void {
    if (changes.count === 0) return;
    this.changes = changes;
    this.payloads = new Uint32Array(changes.count);
    const { at } = this;
    if (at.table !== 0) return this.applyToTable(at.table, 0, 0, changes.count, 0);
    at.cuts += changes.count;
    if (at.cuts >= TABLE_CUTS) {
      const cuts = this.decoded(at.root, 0, new Uint32Array(this.words));
      at.cuts = cuts.count + changes.count;
      if (at.cuts >= TABLE_CUTS) {
        this.free(at.root);
        at.root = 0;
        return this.buildTable(this.merged(cuts, 0, changes.count, 0));
      }
    }
    const begins = zeroFrom(changes.starts, 0, this.words, 0);
    const root = this.patch(at.root, 0, begins ? 1 : 0, changes.count, begins ? changes.payloads[0]! : 0);
    this.exchange(at.root, root);
    at.root = root;
  }

  private buildTable(cuts: Cuts): void {
    this.use(cuts);
    this.at.table = this.tableOf(cuts, 0, 1, cuts.count, cuts.payloads[0]!);
  }

  private use({ starts, payloads }: Cuts): TrieBuilder {
    const { words } = this;
    return this.builder.use({ words, bytes: 4 * words, starts, payloads });
  }

  /** As `build` of the builder, with a table for the two bytes after `depth`, of the cuts that the builder uses. */
  private tableOf(cuts: Cuts, depth: number, from: number, to: number, payload: number): number {
    const { space, builder } = this;
    const table = space.region(TABLE_CELLS);
    this.byTwoBytes(cuts, depth, from, to, (index, first, next, begins) => {
      payload = begins ?? payload;
      const wide = this.leadsToTables(depth) && next - first >= SECOND_TABLE_CUTS;
      const built = wide
        ? reference(TABLE, this.tableOf(cuts, depth + 2, first, next, payload))
        : builder.build(depth + 2, first, next, payload);
      builder.hold(built);
      space.setWord(table, index, built);
      if (next > first) payload = cuts.payloads[next - 1]!;
    });
    return table;
  }

  /** Of IPv6 the first two bytes tell few networks apart. */
  private leadsToTables(depth: number): boolean {
    return depth === 0 && this.words === 4;
  }

  /** Which cuts lie behind each two bytes after `depth`; one that begins just there is given as its payload. */
  private byTwoBytes(
    { starts, payloads }: Cuts,
    depth: number,
    from: number,
    to: number,
    visit: (index: number, first: number, next: number, begins: number | undefined) => void,
  ): void {
    const { words } = this;
    for (let index = 0, next = from; index < 65536; index++) {
      const first = next;
      while (next < to && keyWord(starts, next * words, words, depth) >>> 16 === index) next++;
      const begins = first < next && zeroFrom(starts, first * words, words, depth + 2);
      visit(index, begins ? first + 1 : first, next, begins ? payloads[first] : undefined);
    }
  }

  private applyToTable(table: number, depth: number, from: number, to: number, change: number): void {
    const { space, changes } = this;
    this.byTwoBytes(changes, depth, from, to, (index, first, next, begins) => {
      change = begins ?? change;
      if (first === next && change === 0) return;
      const last = next > first ? changes.payloads[next - 1]! : change;
      const was = space.word(table, index);
      const patched = this.patch(was, depth + 2, first, next, change);
      const wide = this.leadsToTables(depth) && this.cutsBelow(patched) >= SECOND_TABLE_CUTS;
      const is = wide ? this.widened(patched, index) : patched;
      this.exchange(was, is);
      space.setWord(table, index, is);
      change = last;
    });
  }

  /** As many as a table is for, or fewer where there are fewer. */
  private cutsBelow(ref: number): number {
    if (kindOf(ref) !== SPREAD) return 0;
    let count = 0;
    const visit = (held: number): void => {
      if (kindOf(held) === LEAF || count >= SECOND_TABLE_CUTS) return;
      if (kindOf(held) === SKIP) {
        count += 2;
        return visit(this.space.word(payloadOf(held), 8));
      }
      const { references } = runsOf(this.space, held);
      count += references.length - 1;
      references.forEach(visit);
    };
    visit(ref);
    return count;
  }

  /** A table in place of a node in the first table. */
  private widened(ref: number, index: number): number {
    const key = new Uint32Array(this.words);
    key[0] = index << 16;
    const cuts = this.decoded(ref, 2, key);
    this.free(ref);
    this.use(cuts);
    return reference(TABLE, this.tableOf(cuts, 2, 1, cuts.count, cuts.payloads[0]!));
  }

  /**
   * Changes what lies below a reference, `depth` bytes from the first; the starts `from` to `to` are all within, and
   * `change` holds at the first key. Gives what to refer to instead.
   */
  private patch(ref: number, depth: number, from: number, to: number, change: number): number {
    if (from === to) return change === 0 ? ref : this.mapped(ref, change);
    switch (kindOf(ref)) {
      case LEAF:
        return this.fill(payloadOf(ref), depth, from, to, change);
      case SKIP:
        return this.patchSkip(ref, depth, from, to, change);
      case TABLE:
        this.applyToTable(payloadOf(ref), depth, from, to, change);
        return ref;
      default:
        return this.patchRuns(ref, depth, from, to, change);
    }
  }

  /** In place of a leaf. */
  private fill(number: number, depth: number, from: number, to: number, change: number): number {
    const { payloads, changes, words, leaves } = this;
    for (let i = from; i < to; i++) payloads[i] = leaves.changed(number, changes.payloads[i]!);
    this.builder.use({ words, bytes: 4 * words, starts: changes.starts, payloads });
    return this.builder.build(depth, from, to, leaves.changed(number, change));
  }

  /** The same change everywhere: what was different still is. */
  private mapped(ref: number, change: number): number {
    if (kindOf(ref) === LEAF) return reference(LEAF, this.leaves.changed(payloadOf(ref), change));
    const map = (cell: number, word: number) => {
      const was = this.space.word(cell, word);
      const is = this.mapped(was, change);
      this.exchange(was, is);
      this.space.setWord(cell, word, is);
    };
    if (kindOf(ref) === SKIP) {
      map(payloadOf(ref), 8);
      map(payloadOf(ref), 9);
      return ref;
    }
    if (kindOf(ref) === TABLE) {
      for (let index = 0; index < 65536; index++) map(payloadOf(ref), index);
      return ref;
    }
    const runs = runsOf(this.space, ref);
    const references = runs.references.map((was) => this.mapped(was, change));
    return this.replaced(ref, runs, { starts: runs.starts, references }, references.length);
  }

  private patchRuns(ref: number, depth: number, from: number, to: number, change: number): number {
    const { starts, payloads } = this.changes;
    const { words, space } = this;
    const runs = runsOf(space, ref);
    const { size } = runs;
    const digitAt = (i: number) => keyWord(starts, i * words, words, depth) >>> (32 - 8 * size);
    const edges = edgesWith(runs, from, to, digitAt);
    if (edges.length > MOST_RUNS[size]) return this.rebuilt(ref, depth, from, to, change);
    const references = new Uint32Array(edges.length);
    let changed = false;
    let count = 0;
    for (let edge = 0, run = 0, i = from; edge < edges.length; edge++) {
      const digit = edges[edge]!;
      while (run + 1 < runs.starts.length && runs.starts[run + 1]! <= digit) run++;
      let first = i;
      while (i < to && digitAt(i) === digit) i++;
      if (first < i && zeroFrom(starts, first * words, words, depth + size)) change = payloads[first++]!;
      const was = runs.references[run]!;
      const is = this.patch(was, depth + size, first, i, change);
      changed ||= is !== was;
      if (count === 0 || references[count - 1] !== is) {
        edges[count] = digit;
        references[count++] = is;
      }
      if (i > first) change = payloads[i - 1]!;
    }
    if (!changed) return ref;
    return this.replaced(ref, runs, { starts: edges, references }, count);
  }

  /** A node of other runs in place of one, or the only reference that is left. */
  private replaced(ref: number, was: Runs, is: Pick<Runs, "starts" | "references">, count: number): number {
    for (const held of was.references) this.exchange(held, 0);
    releaseRuns(this.space, ref, was);
    return count === 1 ? is.references[0]! : this.builder.writeRuns(was.size, is, 0, count);
  }

  private patchSkip(ref: number, depth: number, from: number, to: number, change: number): number {
    const { starts, payloads } = this.changes;
    const { words, space } = this;
    const cell = payloadOf(ref);
    const { compared, dropped } = this.skipAt(cell);
    const inner = depth + dropped / 8;
    const matches = (key: Uint32Array, at: number) => this.matches(cell, key, at, depth);
    let end = to;
    if (!matches(starts, (to - 1) * words)) {
      // the last start may be the first key after the prefix
      const before = starts.slice((to - 1) * words, to * words);
      if (matches(decremented(before), 0)) end--;
    }
    const within =
      compared === dropped &&
      change === 0 &&
      payloads[to - 1] === 0 &&
      end > from &&
      matches(starts, from * words) &&
      matches(starts, (end - 1) * words);
    if (!within) return this.rebuilt(ref, depth, from, to, change);
    const begins = zeroFrom(starts, from * words, words, inner);
    const was = space.word(cell, 8);
    const is = this.patch(was, inner, begins ? from + 1 : from, end, begins ? payloads[from]! : 0);
    this.exchange(was, is);
    if (is !== space.word(cell, 9)) {
      space.setWord(cell, 8, is);
      return ref;
    }
    // match and mismatch have become the same
    this.exchange(is, 0);
    this.exchange(is, 0);
    space.release(cell, 1);
    return is;
  }

  /** What lies below a reference, built anew with the changes. */
  private rebuilt(ref: number, depth: number, from: number, to: number, change: number): number {
    const { words } = this;
    const key = this.changes.starts.slice(from * words, (from + 1) * words);
    for (let byte = depth; byte < 4 * words; byte++) setByte(key, byte, 0);
    const cuts = this.merged(this.decoded(ref, depth, key), from, to, change);
    this.free(ref);
    return this.use(cuts).build(depth, 1, cuts.count, cuts.payloads[0]!);
  }

  private decoded(ref: number, depth: number, key: Uint32Array): Cuts {
    const cuts = new Cuts(this.words);
    this.decode(ref, depth, key, cuts);
    return cuts;
  }

  private decode(ref: number, depth: number, key: Uint32Array, cuts: Cuts): void {
    if (kindOf(ref) === LEAF) return cuts.add(key, 0, payloadOf(ref));
    const here = key.slice();
    const { space } = this;
    if (kindOf(ref) !== SKIP) {
      const { size, starts, references } = runsOf(space, ref);
      for (let i = 0; i < starts.length; i++) {
        for (let byte = 0; byte < size; byte++) {
          setByte(here, depth + byte, (starts[i]! >>> (8 * (size - 1 - byte))) & 255);
        }
        this.decode(references[i]!, depth + size, here, cuts);
      }
      return;
    }
    const cell = payloadOf(ref);
    const { compared, dropped } = this.skipAt(cell);
    const otherwise = payloadOf(space.word(cell, 9));
    cuts.add(here, 0, otherwise);
    for (let bit = 0; bit < compared; bit++) {
      if ((space.word(cell, SKIP_WORDS[bit >> 5]!) >>> (31 - (bit & 31))) & 1) {
        here[(8 * depth + bit) >> 5]! |= 1 << (31 - ((8 * depth + bit) & 31));
      }
    }
    this.decode(space.word(cell, 8), depth + dropped / 8, here, cuts);
    if (incremented(here, 8 * depth + compared, 8 * depth)) cuts.add(here, 0, otherwise);
  }

  /** Cuts with the changes `from` to `to` made to them; `change` holds at the first cut. */
  private merged(cuts: Cuts, from: number, to: number, change: number): Cuts {
    const { words, changes, leaves } = this;
    const merged = new Cuts(words, cuts.count + to - from);
    let number = 0;
    for (let i = 0, j = from; i < cuts.count || j < to;) {
      const order = i === cuts.count ? 1 : j === to ? -1 : cuts.compare(i, changes, j);
      const [source, at] = order <= 0 ? [cuts, i] : [changes, j];
      if (order <= 0) number = cuts.payloads[i++]!;
      if (order >= 0) change = changes.payloads[j++]!;
      merged.add(source.starts, at * words, leaves.changed(number, change));
    }
    return merged;
  }

  private free(ref: number): void {
    releaseTrie(this.space, ref, (number) => this.leaves.uses[number]!--);
  }

  /** Counts leaves: a cell had one reference and has another; 0 as `is`: none. */
  private exchange(was: number, is: number): void {
    if (was === is) return;
    const { uses } = this.leaves;
    if (kindOf(was) === LEAF) uses[payloadOf(was)]!--;
    if (is !== 0) this.builder.hold(is);
  }

  /** Bits that a SKIP compares, and those that are behind once they match. */
  private skipAt(cell: number): { compared: number; dropped: number } {
    let compared = 0;
    for (const word of SKIP_WORDS) compared += Math.clz32(~this.space.word(cell, word + 4));
    return { compared, dropped: this.space.word(cell, 10) };
  }

  private matches(cell: number, key: Uint32Array, at: number, depth: number): boolean {
    return SKIP_WORDS.every((word, i) => {
      const bits = keyWord(key, at, this.words, depth + 4 * i) ^ this.space.word(cell, word);
      return (bits & this.space.word(cell, word + 4)) === 0;
    });
  }
}

/** Starts of a node's runs, and of what changes among them: bytes that changes are within, and those after. */
function edgesWith(runs: Runs, from: number, to: number, digitAt: (i: number) => number): Uint32Array {
  const edges = [...runs.starts];
  const known = new Set(edges);
  const add = (digit: number) => {
    if (digit < 256 ** runs.size && !known.has(digit)) edges.push(digit);
    known.add(digit);
  };
  for (let i = from; i < to; i++) {
    add(digitAt(i));
    add(digitAt(i) + 1);
  }
  return Uint32Array.from(edges.sort((a, b) => a - b));
}
