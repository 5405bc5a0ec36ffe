/** Looks a packet up in cells, as the eBPF program does. */
import { parseAddress } from "../btf";
import type { Direction } from "./applied";
import {
  CELL_WORDS,
  DENY,
  FLAG,
  HAS_REST,
  HAS_SERVICE,
  HEADER,
  kindOf,
  LEAF,
  LONGS,
  LONGS_WORD,
  MOST_LONGS,
  MOST_OFFSETS,
  MOST_RANGES,
  MOST_SHORTS,
  OFFSETS,
  OFFSETS_HALF,
  PARTIAL,
  payloadOf,
  RANGES,
  RECORD,
  RECORD_WORDS,
  REST,
  SET,
  SHORTS,
  SHORTS_WORD,
  SKIP,
  SKIP_WORDS,
  SLOT,
  SPREAD,
  STARTS_HALF,
  TABLE,
} from "./cells";

/** Left-aligned words, one or four, from word `at` of a list; what lies beyond them is 0. */
export interface Key {
  words: Uint32Array;
  at: number;
  size: 1 | 4;
}

function addressKey(address: string): Key {
  const bytes = parseAddress(address, address.includes(":") ? 16 : 4);
  if (bytes === undefined) throw new RangeError(`${JSON.stringify(address)} is no address`);
  const size = bytes.length === 4 ? 1 : 4;
  return {
    words: Uint32Array.from({ length: size }, (_, word) => bytes.readUInt32BE(4 * word)),
    at: 0,
    size,
  };
}

/** 32 bits of a key from a byte on. */
function keyWord({ words, at, size }: Key, byte: number): number {
  const word = byte >> 2;
  const shift = 8 * (byte & 3);
  const high = word < size ? words[at + word]! : 0;
  const low = word + 1 < size ? words[at + word + 1]! : 0;
  return shift === 0 ? high : ((high << shift) | (low >>> (32 - shift))) >>> 0;
}

/** The reference for one byte in a NODE or SPREAD. */
export function findRun(words: Uint32Array, reference: number, byte: number): number {
  const at = payloadOf(reference) * CELL_WORDS;
  const word = byte >> 5;
  const before = (words[at + 8 + (word >> 2)]! >>> (8 * (word & 3))) & 255;
  const upTo = words[at + word]! & (0xffffffff >>> (31 - (byte & 31)));
  const run = before + ones(upTo) - 1;
  if (kindOf(reference) === SPREAD) return words[words[at + 10]! + run]!;
  return words[at + 10 + run]!;
}

/** The reference for two bytes in a RANGES. */
export function findRange(words: Uint32Array, reference: number, key: number): number {
  const at = payloadOf(reference) * CELL_WORDS;
  return words[words[at]! + lastStart(words, at, STARTS_HALF, MOST_RANGES, key)]!;
}

/** The reference for two bytes in an OFFSETS. */
export function findOffset(words: Uint32Array, reference: number, key: number): number {
  const at = payloadOf(reference) * CELL_WORDS;
  const run = lastStart(words, at, STARTS_HALF, MOST_OFFSETS, key);
  const offset = halfOf(words, at, OFFSETS_HALF + run);
  return offset === 0 ? 0 : words[at]! + offset;
}

/** The reference for two bytes in a SHORTS. */
export function findShort(words: Uint32Array, reference: number, key: number): number {
  const at = payloadOf(reference) * CELL_WORDS;
  return words[at + SHORTS_WORD + lastStart(words, at, 0, MOST_SHORTS, key)]!;
}

/** The reference for four bytes in a LONGS. */
export function findLong(words: Uint32Array, reference: number, key: number): number {
  const at = payloadOf(reference) * CELL_WORDS;
  let run = MOST_LONGS - 1;
  while (run > 0 && words[at + run - 1]! > key) run--;
  return words[at + LONGS_WORD + run]!;
}

/** Which of so many starts, from a half of the cell on, is the last that is not above the key. */
function lastStart(words: Uint32Array, at: number, half: number, count: number, key: number): number {
  let run = count - 1;
  while (halfOf(words, at, half + run) > key) run--;
  return run;
}

export function halfOf(words: Uint32Array, at: number, half: number): number {
  return (words[at + (half >> 1)]! >>> (16 * (half & 1))) & 0xffff;
}

