/**
 * Addresses that the same peers match are one class. A peer set is the whole `from` or `to` of a rule; rules that
 * have the same one share it.
 */
import { ascending, compareAt, type Ranges, step, type Words } from "./ranges";

/** A family cut where the class changes: `classes[i]` holds from `starts[i]` on. The first start is address 0. */
export interface Cuts {
  words: Words;
  count: number;
  starts: Uint32Array;
  classes: Uint32Array;
}

export interface AddressClasses {
  /** Peer sets by class, ascending. Class 0 has none. */
  members: (readonly number[])[];
  ipv4: Cuts;
  ipv6: Cuts;
}

export function addressClasses(sets: readonly { ipv4: Ranges; ipv6: Ranges }[]): AddressClasses {
  const classes = new Classes();
  const ipv4 = cut(
    sets.map((set) => set.ipv4),
    1,
    classes,
  );
  const ipv6 = cut(
    sets.map((set) => set.ipv6),
    4,
    classes,
  );
  return { members: classes.members, ipv4, ipv6 };
}

/** Numbers for sets of peer sets, found by a hash and compared in full. */
class Classes {
  readonly members: (readonly number[])[] = [];
  private readonly byHash = new Map<number, number[]>();

  of(active: ReadonlySet<number>, hash: number): number {
    const candidates = this.byHash.get(hash) ?? [];
    for (const candidate of candidates) {
      const known = this.members[candidate]!;
      if (known.length === active.size && known.every((set) => active.has(set))) return candidate;
    }
    this.byHash.set(hash, [...candidates, this.members.length]);
    return this.members.push([...active].sort((a, b) => a - b)) - 1;
  }
}

function cut(sets: readonly Ranges[], words: Words, classes: Classes): Cuts {
  const most = 2 * sets.reduce((sum, { count }) => sum + count, 0);
  const at = new Uint32Array(most * words);
  const changed = new Uint32Array(most);
  let events = 0;
  sets.forEach(({ count, first, last }, set) => {
    for (let i = 0; i < count; i++) {
      at.set(first.subarray(i * words, (i + 1) * words), events * words);
      changed[events++] = set;
      // beyond the last address of all nothing ends
      if (step(at, events, last, i, words, 1)) changed[events++] = set;
    }
  });
  const order = ascending(at, events, words);

  const cuts = {
    words,
    count: 0,
    starts: new Uint32Array((events + 1) * words),
    classes: new Uint32Array(events + 1),
  };
  const active = new Set<number>();
  let hash = 0;
  let previous = classes.of(active, hash);
  cuts.classes[cuts.count++] = previous;
  for (let i = 0; i < events;) {
    const here = order[i]!;
    for (; i < events && compareAt(at, order[i]!, at, here, words) === 0; i++) {
      const set = changed[order[i]!]!;
      if (!active.delete(set)) active.add(set);
      hash ^= mixed(set);
    }
    const current = classes.of(active, hash);
    if (current === previous) continue;
    // a first range may begin at address 0, where a cut is already
    const first =
      cuts.count === 1 && at.subarray(here * words, (here + 1) * words).every((word) => word === 0);
    if (!first) cuts.starts.set(at.subarray(here * words, (here + 1) * words), cuts.count++ * words);
    cuts.classes[cuts.count - 1] = previous = current;
  }
  return cuts;
}

/** Of MurmurHash3: bits of a number spread over 32. */
function mixed(number: number): number {
  let hash = Math.imul((number + 1) ^ ((number + 1) >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
