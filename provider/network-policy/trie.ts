/** Builds tries of cells over sorted keys, in the places that the generation before had for the same keys. */
import {
  type Arena,
  CELL_WORDS,
  INLINE_RUNS,
  kindOf,
  LEAF,
  MOST_STARTS,
  NODE,
  payloadOf,
  RANGES,
  reference,
  SKIP,
  SKIP_WORDS,
  SPREAD,
} from "./cells";
import { findRange, findRun, startOf } from "./lookup";

export interface Keys {
  /** Keys are left-aligned in this many 32-bit words. */
  words: 1 | 4;
  /** Bytes that count. */
  bytes: number;
  /** Ascending; the first is 0. */
  starts: Uint32Array;
  /** `payloads[i]` holds from `starts[i]` on; neighbours differ. */
  payloads: Uint32Array;
  count: number;
}

export class TrieBuilder {
  /** Strongest payload below the reference that `build` gave last. */
  private strongest = 0;

  constructor(
    private readonly arena: Arena,
    /** Cells of the generation before; claiming one clears it in the arena only. */
    private readonly before: Uint32Array,
    private readonly keys: Keys,
    /** Lower is stronger. Absent: payloads are classes and have no strength. */
    private readonly strength?: (payload: number) => number,
  ) {}

  /** Of all keys, or below the table of the first 16 bits: one reference for each. */
  root(old: number): number {
    return this.build(0, 1, this.keys.count, this.keys.payloads[0]!, old);
  }

  table(cell: number, old: (index: number) => number): void {
    const { starts, words, payloads, count } = this.keys;
    let payload = payloads[0]!;
    let next = 1;
    for (let index = 0; index < 65536; index++) {
      const from = next;
      while (next < count && starts[next * words]! >>> 16 === index) next++;
      let inside = from;
      if (inside < next && this.zeroFrom(inside, 2)) payload = payloads[inside++]!;
      const built = this.build(2, inside, next, payload, old(index));
      this.arena.words[cell * CELL_WORDS + index] = built;
      if (next > inside) payload = payloads[next - 1]!;
    }
  }

  /** What lies between starts `from` and `to`, all of which have their first `depth` bytes in common. */
  private build(depth: number, from: number, to: number, payload: number, old: number): number {
    if (from === to) {
      this.strongest = payload;
      return reference(LEAF, payload);
    }
    return (
      this.skip(depth, from, to, payload, old) ??
      this.ranges(depth, from, to, payload, old) ??
      this.node(depth, from, to, payload, old)
    );
  }

  /** One cell for two bytes, where there are few runs; not in rows, of which each byte's strongest value is asked. */
  private ranges(depth: number, from: number, to: number, payload: number, old: number): number | undefined {
    if (this.strength !== undefined || depth + 2 > this.keys.bytes) return undefined;
    if (this.mostRuns(depth, from, to) > MOST_STARTS) return undefined;
    const cell = this.place(old, kindOf(old) === RANGES);
    const { starts, references } = this.runs(2, depth, from, to, payload, old);
    const first = this.block(old, Math.ceil(references.length / CELL_WORDS)) * CELL_WORDS;
    const { words } = this.arena;
    const at = cell * CELL_WORDS;
    const half = 2 * CELL_WORDS - starts.length;
    words[at] = first - half;
    starts.forEach((start, i) => (words[at + ((half + i) >> 1)]! |= start << (16 * ((half + i) & 1))));
    words.set(references, first);
    return reference(RANGES, cell);
  }

  /** Of two bytes, at most. */
  private mostRuns(depth: number, from: number, to: number): number {
    let runs = 0;
    let next = 0;
    // whether what lies before the next start is a run of its own
    let gap = true;
    for (let i = from; i < to;) {
      const start = this.digitAt(i, depth, 2);
      runs += gap && start > next ? 2 : 1;
      const single = this.zeroFrom(i, depth + 2);
      let end = i;
      while (end < to && this.digitAt(end, depth, 2) === start) end++;
      gap = !single || end > i + 1;
      next = start + 1;
      i = end;
    }
    return gap && next < 65536 ? runs + 1 : runs;
  }

