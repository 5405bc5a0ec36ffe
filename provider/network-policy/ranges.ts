/** Sets of addresses as sorted ranges. An address is one 32-bit word (IPv4) or four (IPv6), the highest first. */
import { parseIpv4, parseIpv6 } from "../btf/addresses";

export type Words = 1 | 4;

/** Disjoint, ascending and not adjacent; first and last address are part of a range. */
export interface Ranges {
  words: Words;
  count: number;
  first: Uint32Array;
  last: Uint32Array;
}

/** Networks of one family, less others. */
export interface NetworkList {
  cidrs: readonly string[];
  /** Taken out of `cidrs`. */
  except?: readonly string[] | undefined;
}

/** What any of the lists holds in one family. */
export function rangesOf(lists: readonly NetworkList[], words: Words): Ranges {
  const plain = lists.flatMap(({ cidrs, except = [] }) => (except.length === 0 ? cidrs : []));
  const cut = lists.filter(({ except = [] }) => except.length > 0);
  return united(
    [
      networks(plain, words),
      ...cut.map(({ cidrs, except = [] }) => subtract(networks(cidrs, words), networks(except, words))),
    ],
    words,
  );
}

export function united(all: readonly Ranges[], words: Words): Ranges {
  const some = all.filter(({ count }) => count > 0);
  return some.length === 0 ? NONE[words] : some.length === 1 ? some[0]! : merged(concatenated(some, words));
}

/** What both hold. */
export function intersection(a: Ranges, b: Ranges): Ranges {
  return subtract(a, subtract(a, b));
}

