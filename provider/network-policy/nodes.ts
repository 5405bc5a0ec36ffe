/** The forms of a trie's nodes: how the runs of one lie in cells; cells.ts says what each form is. */
import {
  CELL_WORDS,
  INLINE_RUNS,
  kindOf,
  LEAF,
  LONGS,
  LONGS_WORD,
  MOST_LONGS,
  MOST_OFFSETS,
  MOST_RANGES,
  MOST_SHORTS,
  NODE,
  OFFSETS,
  OFFSETS_HALF,
  payloadOf,
  RANGES,
  reference,
  SHORTS,
  SHORTS_WORD,
  SPREAD,
  STARTS_HALF,
} from "./cells";
import { type CellSpace, offsetOf } from "./cell-space";
import { halfOf } from "./lookup";

/** Bytes of a key that a node is about. */
export type DigitSize = 1 | 2 | 4;

interface Form {
  size: DigitSize;
  /** Runs that fit. */
  most: number;
  /** Where references are: in words of the cell, in cells of their own, or in its halves as offsets. */
  references: "inside" | "apart" | "offsets";
  /** Word or half of the first; or the word that says where the cells of their own are. */
  first: number;
  /** Half of the first start, of two bytes. */
  starts: number;
}

const FORMS: Readonly<Record<number, Form>> = {
  [NODE]: { size: 1, most: INLINE_RUNS, references: "inside", first: 10, starts: 0 },
  [SPREAD]: { size: 1, most: 256, references: "apart", first: 10, starts: 0 },
  [OFFSETS]: {
    ...{ size: 2, most: MOST_OFFSETS, starts: STARTS_HALF },
    ...{ references: "offsets", first: OFFSETS_HALF },
  },
  [SHORTS]: { size: 2, most: MOST_SHORTS, references: "inside", first: SHORTS_WORD, starts: 0 },
  [RANGES]: { size: 2, most: MOST_RANGES, references: "apart", first: 0, starts: STARTS_HALF },
  [LONGS]: { size: 4, most: MOST_LONGS, references: "inside", first: LONGS_WORD, starts: 0 },
};

/** So many runs fit in a node. */
export const MOST_RUNS: Readonly<Record<DigitSize, number>> = { 1: 256, 2: MOST_RANGES, 4: MOST_LONGS };

/** The runs of a node. */
export interface Runs {
  size: DigitSize;
  /** Of which the first is 0. */
  starts: Uint32Array;
  references: Uint32Array;
}

/** A node of the runs from `from` on, the first of which starts at 0. Of rows with the strongest value below. */
export function writeNode(
  space: CellSpace,
  size: DigitSize,
  { starts, references }: Pick<Runs, "starts" | "references">,
  from: number,
  count: number,
  strongest?: number,
): number {
  const base = size === 2 && strongest === undefined ? baseOf(references, from, count) : undefined;
  const kind = kindFor(size, count, base !== undefined);
  const form = FORMS[kind]!;
  const cell = space.allocate(1);
  const block = form.references === "apart" ? space.allocate(blockCells(count)) : 0;
  const words = space.write(cell);
  const at = offsetOf(cell);
  const unused = unusedOf(form, count);
  if (size === 1) writeBitmap(words, at, starts, from, count);
  for (let i = 0; i < count && size === 2; i++) {
    setHalf(words, at, form.starts + unused + i, starts[from + i]!);
  }
  for (let i = 1; i < count && size === 4; i++) words[at + unused + i - 1] = starts[from + i]!;
  if (strongest !== undefined) words[at + 15] = strongest;
  if (form.references === "offsets") {
    words[at] = base!;
    for (let i = 0; i < count; i++) {
      const payload = references[from + i]!;
      if (payload !== 0) setHalf(words, at, form.first + unused + i, payload - base!);
    }
    return reference(kind, cell);
  }
  if (block !== 0) words[at + form.first] = block * CELL_WORDS - unused;
  const page = block === 0 ? words : space.write(block);
  const first = block === 0 ? at + form.first + unused : offsetOf(block);
  for (let i = 0; i < count; i++) page[first + i] = references[from + i]!;
  return reference(kind, cell);
}

