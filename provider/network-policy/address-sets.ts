/**
 * Address sets as chunks of parsed networks. A chunk is read when it is needed first: a change of a few among a million
 * networks looks at those chunks only that reach where it is.
 */
import {
  ascending,
  compareAt,
  concatenated,
  intersection,
  lastOf,
  merged,
  parseNetwork,
  type Ranges,
  type Words,
} from "./ranges";

const SLASH = 47;
const DOT = 46;
const COLON = 58;
const NEWLINE = 10;

/** Addresses of IPv4, then of IPv6, then prefix lengths, four in a word. */
export class NetworkChunk {
  constructor(
    readonly blob: string,
    readonly ipv4: number,
    readonly ipv6: number,
    /** First words of the lowest and the highest address of each family. */
    readonly bounds: readonly [low4: number, high4: number, low6: number, high6: number],
    private content: Uint32Array | (() => Uint32Array),
  ) {}

  get words(): Uint32Array {
    return (this.content = typeof this.content === "function" ? this.content() : this.content);
  }

  count(words: Words): number {
    return words === 1 ? this.ipv4 : this.ipv6;
  }

  reaches(words: Words, { first, last, count }: Ranges): boolean {
    const [low, high] = words === 1 ? this.bounds : this.bounds.slice(2);
    let i = 0;
    while (i < count && last[i * words]! < low!) i++;
    return i < count && first[i * words]! <= high!;
  }

  /** First and last address of each network of a family, or of those that reach into `within`. */
  networks(words: Words, within?: Ranges): Ranges {
    const { words: content, ipv4, ipv6 } = this;
    const from = words === 1 ? 0 : ipv4;
    const prefixes = new Uint8Array(content.buffer, content.byteOffset + 4 * (ipv4 + 4 * ipv6) + from);
    const chosen = within === undefined ? undefined : this.near(words, within, prefixes);
    const total = chosen === undefined ? this.count(words) : chosen.length;
    const [first, last] = [new Uint32Array(total * words), new Uint32Array(total * words)];
    let count = 0;
    for (let i = 0; i < total; i++) {
      const network = chosen === undefined ? i : chosen[i]!;
      for (let word = 0; word < words; word++)
        first[count * words + word] = content[from + network * words + word]!;
      lastOf(first, count * words, prefixes[network]!, last, count * words, words);
      if (within === undefined || overlaps(within, first, last, count)) count++;
    }
    return { words, count, first, last };
  }

  /** Networks that may reach into `within`, by the first words of their addresses: of a million a few. */
  private near(words: Words, within: Ranges, prefixes: Uint8Array): number[] {
    const content = this.words;
    const from = words === 1 ? 0 : this.ipv4;
    const total = this.count(words);
    const { first, last, count } = within;
    const chosen: number[] = [];
    for (let i = 0; i < total; i++) {
      const low = content[from + i * words]!;
      let [at, end] = [0, count];
      while (at < end) {
        const middle = (at + end) >> 1;
        if (last[middle * words]! < low) at = middle + 1;
        else end = middle;
      }
      if (at < count && first[at * words]! <= low + rest(prefixes[i]!)) chosen.push(i);
    }
    return chosen;
  }
}

/** Whether range `i` and any of the ranges have an address in common. */
function overlaps(ranges: Ranges, first: Uint32Array, last: Uint32Array, i: number): boolean {
  let [low, high] = [0, ranges.count];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareAt(ranges.last, middle, first, i, ranges.words) < 0) low = middle + 1;
    else high = middle;
  }
  return low < ranges.count && compareAt(ranges.first, low, last, i, ranges.words) <= 0;
}

export type AddressSet = readonly NetworkChunk[];

