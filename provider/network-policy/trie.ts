/** Builds tries of cells over sorted keys. */
import { kindOf, LEAF, payloadOf, reference, SKIP, SKIP_WORDS } from "./cells";
import { type CellSpace, offsetOf } from "./cell-space";
import { type DigitSize, MOST_RUNS, releaseRuns, type Runs, runsOf, writeNode } from "./nodes";

export interface Keys {
  /** Keys are left-aligned in this many 32-bit words. */
  words: 1 | 4;
  /** Bytes that count. */
  bytes: number;
  /** Ascending. */
  starts: Uint32Array;
  /** `payloads[i]` holds from `starts[i]` on; neighbours differ. */
  payloads: Uint32Array;
}

/** Of rows: which value is the stronger. */
type Stronger = (a: number, b: number) => number;

const SPARE = new Uint32Array(8);

/** Sizes to try before one byte: of addresses, and of the services of a protocol. */
const LARGE_DIGITS = [4, 2] as const;
const SERVICE_DIGITS = [2] as const;

export class TrieBuilder {
  private keys: Keys = { words: 1, bytes: 4, starts: SPARE, payloads: SPARE };
  /** Strongest payload below the reference that `build` gave last. */
  private strongest = 0;
  /** Runs of the nodes that are being built, each above its parent's. */
  readonly starts = new Uint32Array(18 * 256);
  readonly references = new Uint32Array(18 * 256);
  private top = 0;

  constructor(
    private readonly space: CellSpace,
    /** Where leaves in cells are counted by their payload. */
    private readonly leaves?: { uses: Uint32Array },
    /** Absent: payloads have no strength. */
    private readonly stronger?: Stronger,
  ) {}

  use(keys: Keys): this {
    this.keys = keys;
    return this;
  }

  /**
   * What lies between starts `from` and `to`, all of which have their first `depth` bytes in common; `payload` holds at
   * the first key that begins so.
   */
  build(depth: number, from: number, to: number, payload: number): number {
    if (from === to) {
      this.strongest = payload;
      return reference(LEAF, payload);
    }
    const size = this.sizeFor(depth, from, to);
    return this.skip(size, depth, from, to, payload) ?? this.runs(size, depth, from, to, payload);
  }

  /** As many bytes as one node can be about. In rows two are a service: of a protocol the strongest value is asked. */
  private sizeFor(depth: number, from: number, to: number): DigitSize {
    const sizes = this.stronger === undefined ? LARGE_DIGITS : depth > 0 ? SERVICE_DIGITS : [];
    return sizes.find((size) => this.fits(size, depth, from, to)) ?? 1;
  }

  private fits(size: 2 | 4, depth: number, from: number, to: number): boolean {
    if (depth + size > this.keys.bytes) return false;
    const most = MOST_RUNS[size];
    let runs = 0;
    let next = 0;
    // whether what lies before the next start is a run of its own
    let gap = true;
    for (let i = from; i < to;) {
      const start = this.digitAt(i, depth, size);
      runs += gap && start > next ? 2 : 1;
      if (runs > most) return false;
      let end = i + 1;
      while (end < to && this.digitAt(end, depth, size) === start) end++;
      gap = !this.zeroFrom(i, depth + size) || end > i + 1;
      next = start + 1;
      i = end;
    }
    return runs + (gap && next < 256 ** size ? 1 : 0) <= most;
  }

  /** A node for so many bytes. */
  private runs(size: DigitSize, depth: number, from: number, to: number, payload: number): number {
    const { payloads } = this.keys;
    const base = this.top;
    let strongest = payload;
    let current = payload;
    let next = 0;
    for (let i = from; i < to;) {
      const digit = this.digitAt(i, depth, size);
      if (digit > next) this.add(base, next, reference(LEAF, current));
      let end = i + 1;
      while (end < to && this.digitAt(end, depth, size) === digit) end++;
      if (this.zeroFrom(i, depth + size)) current = payloads[i++]!;
      this.add(base, digit, this.build(depth + size, i, end, current));
      if (this.stronger !== undefined) strongest = this.stronger(strongest, this.strongest);
      if (end > i) current = payloads[end - 1]!;
      i = end;
      next = digit + 1;
    }
    if (next < 256 ** size) this.add(base, next, reference(LEAF, current));
    if (this.stronger !== undefined) strongest = this.stronger(strongest, current);
    const count = this.top - base;
    this.top = base;
    this.strongest = strongest;
    return this.writeRuns(size, this, base, count);
  }

