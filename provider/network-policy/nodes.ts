/** The forms of a trie's nodes: how the runs of one lie in cells; cells.ts says what each form is. */
import {
  CELL_WORDS,
  INLINE_RUNS,
  kindOf,
  LONGS,
  LONGS_WORD,
  MOST_LONGS,
  MOST_SHORTS,
  MOST_STARTS,
  NODE,
  payloadOf,
  RANGES,
  reference,
  SHORTS,
  SHORTS_WORD,
  SPREAD,
} from "./cells";
import { type CellSpace, offsetOf } from "./cell-space";
import { startOf } from "./lookup";

/** Bytes of a key that a node is about. */
export type DigitSize = 1 | 2 | 4;

/** So many runs fit in a node. */
export const MOST_RUNS: Readonly<Record<DigitSize, number>> = { 1: 256, 2: MOST_STARTS, 4: MOST_LONGS };

/** The runs of a node, and where they are. */
export interface Runs {
  size: DigitSize;
  count: number;
  /** Of which the first is 0. */
  starts: Uint32Array;
  references: Uint32Array;
  /** Where its first reference is: a word of an array that begins with a cell. */
  cell: number;
  word: number;
}

/** A node of the runs from `from` on, the first of which starts at 0. Of rows with the strongest value below. */
export function writeNode(
  space: CellSpace,
  size: DigitSize,
  runs: Pick<Runs, "starts" | "references">,
  from: number,
  count: number,
  strongest?: number,
): number {
  const kind = kindFor(size, count);
  const cell = space.allocate(1);
  const block = isApart(kind) ? space.allocate((count + 15) >>> 4) : 0;
  const words = space.write(cell);
  const at = offsetOf(cell);
  const unused = size === 1 ? 0 : roomIn(kind) - count;
  if (size === 1) writeBitmap(words, at, runs.starts, from, count);
  for (let i = 0; i < count && size === 2; i++) {
    const half = unused + i;
    words[at + (half >> 1)]! |= runs.starts[from + i]! << (16 * (half & 1));
  }
  for (let i = 1; i < count && size === 4; i++) words[at + unused + i - 1] = runs.starts[from + i]!;
  if (kind === SPREAD) words[at + 10] = block;
  if (kind === RANGES) words[at] = block * CELL_WORDS - unused;
  if (strongest !== undefined) words[at + 15] = strongest;
  const page = isApart(kind) ? space.write(block) : words;
  const first = isApart(kind) ? offsetOf(block) : at + firstWord(kind) + unused;
  for (let i = 0; i < count; i++) page[first + i] = runs.references[from + i]!;
  return reference(kind, cell);
}

export function runsOf(space: CellSpace, ref: number): Runs {
  const cell = payloadOf(ref);
  const words = space.read(cell);
  const at = offsetOf(cell);
  const kind = kindOf(ref);
  const { starts, unused } = readStarts(words, at, kind);
  const count = starts.length;
  let [first, word] = [cell, firstWord(kind) + unused];
  if (kind === RANGES) [first, word] = [(words[at]! + unused) / CELL_WORDS, 0];
  if (kind === SPREAD) [first, word] = [words[at + 10]!, 0];
  const page = space.read(first);
  const from = offsetOf(first) + word;
  const references = page.slice(from, from + count);
  const size = kind === LONGS ? 4 : kind === RANGES || kind === SHORTS ? 2 : 1;
  return { size, count, starts, references, cell: first, word };
}

/** Frees a node's cells, and not what it refers to. */
export function releaseRuns(space: CellSpace, ref: number, { cell, count }: Runs): void {
  if (isApart(kindOf(ref))) space.release(cell, (count + 15) >>> 4);
  space.release(payloadOf(ref), 1);
}

function kindFor(size: DigitSize, count: number): number {
  if (size === 4) return LONGS;
  if (size === 2) return count > MOST_SHORTS ? RANGES : SHORTS;
  return count > INLINE_RUNS ? SPREAD : NODE;
}

/** Whether the references of a node lie in cells of their own. */
function isApart(kind: number): boolean {
  return kind === RANGES || kind === SPREAD;
}

/** Of forms with starts, of which the unused come first. */
function roomIn(kind: number): number {
  return kind === LONGS ? MOST_LONGS : kind === SHORTS ? MOST_SHORTS : 2 * CELL_WORDS;
}

/** Of the references that lie in the node's cell. */
function firstWord(kind: number): number {
  return kind === LONGS ? LONGS_WORD : kind === SHORTS ? SHORTS_WORD : 10;
}

function writeBitmap(words: Uint32Array, at: number, starts: Uint32Array, from: number, count: number): void {
  for (let i = 0; i < count; i++) words[at + (starts[from + i]! >> 5)]! |= 1 << (starts[from + i]! & 31);
  for (let word = 0, i = 0; word < 8; word++) {
    words[at + 8 + (word >> 2)]! |= i << (8 * (word & 3));
    while (i < count && starts[from + i]! >> 5 === word) i++;
  }
}

function readStarts(words: Uint32Array, at: number, kind: number): { starts: Uint32Array; unused: number } {
  if (kind === NODE || kind === SPREAD) {
    const starts = new Uint32Array(256);
    let count = 0;
    for (let byte = 0; byte < 256; byte++) {
      if ((words[at + (byte >> 5)]! >>> (byte & 31)) & 1) starts[count++] = byte;
    }
    return { starts: starts.subarray(0, count), unused: 0 };
  }
  const start = (i: number) => (kind !== LONGS ? startOf(words, at, i) : i === 0 ? 0 : words[at + i - 1]!);
  let unused = roomIn(kind) - 1;
  while (start(unused) !== 0) unused--;
  const starts = Uint32Array.from({ length: roomIn(kind) - unused }, (_, i) => start(unused + i));
  return { starts, unused };
}