export function runsOf(space: CellSpace, ref: number): Runs {
  const cell = payloadOf(ref);
  const words = space.read(cell);
  const at = offsetOf(cell);
  const form = FORMS[kindOf(ref)]!;
  const { size } = form;
  const starts = size === 1 ? readBitmap(words, at) : readStarts(words, at, form);
  const unused = unusedOf(form, starts.length);
  if (form.references === "offsets") {
    const offsets = Uint32Array.from(starts, (_, i) => halfOf(words, at, form.first + unused + i));
    return { size, starts, references: offsets.map((offset) => (offset === 0 ? 0 : words[at]! + offset)) };
  }
  const block = blockOf(words, at, form, unused);
  const page = block === 0 ? words : space.read(block);
  const first = block === 0 ? at + form.first + unused : offsetOf(block);
  return { size, starts, references: page.slice(first, first + starts.length) };
}

/** Frees a node's cells, and not what it refers to. */
export function releaseRuns(space: CellSpace, ref: number, { starts }: Runs): void {
  const cell = payloadOf(ref);
  const form = FORMS[kindOf(ref)]!;
  const block = blockOf(space.read(cell), offsetOf(cell), form, unusedOf(form, starts.length));
  if (block !== 0) space.release(block, blockCells(starts.length));
  space.release(cell, 1);
}

/** Places for runs that stay empty; they come first. A bitmap has none. */
function unusedOf({ size, most }: Form, count: number): number {
  return size === 1 ? 0 : most - count;
}

/** The first cell of the references that lie apart, else 0. */
function blockOf(words: Uint32Array, at: number, { references, first }: Form, unused: number): number {
  return references === "apart" ? (words[at + first]! + unused) / CELL_WORDS : 0;
}

function blockCells(count: number): number {
  return (count + CELL_WORDS - 1) >>> 4;
}

function kindFor(size: DigitSize, count: number, close: boolean): number {
  if (size === 4) return LONGS;
  if (size === 1) return count > INLINE_RUNS ? SPREAD : NODE;
  if (close && count <= MOST_OFFSETS) return OFFSETS;
  return count > MOST_SHORTS ? RANGES : SHORTS;
}

/** What all payloads but 0 are above by less than 65536; absent: there is no such. */
function baseOf(references: Uint32Array, from: number, count: number): number | undefined {
  let least = 0xffffffff;
  let most = 0;
  for (let i = from; i < from + count; i++) {
    const held = references[i]!;
    if (held !== 0 && held < least) least = held;
    if (held > most) most = held;
  }
  return kindOf(most) === LEAF && most - least < 65535 ? least - 1 : undefined;
}

function setHalf(words: Uint32Array, at: number, half: number, value: number): void {
  words[at + (half >> 1)]! |= value << (16 * (half & 1));
}

function writeBitmap(words: Uint32Array, at: number, starts: Uint32Array, from: number, count: number): void {
  for (let i = 0; i < count; i++) words[at + (starts[from + i]! >> 5)]! |= 1 << (starts[from + i]! & 31);
  for (let word = 0, i = 0; word < 8; word++) {
    words[at + 8 + (word >> 2)]! |= i << (8 * (word & 3));
    while (i < count && starts[from + i]! >> 5 === word) i++;
  }
}

function readBitmap(words: Uint32Array, at: number): Uint32Array {
  const starts = new Uint32Array(256);
  let count = 0;
  for (let byte = 0; byte < 256; byte++) {
    if ((words[at + (byte >> 5)]! >>> (byte & 31)) & 1) starts[count++] = byte;
  }
  return starts.subarray(0, count);
}

function readStarts(words: Uint32Array, at: number, { size, most, starts: half }: Form): Uint32Array {
  const start = (i: number) => (size === 2 ? halfOf(words, at, half + i) : i === 0 ? 0 : words[at + i - 1]!);
  let unused = most - 1;
  while (start(unused) !== 0) unused--;
  return Uint32Array.from({ length: most - unused }, (_, i) => start(unused + i));
}