  private add(base: number, start: number, run: number): void {
    if (this.top > base && this.references[this.top - 1] === run) return;
    this.starts[this.top] = start;
    this.references[this.top++] = run;
  }

  /** A node whose runs begin at starts `from` and on, the first of which is 0. */
  writeRuns(size: DigitSize, runs: Pick<Runs, "starts" | "references">, from: number, count: number): number {
    if (this.leaves !== undefined) for (let i = 0; i < count; i++) this.hold(runs.references[from + i]!);
    const strongest = this.stronger === undefined ? undefined : this.strongest;
    return writeNode(this.space, size, runs, from, count, strongest);
  }

  /** One cell in place of a chain of nodes, where all that differs has a longer prefix in common than one is about. */
  private skip(
    size: DigitSize,
    depth: number,
    from: number,
    to: number,
    payload: number,
  ): number | undefined {
    const { words, payloads, bytes, starts } = this.keys;
    if (payloads[to - 1] !== payload) return undefined;
    const common = this.span(from, to - 1);
    const exact = this.exact && to - from === 2;
    const inner = Math.min(bytes - 1, common >> 3);
    if (!exact && inner < depth + Math.max(2, size)) return undefined;
    let match;
    if (exact) {
      this.strongest = payloads[from]!;
      match = reference(LEAF, this.strongest);
    } else {
      const begins = this.zeroFrom(from, inner);
      // the last start may be the first key after the prefix
      const end = this.commonBits(from, to - 1) >> 3 < inner ? to - 1 : to;
      match = this.build(inner, begins ? from + 1 : from, end, begins ? payloads[from]! : payload);
    }
    if (this.stronger !== undefined) this.strongest = this.stronger(this.strongest, payload);
    const cell = this.space.allocate(1);
    const page = this.space.write(cell);
    const at = offsetOf(cell);
    const compared = (exact ? common : inner * 8) - depth * 8;
    for (let word = 0; 32 * word < compared; word++) {
      const mask =
        compared >= 32 * (word + 1) ? 0xffffffff : (0xffffffff << (32 * (word + 1) - compared)) >>> 0;
      const to = at + SKIP_WORDS[word]!;
      page[to] = keyWord(starts, from * words, words, depth + 4 * word) & mask;
      page[to + 4] = mask;
    }
    page[at + 8] = match;
    page[at + 9] = reference(LEAF, payload);
    page[at + 10] = (inner - depth) * 8;
    if (this.stronger !== undefined) page[at + 15] = this.strongest;
    this.hold(match);
    this.hold(reference(LEAF, payload));
    return reference(SKIP, cell);
  }

  /** Counts a reference that a cell has from now on. */
  hold(held: number): void {
    if (this.leaves !== undefined && kindOf(held) === LEAF) this.leaves.uses[payloadOf(held)]!++;
  }

  /** So many bytes of start `i`. */
  private digitAt(i: number, depth: number, size: DigitSize): number {
    const { starts, words } = this.keys;
    return keyWord(starts, i * words, words, depth) >>> (32 - 8 * size);
  }

  private zeroFrom(i: number, depth: number): boolean {
    const { words, bytes, starts } = this.keys;
    return depth >= bytes || zeroFrom(starts, i * words, words, depth);
  }

  private commonBits(i: number, j: number): number {
    const { words, starts } = this.keys;
    return commonBits(starts, i * words, starts, j * words, words);
  }

  /** Whether the keys of the last `span` are all that begin with its bits. */
  private exact = false;
  private readonly last = new Uint32Array(4);

