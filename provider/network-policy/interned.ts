/**
 * Lists of 32-bit numbers, each stored once under a number of its own. What classes, rows, peers and services are made
 * of: typed arrays, so that a hundred thousand of them are read from a file, copied and scanned in milliseconds.
 */
import type { ColumnReader, ColumnWriter } from "./columns";
import { grown } from "./columns";

const FREE = 0xffffffff;

export class InternedLists {
  /** Numbers below are, or were, in use. */
  count = 0;
  /** Counted by the owner: `sweep` frees what has none. */
  uses = new Uint32Array(16);
  private starts = new Uint32Array(16);
  private lengths = new Uint32Array(16);
  private hashes = new Uint32Array(16);
  private pool = new Uint32Array(64);
  private top = 0;
  /** Numbers + 1 by hash, in a table of twice as many places or more; built when it is needed. */
  private index: Uint32Array | undefined;
  private free: number[] | undefined;

  copy(): InternedLists {
    const copy = new InternedLists();
    for (const column of ["uses", "starts", "lengths", "hashes"] as const) {
      copy[column] = this[column].slice();
    }
    copy.pool = this.pool.slice();
    copy.count = this.count;
    copy.top = this.top;
    return copy;
  }

  write(writer: ColumnWriter): void {
    if (this.top > 2 * this.words() + 1024) this.compact();
    for (const column of ["uses", "starts", "lengths", "hashes"] as const) {
      writer.column(this[column].subarray(0, this.count));
    }
    writer.column(this.pool.subarray(0, this.top));
  }

  static read(reader: ColumnReader): InternedLists {
    const lists = new InternedLists();
    for (const column of ["uses", "starts", "lengths", "hashes"] as const) lists[column] = reader.column();
    lists.pool = reader.column();
    lists.count = lists.uses.length;
    lists.top = lists.pool.length;
    return lists;
  }

  has(number: number): boolean {
    return number < this.count && this.lengths[number] !== FREE;
  }

  /** Valid until the next change. */
  at(number: number): Uint32Array {
    const start = this.starts[number]!;
    return this.pool.subarray(start, start + this.lengths[number]!);
  }

  /** Words of a list without a view on them; see `lengthOf`. */
  wordOf(number: number, at: number): number {
    return this.pool[this.starts[number]! + at]!;
  }

  lengthOf(number: number): number {
    return this.lengths[number]!;
  }

  find(list: Uint32Array, length = list.length): number | undefined {
    const place = this.place(list, length, hashOf(list, length));
    const number = this.index![place]!;
    return number === 0 ? undefined : number - 1;
  }

  /** The number of a list; a new one has no uses. */
  intern(list: Uint32Array, length = list.length): number {
    const hash = hashOf(list, length);
    const place = this.place(list, length, hash);
    const known = this.index![place]!;
    if (known !== 0) return known - 1;
    const number = this.number();
    this.store(number, list, length, hash);
    this.index![place] = number + 1;
    if (2 * this.count > this.index!.length) this.index = undefined;
    return number;
  }

  /** Another list under the same number. */
  replace(number: number, list: Uint32Array): void {
    this.store(number, list, list.length, hashOf(list, list.length));
    this.index = undefined;
  }

  /** Frees what is not used; tells of each, while its list can still be read. */
  sweep(forget: (number: number) => void): void {
    for (let number = 0; number < this.count; number++) {
      if (this.uses[number] !== 0 || this.lengths[number] === FREE) continue;
      forget(number);
      this.lengths[number] = FREE;
      this.free?.push(number);
      this.index = undefined;
    }
  }

  private words(): number {
    let words = 0;
    for (let i = 0; i < this.count; i++) if (this.lengths[i] !== FREE) words += this.lengths[i]!;
    return words;
  }

  private compact(): void {
    const pool = new Uint32Array(this.words());
    let top = 0;
    for (let number = 0; number < this.count; number++) {
      if (this.lengths[number] === FREE) continue;
      pool.set(this.at(number), top);
      this.starts[number] = top;
      top += this.lengths[number]!;
    }
    this.pool = pool;
    this.top = top;
  }

  private number(): number {
    if (this.free === undefined) {
      this.free = [];
      for (let i = this.count - 1; i >= 0; i--) if (this.lengths[i] === FREE) this.free.push(i);
    }
    const free = this.free.pop();
    if (free !== undefined) return free;
    const number = this.count++;
    if (number < this.uses.length) return number;
    for (const column of ["uses", "starts", "lengths", "hashes"] as const) {
      this[column] = grown(this[column], this.count);
    }
    return number;
  }

  private store(number: number, list: Uint32Array, length: number, hash: number): void {
    this.pool = grown(this.pool, this.top + length);
    for (let i = 0; i < length; i++) this.pool[this.top + i] = list[i]!;
    this.starts[number] = this.top;
    this.lengths[number] = length;
    this.hashes[number] = hash;
    this.top += length;
  }

  /** Where in the index the list is, or belongs. */
  private place(list: Uint32Array, length: number, hash: number): number {
    const index = (this.index ??= this.built());
    const { hashes, lengths, starts, pool } = this;
    for (let place = hash & (index.length - 1); ; place = (place + 1) & (index.length - 1)) {
      const number = index[place]! - 1;
      if (number < 0) return place;
      if (hashes[number] !== hash || lengths[number] !== length) continue;
      const start = starts[number]!;
      let i = 0;
      while (i < length && pool[start + i] === list[i]) i++;
      if (i === length) return place;
    }
  }

  private built(): Uint32Array {
    const index = new Uint32Array(2 ** Math.ceil(Math.log2(4 * this.count + 64)));
    for (let number = 0; number < this.count; number++) {
      if (this.lengths[number] === FREE) continue;
      let place = this.hashes[number]! & (index.length - 1);
      while (index[place] !== 0) place = (place + 1) & (index.length - 1);
      index[place] = number + 1;
    }
    return index;
  }
}

/** Bits of each word spread over 32, as in MurmurHash3. */
function hashOf(list: Uint32Array, length: number): number {
  let hash = length;
  for (let i = 0; i < length; i++) {
    hash = Math.imul(hash ^ list[i]!, 0x85ebca6b);
    hash ^= hash >>> 13;
    hash = Math.imul(hash, 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return hash >>> 0;
}