/** `text` is one CIDR a line. */
export function parseChunk(blob: string, text: Uint8Array): NetworkChunk {
  let [lines, ipv6] = [0, 0];
  for (let at = 0, colon = false; at < text.length; at++) {
    const byte = text[at]!;
    if (byte === COLON) colon = true;
    if (byte !== NEWLINE) continue;
    lines++;
    if (colon) ipv6++;
    colon = false;
  }
  const ipv4 = lines - ipv6;
  const words = new Uint32Array(ipv4 + 4 * ipv6 + ((lines + 3) >> 2));
  const prefixes = new Uint8Array(words.buffer, 4 * (ipv4 + 4 * ipv6));
  const decoder = new TextDecoder();
  const bounds: [number, number, number, number] = [0xffffffff, 0, 0xffffffff, 0];
  let [next4, next6] = [0, 0];
  for (let at = 0; at < text.length;) {
    const start = at;
    let [address, part] = [0, 0];
    let byte = text[at++]!;
    for (; byte !== SLASH && byte !== COLON; byte = text[at++]!) {
      if (byte !== DOT) part = part * 10 + byte - 48;
      else [address, part] = [address * 256 + part, 0];
    }
    if (byte === COLON) {
      while (text[at] !== NEWLINE) at++;
      const to = ipv4 + 4 * next6;
      prefixes[ipv4 + next6++] = parseNetwork(decoder.decode(text.subarray(start, at)), words, to);
      bounds[2] = Math.min(bounds[2], words[to]!);
      bounds[3] = Math.max(bounds[3], words[to]! + rest(prefixes[ipv4 + next6 - 1]!));
      at++;
      continue;
    }
    address = address * 256 + part;
    let prefix = 0;
    while ((byte = text[at++]!) !== NEWLINE) prefix = prefix * 10 + byte - 48;
    words[next4] = address;
    prefixes[next4++] = prefix;
    if (address < bounds[0]) bounds[0] = address;
    bounds[1] = Math.max(bounds[1], address + rest(prefix));
  }
  return new NetworkChunk(blob, ipv4, ipv6, bounds, words);
}

/** From the first word of a network to that of its last address. */
function rest(prefix: number): number {
  return prefix >= 32 ? 0 : 0xffffffff >>> prefix;
}

/** What a set holds in one family, or of that what lies within. */
export function networksOf(set: AddressSet, words: Words, within?: Ranges): Ranges {
  const chunks = set
    .filter((chunk) => chunk.count(words) > 0 && (within === undefined || chunk.reaches(words, within)))
    .map((chunk) => chunk.networks(words, within));
  const all = merged(concatenated(chunks, words));
  return within === undefined ? all : intersection(all, within);
}

/** Networks that one of two versions has more often than the other: outside of them both match the same. */
export function difference(before: AddressSet, after: AddressSet, words: Words): Ranges {
  const [old, now] = [new Set(before), new Set(after)];
  const gone = before.filter((chunk) => !now.has(chunk)).map((chunk) => chunk.networks(words));
  const fresh = after.filter((chunk) => !old.has(chunk)).map((chunk) => chunk.networks(words));
  const { count, first, last } = concatenated([...gone, ...fresh], words);
  const goneCount = gone.reduce((sum, { count }) => sum + count, 0);
  const order = ascending(first, count, words);
  const kept: number[] = [];
  for (let i = 0; i < count;) {
    let end = i + 1;
    while (end < count && compareAt(first, order[end]!, first, order[i]!, words) === 0) end++;
    // networks that begin at one address: few, and told apart by their ends
    for (let j = i; j < end; j++) {
      let balance = 0;
      for (let k = i; k < end; k++) {
        if (compareAt(last, order[k]!, last, order[j]!, words) === 0)
          balance += order[k]! < goneCount ? -1 : 1;
      }
      if (balance !== 0) kept.push(order[j]!);
    }
    i = end;
  }
  const pick = (from: Uint32Array) => {
    const to = new Uint32Array(kept.length * words);
    kept.forEach((index, i) => to.set(from.subarray(index * words, (index + 1) * words), i * words));
    return to;
  };
  return merged({ words, count: kept.length, first: pick(first), last: pick(last) });
}