  /** What start `i` and the last key before start `j` have in common, in bits. */
  private span(i: number, j: number): number {
    const { words, bytes, starts } = this.keys;
    const { last } = this;
    let borrow = bytes < 4 ? 2 ** (32 - 8 * bytes) : 1;
    for (let word = words - 1; word >= 0; word--) {
      const value = starts[j * words + word]!;
      last[word] = value - borrow;
      borrow = value < borrow ? 1 : 0;
    }
    let word = 0;
    while (word < words && starts[i * words + word] === last[word]) word++;
    this.exact = true;
    if (word === words) return bytes * 8;
    const bits = Math.clz32(starts[i * words + word]! ^ last[word]!);
    // beyond the common prefix the first key is all zeros and the last all ones
    const unused = bytes < 4 ? 2 ** (32 - 8 * bytes) - 1 : 0;
    this.exact = starts[i * words + word]! << bits === 0 && ~(last[word]! | unused) << bits === 0;
    for (let later = word + 1; later < words; later++) {
      this.exact &&= starts[i * words + later] === 0 && last[later] === 0xffffffff;
    }
    return 32 * word + bits;
  }
}

/** Frees the cells of a trie; tells of each leaf in them. */
export function releaseTrie(space: CellSpace, ref: number, leaf?: (payload: number) => void): void {
  if (kindOf(ref) === LEAF) return;
  const release = (held: number) => {
    if (kindOf(held) === LEAF) leaf?.(payloadOf(held));
    else releaseTrie(space, held, leaf);
  };
  if (kindOf(ref) === SKIP) {
    const cell = payloadOf(ref);
    release(space.word(cell, 8));
    release(space.word(cell, 9));
    return space.release(cell, 1);
  }
  const runs = runsOf(space, ref);
  runs.references.forEach(release);
  releaseRuns(space, ref, runs);
}

/** 32 bits of a key from a byte on; what lies beyond the key is 0. */
export function keyWord(keys: Uint32Array, at: number, words: number, byte: number): number {
  const word = byte >> 2;
  const shift = 8 * (byte & 3);
  const high = word < words ? keys[at + word]! : 0;
  const low = word + 1 < words ? keys[at + word + 1]! : 0;
  return shift === 0 ? high : ((high << shift) | (low >>> (32 - shift))) >>> 0;
}

export function zeroFrom(keys: Uint32Array, at: number, words: number, depth: number): boolean {
  const word = depth >> 2;
  if (word >= words) return true;
  if ((keys[at + word]! << (8 * (depth & 3))) >>> 0 !== 0) return false;
  for (let later = word + 1; later < words; later++) if (keys[at + later] !== 0) return false;
  return true;
}

export function commonBits(a: Uint32Array, atA: number, b: Uint32Array, atB: number, words: number): number {
  for (let word = 0; word < words; word++) {
    const difference = a[atA + word]! ^ b[atB + word]!;
    if (difference !== 0) return 32 * word + Math.clz32(difference);
  }
  return 32 * words;
}

export function setByte(key: Uint32Array, byte: number, value: number): void {
  const shift = 24 - 8 * (byte & 3);
  key[byte >> 2] = (key[byte >> 2]! & ~(255 << shift)) | (value << shift);
}

export function decremented(key: Uint32Array): Uint32Array {
  for (let word = key.length - 1; word >= 0; word--) if (key[word]!-- !== 0) break;
  return key;
}

/** The first key after all that share the first `bits` bits; false where that is beyond the first `within` bits. */
export function incremented(key: Uint32Array, bits: number, within: number): boolean {
  for (let bit = bits; bit < 32 * key.length; bit++) key[bit >> 5]! &= ~(1 << (31 - (bit & 31)));
  for (let bit = bits - 1; bit >= within; bit--) {
    key[bit >> 5]! ^= 1 << (31 - (bit & 31));
    if ((key[bit >> 5]! >>> (31 - (bit & 31))) & 1) return true;
  }
  return false;
}
