/** Address classes: addresses that the same peers match are one class. Class 0 is matched by none. */
import type { InternedLists } from "./interned";

const UNKNOWN = 0xffffffff;

export class AddressClasses {
  private readonly fromNone: number[] = [];
  private readonly known = new Map<number, number>();
  private scratch = new Uint32Array(64);

  constructor(
    /** Peers of each class, ascending. */
    readonly lists: InternedLists,
    /** Peers whose match changes, ascending; change 0 is none. */
    readonly changes: InternedLists,
  ) {}

  /** How many references in cells a class has. */
  get uses(): Uint32Array {
    return this.lists.uses;
  }

  /** The class of what was in one class, where the peers of a change match that did not, and the other way round. */
  changed(number: number, change: number): number {
    if (change === 0) return number;
    if (number === 0) {
      const known = this.fromNone[change] ?? UNKNOWN;
      if (known !== UNKNOWN) return known;
      const list = this.changes.at(change);
      return (this.fromNone[change] = this.lists.intern(list));
    }
    const key = number * 2 ** 26 + change;
    let known = this.known.get(key);
    if (known === undefined) this.known.set(key, (known = this.exchanged(number, change)));
    return known;
  }

  private exchanged(number: number, change: number): number {
    const [had, flipped] = [this.lists.at(number), this.changes.at(change)];
    if (this.scratch.length < had.length + flipped.length) {
      this.scratch = new Uint32Array(2 * (had.length + flipped.length));
    }
    const { scratch } = this;
    let length = 0;
    for (let i = 0, j = 0; i < had.length || j < flipped.length;) {
      if (j === flipped.length || had[i]! < flipped[j]!) scratch[length++] = had[i++]!;
      else if (i === had.length || flipped[j]! < had[i]!) scratch[length++] = flipped[j++]!;
      else {
        i++;
        j++;
      }
    }
    return this.lists.intern(scratch, length);
  }
}