export function compareAt(a: Uint32Array, i: number, b: Uint32Array, j: number, words: Words): number {
  for (let word = 0; word < words; word++) {
    const difference = a[i * words + word]! - b[j * words + word]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Copies the address after, or before, that at `i`; false when there is none. */
export function step(
  to: Uint32Array,
  j: number,
  from: Uint32Array,
  i: number,
  words: Words,
  by: 1 | -1,
): boolean {
  let carry = true;
  for (let word = words - 1; word >= 0; word--) {
    const value = from[i * words + word]!;
    to[j * words + word] = carry ? value + by : value;
    carry &&= value === (by === 1 ? 0xffffffff : 0);
  }
  return !carry;
}

/** Indexes of the addresses in ascending order; those of equal ones in any. */
export function ascending(addresses: Uint32Array, count: number, words: Words): Uint32Array {
  const order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  let sorted = true;
  for (let i = 1; i < count && sorted; i++) sorted = compareAt(addresses, i - 1, addresses, i, words) <= 0;
  if (sorted) return order;
  if (count < RADIX_COUNT) return order.sort((a, b) => compareAt(addresses, a, addresses, b, words));
  return radixSorted(addresses, order, words);
}

/** From here on counting digits is faster than comparing. */
const RADIX_COUNT = 4096;
const RADIX = 65536;

function radixSorted(addresses: Uint32Array, order: Uint32Array, words: Words): Uint32Array {
  let [from, to]: [Uint32Array, Uint32Array] = [order, new Uint32Array(order.length)];
  const counts = new Uint32Array(RADIX);
  const end = order.length * words;
  for (let word = words - 1; word >= 0; word--) {
    for (const shift of [0, 16]) {
      counts.fill(0);
      for (let at = word; at < end; at += words) counts[(addresses[at]! >>> shift) & 0xffff]!++;
      // all the same: nothing to do
      if (counts[(addresses[word]! >>> shift) & 0xffff] === from.length) continue;
      for (let digit = 0, sum = 0; digit < RADIX; digit++) {
        const here = counts[digit]!;
        counts[digit] = sum;
        sum += here;
      }
      for (let i = 0; i < from.length; i++) {
        const index = from[i]!;
        to[counts[(addresses[index * words + word]! >>> shift) & 0xffff]!++] = index;
      }
      [from, to] = [to, from];
    }
  }
  return from;
}

const EMPTY = new Uint32Array(0);
/** A hundred thousand rules of one network each make many of these. */
export const NONE: Record<Words, Ranges> = {
  1: { words: 1, count: 0, first: EMPTY, last: EMPTY },
  4: { words: 4, count: 0, first: EMPTY, last: EMPTY },
};

function networks(cidrs: readonly string[], words: Words): Ranges {
  let total = 0;
  for (const cidr of cidrs) if (cidr.includes(":") === (words === 4)) total++;
  if (total === 0) return NONE[words];
  const first = new Uint32Array(total * words);
  const last = new Uint32Array(total * words);
  let count = 0;
  for (const cidr of cidrs) {
    if (cidr.includes(":") !== (words === 4)) continue;
    const prefix = parseNetwork(cidr, first, count * words);
    lastOf(first, count * words, prefix, last, count * words, words);
    count++;
  }
  return merged({ words, count, first, last });
}

/** Writes the words of a CIDR's address, one or four; gives the length of its prefix. */
export function parseNetwork(cidr: string, to: Uint32Array, at: number): number {
  const slash = cidr.indexOf("/");
  const address = cidr.slice(0, slash);
  if (!cidr.includes(":")) to[at] = parseIpv4(address)!;
  else {
    const bytes = parseIpv6(address)!;
    for (let word = 0; word < 4; word++) to[at + word] = bytes.readUInt32BE(word * 4);
  }
  return Number(cidr.slice(slash + 1));
}

/** The last address of a network. */
export function lastOf(
  first: Uint32Array,
  from: number,
  prefix: number,
  last: Uint32Array,
  to: number,
  words: Words,
): void {
  for (let word = 0; word < words; word++) {
    const free = Math.max(0, Math.min(32, 32 * (word + 1) - prefix));
    last[to + word] = free === 0 ? first[from + word]! : first[from + word]! | (0xffffffff >>> (32 - free));
  }
}

export function concatenated(all: readonly Ranges[], words: Words): Ranges {
  const count = all.reduce((sum, ranges) => sum + ranges.count, 0);
  const first = new Uint32Array(count * words);
  const last = new Uint32Array(count * words);
  let at = 0;
  for (const ranges of all) {
    first.set(ranges.first.subarray(0, ranges.count * words), at);
    last.set(ranges.last.subarray(0, ranges.count * words), at);
    at += ranges.count * words;
  }
  return { words, count, first, last };
}

/** Sorted, with those that overlap or touch made one. */
export function merged(ranges: Ranges): Ranges {
  const { words, count, first, last } = ranges;
  if (count <= 1) return ranges;
  const order = ascending(first, count, words);
  const result = {
    words,
    count: 0,
    first: new Uint32Array(count * words),
    last: new Uint32Array(count * words),
  };
  const after = new Uint32Array(words);
  let open = true;
  for (const index of order) {
    const top = result.count - 1;
    if (top >= 0 && (!open || compareAt(first, index, after, 0, words) <= 0)) {
      if (compareAt(last, index, result.last, top, words) <= 0) continue;
      result.last.set(last.subarray(index * words, (index + 1) * words), top * words);
    } else {
      result.first.set(first.subarray(index * words, (index + 1) * words), result.count * words);
      result.last.set(last.subarray(index * words, (index + 1) * words), result.count * words);
      result.count++;
    }
    open = step(after, 0, result.last, result.count - 1, words, 1);
  }
  return result;
}

export function subtract(from: Ranges, taken: Ranges): Ranges {
  if (taken.count === 0) return from;
  const { words } = from;
  const most = from.count + taken.count;
  const result = {
    words,
    count: 0,
    first: new Uint32Array(most * words),
    last: new Uint32Array(most * words),
  };
  const start = new Uint32Array(words);
  let next = 0;
  for (let i = 0; i < from.count; i++) {
    start.set(from.first.subarray(i * words, (i + 1) * words));
    while (next > 0 && compareAt(taken.last, next - 1, start, 0, words) >= 0) next--;
    while (next < taken.count && compareAt(taken.last, next, start, 0, words) < 0) next++;
    let left = true;
    for (; left && next < taken.count && compareAt(taken.first, next, from.last, i, words) <= 0; next++) {
      if (compareAt(start, 0, taken.first, next, words) < 0) {
        result.first.set(start, result.count * words);
        step(result.last, result.count++, taken.first, next, words, -1);
      }
      left = step(start, 0, taken.last, next, words, 1);
    }
    if (left && compareAt(start, 0, from.last, i, words) <= 0) {
      result.first.set(start, result.count * words);
      result.last.set(from.last.subarray(i * words, (i + 1) * words), result.count++ * words);
    }
  }
  return result;
}