  private node(depth: number, from: number, to: number, payload: number, old: number): number {
    const cell = this.place(old, kindOf(old) === NODE || kindOf(old) === SPREAD);
    const { starts: bytes, references, strongest } = this.runs(1, depth, from, to, payload, old);
    const blocks = Math.ceil(references.length / CELL_WORDS);
    const spread = references.length > INLINE_RUNS;
    const block = spread ? this.block(old, blocks) : 0;
    const { words } = this.arena;
    const at = cell * CELL_WORDS;
    for (const byte of bytes) words[at + (byte >> 5)]! |= 1 << (byte & 31);
    let before = 0;
    for (let word = 0, i = 0; word < 8; word++) {
      words[at + 8 + (word >> 2)]! |= before << (8 * (word & 3));
      while (i < bytes.length && bytes[i]! >> 5 === word) i++;
      before = i;
    }
    if (spread) words[at + 10] = block;
    words.set(references, spread ? block * CELL_WORDS : at + 10);
    words[at + 15] = this.strength === undefined ? 0 : strongest;
    this.strongest = strongest;
    return reference(spread ? SPREAD : NODE, cell);
  }

  /** Where, in so many bytes, the reference changes. */
  private runs(size: 1 | 2, depth: number, from: number, to: number, payload: number, old: number) {
    const { payloads } = this.keys;
    const starts: number[] = [];
    const references: number[] = [];
    let strongest = payload;
    const add = (start: number, ref: number) => {
      if (ref === references.at(-1)) return;
      starts.push(start);
      references.push(ref);
    };
    let current = payload;
    let next = 0;
    for (let i = from; i < to;) {
      const digit = this.digitAt(i, depth, size);
      if (digit > next) add(next, reference(LEAF, current));
      let end = i;
      while (end < to && this.digitAt(end, depth, size) === digit) end++;
      if (this.zeroFrom(i, depth + size)) current = payloads[i++]!;
      const oldChild = i === end ? 0 : this.oldChild(size, old, digit);
      add(digit, this.build(depth + size, i, end, current, oldChild));
      strongest = this.stronger(strongest, this.strongest);
      if (end > i) current = payloads[end - 1]!;
      i = end;
      next = digit + 1;
    }
    if (next < 256 ** size) add(next, reference(LEAF, current));
    return { starts, references, strongest: this.stronger(strongest, current) };
  }

  /** One cell in place of a chain of nodes, where all that differs has a long prefix in common. */
  private skip(depth: number, from: number, to: number, payload: number, old: number): number | undefined {
    const { words, payloads, bytes, starts } = this.keys;
    if (payloads[to - 1] !== payload) return undefined;
    const { common, exact: prefix } = this.span(from, to - 1);
    const exact = prefix && to - from === 2;
    const inner = Math.min(bytes - 1, common >> 3);
    if (!exact && inner < depth + 2) return undefined;
    const cell = this.place(old, kindOf(old) === SKIP);
    const oldMatch = kindOf(old) === SKIP ? this.before[payloadOf(old) * CELL_WORDS + 8]! : 0;
    let match;
    if (exact) {
      this.strongest = payloads[from]!;
      match = reference(LEAF, this.strongest);
    } else {
      const begins = this.zeroFrom(from, inner);
      // the last start may be the first key after the prefix
      const end = this.commonBits(from, to - 1) >> 3 < inner ? to - 1 : to;
      match = this.build(inner, begins ? from + 1 : from, end, begins ? payloads[from]! : payload, oldMatch);
    }
    const compared = exact ? common : inner * 8;
    const at = cell * CELL_WORDS;
    for (let bit = depth * 8; bit < compared; bit++) {
      const dropped = bit - depth * 8;
      const word = 31 - (dropped & 31);
      const index = at + SKIP_WORDS[dropped >> 5]!;
      this.arena.words[index + 4]! |= 1 << word;
      if ((starts[from * words + (bit >> 5)]! >>> (31 - (bit & 31))) & 1)
        this.arena.words[index]! |= 1 << word;
    }
    this.strongest = this.stronger(this.strongest, payload);
    this.arena.words[at + 8] = match;
    this.arena.words[at + 9] = reference(LEAF, payload);
    this.arena.words[at + 10] = inner * 8 - depth * 8;
    this.arena.words[at + 15] = this.strength === undefined ? 0 : this.strongest;
    return reference(SKIP, cell);
  }