function ones(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** The payload for a key, of which `byte` bytes are behind already. */
export function walk(words: Uint32Array, root: number, key: Key, byte = 0): number {
  let reference = root;
  for (let at = byte; kindOf(reference) !== LEAF;) {
    if (kindOf(reference) === SKIP) {
      const cell = payloadOf(reference) * CELL_WORDS;
      for (let i = 0; i < 4; i++) {
        const word = cell + SKIP_WORDS[i]!;
        if (((keyWord(key, at + 4 * i) ^ words[word]!) & words[word + 4]!) !== 0)
          return payloadOf(words[cell + 9]!);
      }
      reference = words[cell + 8]!;
      at += words[cell + 10]! / 8;
    } else if (kindOf(reference) === RANGES) {
      reference = findRange(words, reference, keyWord(key, at) >>> 16);
      at += 2;
    } else if (kindOf(reference) === SHORTS) {
      reference = findShort(words, reference, keyWord(key, at) >>> 16);
      at += 2;
    } else if (kindOf(reference) === OFFSETS) {
      reference = findOffset(words, reference, keyWord(key, at) >>> 16);
      at += 2;
    } else if (kindOf(reference) === LONGS) {
      reference = findLong(words, reference, keyWord(key, at));
      at += 4;
    } else {
      reference = findRun(words, reference, keyWord(key, at++) >>> 24);
    }
  }
  return payloadOf(reference);
}

/** Of a row, for a whole protocol: the value if there is one only, else the strongest, flagged PARTIAL. */
function walkProtocol(words: Uint32Array, root: number, protocol: number): number {
  let reference = root;
  if (kindOf(reference) === SKIP) {
    const at = payloadOf(reference) * CELL_WORDS;
    const mask = words[at + 5]!;
    if ((((protocol << 24) ^ words[at + 1]!) & mask) >>> 24 !== 0) return payloadOf(words[at + 9]!);
    if ((mask & 0xffffff) !== 0) return words[at + 15]! | PARTIAL;
    reference = words[at + 8]!;
  } else if (kindOf(reference) !== LEAF) {
    reference = findRun(words, reference, protocol);
  }
  return strongestBelow(words, reference);
}

function strongestBelow(words: Uint32Array, reference: number): number {
  if (kindOf(reference) === LEAF) return payloadOf(reference);
  return words[payloadOf(reference) * CELL_WORDS + 15]! | PARTIAL;
}

/** What a packet asks of a rule set. */
export interface Question {
  /** The other side: source of ingress, destination of egress. */
  address: string;
  protocol: number;
  /** Port, or type and code; absent for a later fragment. */
  service?: number;
}

export function addressClass(words: Uint32Array, set: number, key: Key): number {
  const [root, table] = key.size === 1 ? [SET.root4, SET.table4] : [SET.root6, SET.table6];
  const at = set * CELL_WORDS;
  const cell = words[at + table]!;
  if (cell === 0) return walk(words, words[at + root]!, key);
  const entry = (first: number, byte: number) => words[first * CELL_WORDS + (keyWord(key, byte) >>> 16)]!;
  const below = entry(cell, 0);
  if (kindOf(below) === TABLE) return walk(words, entry(payloadOf(below), 2), key, 4);
  return walk(words, below, key, 2);
}

/** The strongest value over the layers of one rule set. */
export function lookupSet(words: Uint32Array, set: number, { address, protocol, service }: Question): number {
  const row = (root: number) =>
    service === undefined
      ? walkProtocol(words, root, protocol)
      : walk(words, root, { words: Uint32Array.of((protocol << 24) | (service << 8)), at: 0, size: 1 });
  const at = set * CELL_WORDS;
  const place = addressClass(words, set, addressKey(address)) * RECORD_WORDS;
  const record = words[at + SET.records]! * CELL_WORDS + place;
  const [narrow, about] = [words[record + RECORD.narrow]!, words[record + RECORD.service]!];
  const hasRest = (about & HAS_REST) !== 0;
  const one = hasRest ? about - HAS_REST : about;
  const rest = words[at + SET.rests]! * CELL_WORDS + place;
  const ofProtocol = () => {
    if (((one >>> 16) & 255) !== protocol) return 0;
    if (one >= HAS_SERVICE) {
      if (service === undefined) return narrow | PARTIAL;
      return service === (one & 0xffff) ? narrow : 0;
    }
    if (service === undefined) return strongestBelow(words, narrow);
    return walk(words, narrow, { words: Uint32Array.of(service << 16), at: 0, size: 1 });
  };
  return [
    row(words[at + SET.everyone]!),
    one === 0 ? row(narrow) : ofProtocol(),
    ...(hasRest ? [row(words[rest + REST.wide]!), words[rest + REST.only]!] : []),
  ].reduce((a, b) => stronger(words, a, b));
}

export function stronger(words: Uint32Array, a: number, b: number): number {
  if (a === 0 || b === 0) return a | b;
  if (((a ^ b) & DENY) !== 0) return (a & DENY) !== 0 ? a : b;
  const labels = words[HEADER.labels]! * CELL_WORDS;
  return words[labels + (a & SLOT) - 1]! <= words[labels + (b & SLOT) - 1]! ? a : b;
}

export interface Answer {
  verdict: "allow" | "deny";
  /** Slot of the deciding rule. */
  slot?: number;
}

/** By the rules alone: no connections, nothing that always passes. */
export function lookup(
  words: Uint32Array,
  direction: Direction,
  question: Question,
): Answer & { audit?: Answer } {
  const egress = direction === "egress" ? 1 : 0;
  const sets = [0, 1].map((view) => words[HEADER.sets + 2 * egress + view]!);
  const flags = words[HEADER.flags]!;
  const [enforced, audited] = sets.map((set) => (set === 0 ? 0 : lookupSet(words, set, question)));
  const named = (flags & (FLAG.named << egress)) !== 0;
  const answer = answerOf(enforced!, named);
  if ((flags & (FLAG.audited << egress)) === 0) return answer;
  return { ...answer, audit: answerOf(stronger(words, enforced!, audited!), true) };
}

function answerOf(value: number, named: boolean): Answer {
  if ((value & PARTIAL) !== 0) return { verdict: named ? "deny" : "allow" };
  if (value === 0) return { verdict: named ? "deny" : "allow" };
  return { verdict: (value & DENY) !== 0 ? "deny" : "allow", slot: (value & SLOT) - 1 };
}
