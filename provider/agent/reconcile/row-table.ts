/**
 * Rows of a map by key: packed `key|value` records in one Buffer with a hash index over them. Made for a
 * million rows: no object per row. Pure.
 */
const EMPTY = -1;

export class RowTable {
  #rows: Buffer;
  #count = 0;
  #slots: Int32Array;
  readonly rowSize: number;

  constructor(
    readonly keySize: number,
    readonly valueSize: number,
    capacity = 16,
  ) {
    this.rowSize = keySize + valueSize;
    this.#rows = Buffer.allocUnsafe(Math.max(capacity, 16) * this.rowSize);
    this.#slots = emptySlots(Math.max(capacity, 16));
  }

  get size(): number {
    return this.#count;
  }

  /** Adds packed rows; a key that is there already takes the later value. */
  addRows(rows: Buffer): void {
    for (let at = 0; at < rows.length; at += this.rowSize) this.set(rows, at, rows, at + this.keySize);
  }

  set(keys: Buffer, keyAt: number, values: Buffer, valueAt: number): void {
    const found = this.find(keys, keyAt);
    const row = found >= 0 ? found : this.append(keys, keyAt);
    copyBytes(values, valueAt, this.#rows, row * this.rowSize + this.keySize, this.valueSize);
  }

  /** Index of the row with the key at `keys[at]`, or -1. */
  find(keys: Buffer, at: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = hash(keys, at, this.keySize) & mask; ; slot = (slot + 1) & mask) {
      const row = this.#slots[slot]!;
      if (row === EMPTY || this.keyEquals(row, keys, at)) return row;
    }
  }

  /** Whether row `row` has the value at `values[at]`. */
  valueEquals(row: number, values: Buffer, at: number): boolean {
    const start = row * this.rowSize + this.keySize;
    return equalBytes(this.#rows, start, values, at, this.valueSize);
  }

  key(row: number): Buffer {
    return this.#rows.subarray(row * this.rowSize, row * this.rowSize + this.keySize);
  }

  value(row: number): Buffer {
    return this.#rows.subarray(row * this.rowSize + this.keySize, (row + 1) * this.rowSize);
  }

  /** All rows, packed, in order of arrival. */
  packed(): Buffer {
    return this.#rows.subarray(0, this.#count * this.rowSize);
  }

  /** Some rows, packed. */
  pick(rows: number[]): Buffer {
    if (rows.length === this.#count) return this.packed();
    const picked = Buffer.allocUnsafe(rows.length * this.rowSize);
    rows.forEach((row, i) =>
      copyBytes(this.#rows, row * this.rowSize, picked, i * this.rowSize, this.rowSize),
    );
    return picked;
  }

  /** The keys of some rows, packed. */
  pickKeys(rows: number[]): Buffer {
    const picked = Buffer.allocUnsafe(rows.length * this.keySize);
    rows.forEach((row, i) =>
      copyBytes(this.#rows, row * this.rowSize, picked, i * this.keySize, this.keySize),
    );
    return picked;
  }

  private append(keys: Buffer, at: number): number {
    if ((this.#count + 1) * 2 > this.#slots.length) this.grow();
    if ((this.#count + 1) * this.rowSize > this.#rows.length) {
      const larger = Buffer.allocUnsafe(this.#rows.length * 2);
      this.#rows.copy(larger);
      this.#rows = larger;
    }
    const row = this.#count++;
    copyBytes(keys, at, this.#rows, row * this.rowSize, this.keySize);
    this.place(row);
    return row;
  }

  private grow(): void {
    this.#slots = emptySlots(this.#slots.length);
    for (let row = 0; row < this.#count; row++) this.place(row);
  }

  private place(row: number): void {
    const mask = this.#slots.length - 1;
    let slot = hash(this.#rows, row * this.rowSize, this.keySize) & mask;
    while (this.#slots[slot] !== EMPTY) slot = (slot + 1) & mask;
    this.#slots[slot] = row;
  }

  private keyEquals(row: number, keys: Buffer, at: number): boolean {
    return equalBytes(this.#rows, row * this.rowSize, keys, at, this.keySize);
  }
}

/** At least two slots per row, a power of two. */
function emptySlots(rows: number): Int32Array {
  return new Int32Array(2 ** Math.ceil(Math.log2(rows * 2))).fill(EMPTY);
}

/** For a few bytes a loop beats the call of Buffer.copy. */
export function copyBytes(from: Buffer, fromAt: number, to: Buffer, toAt: number, size: number): void {
  if (size > 32) from.copy(to, toAt, fromAt, fromAt + size);
  else for (let i = 0; i < size; i++) to[toAt + i] = from[fromAt + i]!;
}

/** Byte loop: for keys of a few bytes it beats Buffer.compare by far. */
function equalBytes(a: Buffer, aAt: number, b: Buffer, bAt: number, size: number): boolean {
  for (let i = 0; i < size; i++) if (a[aAt + i] !== b[bAt + i]) return false;
  return true;
}

/** FNV-1a with a final mix. */
function hash(bytes: Buffer, at: number, size: number): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < size; i++) h = Math.imul(h ^ bytes[at + i]!, 0x01000193);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return (h ^ (h >>> 13)) >>> 0;
}
