/** Packed `key|value` records while they are made. */
import type { Records } from "./chunks";

export class RecordWriter {
  /** Where the next record goes, from `offset` on; zero-filled. */
  bytes: Buffer;
  private count = 0;

  /** `expected` records fit without growing. */
  constructor(
    readonly keySize: number,
    readonly recordSize: number,
    expected: number,
  ) {
    this.bytes = Buffer.alloc(Math.max(expected, 1) * recordSize);
  }

  get offset(): number {
    return this.count * this.recordSize;
  }

  /** Keeps the record at `offset`. */
  advance(): void {
    this.count++;
    if (this.offset + this.recordSize > this.bytes.length) {
      const grown = Buffer.alloc(this.bytes.length * 2);
      this.bytes.copy(grown);
      this.bytes = grown;
    }
  }

  get records(): Records {
    const { keySize, recordSize, count } = this;
    return { bytes: this.bytes.subarray(0, this.offset), keySize, recordSize, count };
  }
}
