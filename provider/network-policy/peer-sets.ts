/**
 * The peers of a rule as one list of words: how many sets, IPv4 and IPv6 ranges, the sets' numbers, then first and last
 * addresses of the ranges. Two rules with the same peers have the same list.
 */
import { type AddressSet, networksOf } from "./address-sets";
import {
  intersection,
  lastOf,
  NONE,
  type NetworkList,
  parseNetwork,
  type Ranges,
  rangesOf,
  united,
  type Words,
} from "./ranges";

const HEAD = 3;

export function peerSet(networks: readonly NetworkList[], sets: readonly number[]): Uint32Array {
  const [ipv4, ipv6] = [rangesOf(networks, 1), rangesOf(networks, 4)];
  const numbers = [...new Set(sets)].sort((a, b) => a - b);
  const content = new Uint32Array(HEAD + numbers.length + 2 * ipv4.count + 8 * ipv6.count);
  content.set([numbers.length, ipv4.count, ipv6.count, ...numbers]);
  let at = HEAD + numbers.length;
  for (const { first, last, count, words } of [ipv4, ipv6]) {
    content.set(first.subarray(0, count * words), at);
    content.set(last.subarray(0, count * words), at + count * words);
    at += 2 * count * words;
  }
  return content;
}

/** The same for one network, which most rules of a long list have. */
export function singleNetwork(cidr: string): Uint32Array {
  const words = cidr.includes(":") ? 4 : 1;
  const content = new Uint32Array(HEAD + 2 * words);
  content[words === 1 ? 1 : 2] = 1;
  const prefix = parseNetwork(cidr, content, HEAD);
  lastOf(content, HEAD, prefix, content, HEAD + words, words);
  return content;
}

export function setsOf(content: Uint32Array): Uint32Array {
  return content.subarray(HEAD, HEAD + content[0]!);
}

function ownRanges(content: Uint32Array, words: Words): Ranges {
  const count = content[words === 1 ? 1 : 2]!;
  if (count === 0) return NONE[words];
  const from = HEAD + content[0]! + (words === 1 ? 0 : 2 * content[1]!);
  const middle = from + count * words;
  return {
    words,
    count,
    first: content.subarray(from, middle),
    last: content.subarray(middle, middle + count * words),
  };
}

/** What the peers match in one family, or of that what lies within. */
export function coverage(
  content: Uint32Array,
  sets: readonly (AddressSet | undefined)[],
  words: Words,
  within?: Ranges,
): Ranges {
  const own = ownRanges(content, words);
  if (content[0] === 0 && within === undefined) return own;
  return united(
    [
      within === undefined ? own : intersection(own, within),
      ...Array.from(setsOf(content), (set) => networksOf(sets[set]!, words, within)),
    ],
    words,
  );
}
