/**
 * The cells of a generation as pages that generations share: a page is copied when it is first written, so that a
 * generation costs what it changes, and what changed is found without a look at the rest.
 */
import { CELL_WORDS } from "./cells";

export const PAGE_CELLS = 1024;
const PAGE_SHIFT = 10;
const PAGE_WORDS = PAGE_CELLS * CELL_WORDS;
/** Cells that are handed out together lie in one page. */
const MOST_TOGETHER = 16;
/** By how many cells together. */
export const FREE_LISTS = MOST_TOGETHER + 1;

/** Never written once a generation has it. */
export class Page {
  constructor(private content: Uint32Array | (() => Uint32Array)) {}

  get words(): Uint32Array {
    return (this.content = typeof this.content === "function" ? this.content() : this.content);
  }
}

/** Where the first word of a cell is in its page. */
export function offsetOf(cell: number): number {
  return (cell & (PAGE_CELLS - 1)) * CELL_WORDS;
}

/** The cells of a generation, 16 words each. */
export class Cells {
  constructor(
    readonly pages: readonly Page[],
    readonly count: number,
  ) {}

  /** The words of a cell, and of as many after it as its page has, up to `count`. */
  at(cell: number, count: number): Uint32Array {
    const from = offsetOf(cell);
    return this.pages[cell >>> PAGE_SHIFT]!.words.subarray(
      from,
      Math.min(PAGE_WORDS, from + count * CELL_WORDS),
    );
  }

  /** Numbers of the cells that differ from those of an earlier generation, or that it did not have; ascending. */
  changedSince(earlier: Cells): number[] {
    const changed: number[] = [];
    this.pages.forEach((page, index) => {
      const first = index * PAGE_CELLS;
      const end = Math.min(first + PAGE_CELLS, this.count);
      const both = page === earlier.pages[index] ? first : Math.min(end, earlier.count);
      for (let cell = first; cell < both; cell++) {
        const at = offsetOf(cell);
        let word = 0;
        while (word < CELL_WORDS && page.words[at + word] === earlier.pages[index]!.words[at + word]) word++;
        if (word < CELL_WORDS) changed.push(cell);
      }
      for (let cell = Math.max(first, earlier.count); cell < end; cell++) changed.push(cell);
    });
    return changed;
  }

  /** All words in one array. */
  flat(): Uint32Array {
    const words = new Uint32Array(this.count * CELL_WORDS);
    for (let cell = 0; cell < this.count; cell += PAGE_CELLS)
      words.set(this.at(cell, this.count - cell), cell * CELL_WORDS);
    return words;
  }
}

/** Cells under construction. */
export class CellSpace {
  private readonly pages: Page[];
  private readonly words: (Uint32Array | undefined)[] = [];
  private readonly owned: boolean[] = [];

  /**
   * `free[count]` are first cells of so many together that nothing uses. Given the cells of a generation, it goes on
   * from there.
   */
  constructor(
    readonly free: number[][],
    before: Cells,
    /** Cells in use. */
    public live: number,
  ) {
    this.pages = [...before.pages];
    this.top = before.count;
  }

  top: number;

  static empty(fixed: number): CellSpace {
    const free = Array.from({ length: FREE_LISTS }, () => []);
    const space = new CellSpace(free, new Cells([], 0), 0);
    space.region(fixed);
    return space;
  }

  finish(): Cells {
    const pages = this.pages.map((page, index) => (this.owned[index] ? new Page(this.words[index]!) : page));
    return new Cells(pages, this.top);
  }

  /** The page that holds a cell, to read; see `offsetOf`. */
  read(cell: number): Uint32Array {
    const index = cell >>> PAGE_SHIFT;
    return (this.words[index] ??= this.pages[index]!.words);
  }

  /** The page that holds a cell, to change. */
  write(cell: number): Uint32Array {
    const index = cell >>> PAGE_SHIFT;
    if (this.owned[index]) return this.words[index]!;
    this.owned[index] = true;
    return (this.words[index] = this.pages[index]!.words.slice());
  }

  /** A word of an array that begins with a cell. */
  word(cell: number, word: number): number {
    const at = cell + (word >>> 4);
    return this.read(at)[offsetOf(at) + (word & 15)]!;
  }

  setWord(cell: number, word: number, value: number): void {
    const at = cell + (word >>> 4);
    const offset = offsetOf(at) + (word & 15);
    if (this.read(at)[offset] !== value) this.write(at)[offset] = value;
  }

  /** Up to 16 cells in one page, all zero. */
  allocate(count: number): number {
    const known = this.free[count]!.pop();
    this.live += count;
    if (known !== undefined) {
      const from = offsetOf(known);
      this.write(known).fill(0, from, from + count * CELL_WORDS);
      return known;
    }
    while ((this.top & (PAGE_CELLS - 1)) + count > PAGE_CELLS) this.free[1]!.push(this.extend(1));
    return this.extend(count);
  }

  release(cell: number, count: number): void {
    this.live -= count;
    this.free[count]!.push(cell);
  }

  /** Any number of cells. */
  region(count: number): number {
    this.live += count;
    return this.extend(count);
  }

  releaseRegion(cell: number, count: number): void {
    for (let i = 0; i < count; i++) this.release(cell + i, 1);
  }

  private extend(count: number): number {
    const cell = this.top;
    this.top += count;
    while (this.pages.length * PAGE_CELLS < this.top) {
      const words = new Uint32Array(PAGE_WORDS);
      this.owned[this.pages.length] = true;
      this.words[this.pages.length] = words;
      this.pages.push(new Page(words));
    }
    return cell;
  }
}