  private oldChild(size: 1 | 2, old: number, digit: number): number {
    const kind = kindOf(old);
    if (size === 2) return kind === RANGES ? findRange(this.before, old, digit) : 0;
    return kind === NODE || kind === SPREAD ? findRun(this.before, old, digit) : 0;
  }

  private place(old: number, fits: boolean): number {
    return fits && this.arena.claim(payloadOf(old), 1) ? payloadOf(old) : this.arena.allocate(1);
  }

  private block(old: number, blocks: number): number {
    const place = this.oldBlock(old);
    if (place !== undefined && place.room >= blocks && this.arena.claim(place.cell, place.room))
      return place.cell;
    return this.arena.allocate(blocks);
  }

  private oldBlock(old: number): { cell: number; room: number } | undefined {
    const at = payloadOf(old) * CELL_WORDS;
    if (kindOf(old) === RANGES) {
      let half = 2 * CELL_WORDS - 1;
      while (startOf(this.before, at, half) !== 0) half--;
      const cell = (this.before[at]! + half) / CELL_WORDS;
      return { cell, room: Math.ceil((2 * CELL_WORDS - half) / CELL_WORDS) };
    }
    if (kindOf(old) !== SPREAD) return undefined;
    let runs = 0;
    for (let word = 0; word < 8; word++) {
      for (let bits = this.before[at + word]!; bits !== 0; bits &= bits - 1) runs++;
    }
    return { cell: this.before[at + 10]!, room: Math.ceil(runs / CELL_WORDS) };
  }

  /** One byte or two of start `i`. */
  private digitAt(i: number, depth: number, size: 1 | 2): number {
    const high = this.byteAt(i, depth);
    return size === 1 ? high : (high << 8) | this.byteAt(i, depth + 1);
  }

  private byteAt(i: number, depth: number): number {
    return (this.keys.starts[i * this.keys.words + (depth >> 2)]! >>> (24 - 8 * (depth & 3))) & 255;
  }

  private zeroFrom(i: number, depth: number): boolean {
    const { words, bytes, starts } = this.keys;
    if (depth >= bytes) return true;
    const word = depth >> 2;
    if ((starts[i * words + word]! << (8 * (depth & 3))) >>> 0 !== 0) return false;
    for (let later = word + 1; later < words; later++) if (starts[i * words + later] !== 0) return false;
    return true;
  }

  private commonBits(i: number, j: number): number {
    const { words, starts } = this.keys;
    for (let word = 0; word < words; word++) {
      const difference = starts[i * words + word]! ^ starts[j * words + word]!;
      if (difference !== 0) return 32 * word + Math.clz32(difference);
    }
    return 32 * words;
  }

  /**
   * What start `i` and the last key before start `j` have in common, in bits, and whether the keys between them are
   * all that begin so.
   */
  private span(i: number, j: number): { common: number; exact: boolean } {
    const { words, bytes, starts } = this.keys;
    const last: number[] = [];
    let borrow = bytes < 4 ? 2 ** (32 - 8 * bytes) : 1;
    for (let word = words - 1; word >= 0; word--) {
      const value = starts[j * words + word]!;
      last[word] = (value - borrow) >>> 0;
      borrow = value < borrow ? 1 : 0;
    }
    let word = 0;
    while (word < words && starts[i * words + word] === last[word]) word++;
    if (word === words) return { common: bytes * 8, exact: true };
    const bits = Math.clz32(starts[i * words + word]! ^ last[word]!);
    // beyond the common prefix the first key is all zeros and the last all ones
    const unused = bytes < 4 ? 2 ** (32 - 8 * bytes) - 1 : 0;
    let exact = starts[i * words + word]! << bits === 0 && ~(last[word]! | unused) << bits === 0;
    for (let later = word + 1; later < words; later++) {
      exact &&= starts[i * words + later] === 0 && last[later] === 0xffffffff;
    }
    return { common: 32 * word + bits, exact };
  }

  private stronger(a: number, b: number): number {
    return this.strength === undefined || this.strength(a) <= this.strength(b) ? a : b;
  }
}
