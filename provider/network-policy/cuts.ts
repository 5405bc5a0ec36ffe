/** A family of addresses cut where something changes: `payloads[i]` holds from `starts[i]` on. */
import { compareAt, type Words } from "./ranges";
import { grown } from "./columns";

export class Cuts {
  count = 0;
  starts: Uint32Array;
  payloads: Uint32Array;

  constructor(
    readonly words: Words,
    expected = 16,
  ) {
    this.starts = new Uint32Array(expected * words);
    this.payloads = new Uint32Array(expected);
  }

  /** The next cut, or another payload for the last; neighbours that are the same become one. */
  add(key: Uint32Array, at: number, payload: number): void {
    const { words } = this;
    if (this.count > 0 && compareWords(key, at, this.starts, (this.count - 1) * words, words) === 0) {
      this.count--;
    }
    if (this.count > 0 && this.payloads[this.count - 1] === payload) return;
    this.starts = grown(this.starts, (this.count + 1) * words);
    this.payloads = grown(this.payloads, this.count + 1);
    for (let word = 0; word < words; word++) this.starts[this.count * words + word] = key[at + word]!;
    this.payloads[this.count++] = payload;
  }

  compare(i: number, other: Cuts, j: number): number {
    return compareAt(this.starts, i, other.starts, j, this.words);
  }
}

function compareWords(a: Uint32Array, atA: number, b: Uint32Array, atB: number, words: number): number {
  for (let word = 0; word < words; word++) {
    const difference = a[atA + word]! - b[atB + word]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
