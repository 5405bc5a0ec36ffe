/** The numbers of address classes. Rows lie by them: a class that keeps its number keeps its row. */
import type { AddressClasses } from "./address-classes";
import { addressClass } from "./lookup";

const CLASSES = 2 ** 26;
const UNKNOWN = 0xffffffff;

/** Numbers for address classes: those of the generation before where the addresses are mostly the same. */
export class ClassNumbers {
  constructor(
    private readonly classes: AddressClasses,
    private readonly old: Uint32Array | undefined,
    private readonly set: number,
  ) {}

  numbers(): Uint32Array {
    const { members } = this.classes;
    if (this.old === undefined) return Uint32Array.from(members, (_, number) => number);
    const votes = new Map<number, number>();
    for (const cuts of [this.classes.ipv4, this.classes.ipv6]) {
      for (let i = 0; i < cuts.count; i++) {
        const was = addressClass(this.old, this.set, {
          words: cuts.starts,
          at: i * cuts.words,
          size: cuts.words,
        });
        const pair = cuts.classes[i]! * CLASSES + was;
        votes.set(pair, (votes.get(pair) ?? 0) + 1);
      }
    }
    const numbers = new Uint32Array(members.length).fill(UNKNOWN);
    const taken = new Set<number>();
    for (const [pair] of [...votes].sort(([, a], [, b]) => b - a)) {
      const [number, was] = [Math.floor(pair / CLASSES), pair % CLASSES];
      if (numbers[number] !== UNKNOWN || taken.has(was)) continue;
      numbers[number] = was;
      taken.add(was);
    }
    let next = 0;
    return numbers.map((number) => {
      if (number !== UNKNOWN) return number;
      while (taken.has(next)) next++;
      return next++;
    });
  }
}
