/**
 * The form of a generation: 64-byte cells of one array, 16 little-endian words each. provider/modules/network-policy
 * reads the same form; numbers here and there must agree.
 *
 * Cell 0 is the header, cells 1 to 4 the rule sets; everything else is found from these. A *reference* is a word: a
 * leaf's payload (address class or value), its two high bits 0, or a kind in the four high bits and a cell's number.
 *
 *     NODE    words 0–7 bitmap of the bytes where a run of equal references begins, 8–9 one byte per bitmap word with
 *             the bits set in the words before, 10–14 the references of up to five runs, 15 strongest value below
 *     RANGES  word 0 that of all words which, with the index of a start, is the reference's; 1–14 up to 28 starts of 16
 *             bits, ascending, unused ones first and 0: the last that is not above the next two bytes counts; 15 as in NODE
 *     SHORTS  a RANGES of few runs, in one cell: words 0–4 ten starts, 5–14 the reference of each, 15 as in NODE
 *     OFFSETS a RANGES of close leaves, in one cell: word 0 a payload; then 15 starts, and for each how far its payload
 *             is above that, in 16 bits, 0 where the payload is 0; not in rows
 *     LONGS   the same of the next four bytes: words 0–6 starts, which the first run, at 0, has none of, 7–14 references
 *     SPREAD  the same as NODE of any number of runs, with word 10 in place of references as word 0 of a RANGES
 *     SKIP    words 0–3 bits to compare the rest of the key with, 4–7 mask (each high word after its low word),
 *             8 reference where they match, 9 reference where not, 10 bits of the key to drop, 15 as above
 *     TABLE   the first of the cells of 65536 references by the next two bytes; only in the table of a family's first two
 *
 * A *value* names the deciding rule: 0 for none, else its slot + 1 with flags.
 */

export const FORMAT = 6;
export const CELL_WORDS = 16;

export const KIND_SHIFT = 28;
export const LEAF = 0;
export const NODE = 4;
export const RANGES = 5;
export const SPREAD = 6;
export const SHORTS = 7;
export const SKIP = 8;
export const LONGS = 9;
export const OFFSETS = 10;
export const TABLE = 11;
export const INLINE_RUNS = 5;
/** Runs of the other forms, and the word of the first reference, or the half of the first offset. */
export const MOST_RANGES = 28;
export const MOST_SHORTS = 10;
export const SHORTS_WORD = 5;
export const MOST_LONGS = 8;
export const LONGS_WORD = 7;
export const MOST_OFFSETS = 15;
export const OFFSETS_HALF = 17;
/** Half of the first start of a RANGES and of an OFFSETS. */
export const STARTS_HALF = 2;
const CELL_NUMBER = 2 ** KIND_SHIFT - 1;

/** Where the words of a key lie in a SKIP: each 64 bits with the low word first. */
export const SKIP_WORDS = [1, 0, 3, 2];

/** Flags of values. */
export const DENY = 1 << 29;
/** The rule decides for some ports of the protocol; in answers about later fragments only. */
export const PARTIAL = 1 << 28;
export const SLOT = PARTIAL - 1;

/** Words of cell 0. */
export const HEADER = {
  format: 0,
  cells: 1,
  generationLow: 2,
  generationHigh: 3,
  flags: 4,
  /** First cell of one word per slot; the rule with the lower label is the stronger one. */
  labels: 5,
  slots: 6,
  /** Cells of the rule sets: enforced and audited of ingress, then of egress; 0: no rules. */
  sets: 8,
} as const;

/** Header flags; named and audited shifted left by 1 for egress. */
export const FLAG = { notExempt: 1, keep: 2, named: 4, audited: 16, untracked: 64 } as const;

/** Words of a rule set. */
export const SET = {
  /** References, used where the table is 0. */
  root4: 0,
  /** First cell of 65536 references by the first 16 bits of the address. */
  table4: 1,
  root6: 2,
  table6: 3,
  /** Row for every address. */
  everyone: 4,
  /** First cell of the records of address classes, two words each. */
  records: 5,
  /** Number of address classes. */
  classes: 6,
  /** First cell of the rests of the records, two words each. */
  rests: 7,
} as const;

/** Of a record, and of its rest. */
export const RECORD_WORDS = 2;
/**
 * Words of a class record: a row, and what it is about. 0: all services. The only service, HAS_SERVICE added: `narrow` is
 * the value for that; most rules have one port, and need no cell so. The only protocol, shifted left by 16, HAS_PROTOCOL
 * added: `narrow` is what lies below that in a row. HAS_REST is added to any of these where the class has a rest.
 */
export const RECORD = { narrow: 0, service: 1 } as const;
export const HAS_SERVICE = 2 ** 31;
export const HAS_PROTOCOL = 2 ** 30;
export const HAS_REST = 2 ** 29;
/**
 * Words of a rest: another row, and one value for all services. Few classes have one: most have but `narrow`, which a
 * value for all services is, too. So the records, one of which each packet reads, take half the room in a cache.
 */
export const REST = { wide: 0, only: 1 } as const;

/** Up to so many rules have a counter for each CPU, more have SHARDS: with no more CPUs than these it is one of each, too. */
export const MOST_PER_CPU = 4096;
export const SHARDS = 8;

/** So many slots of one shard of counters lie together. Room for counters is a multiple of it. */
export const SHARD_SLOTS = 256;

/** Where a slot's counters are: one for each shard. Unsharded ones, of which there is one for each CPU, lie by slot. */
export function counterIndexes(slot: number, shards: number): number[] {
  const within = slot % SHARD_SLOTS;
  const first = (slot - within) * shards + within;
  return Array.from({ length: shards }, (_, shard) => first + shard * SHARD_SLOTS);
}

export const TABLE_CELLS = 65536 / CELL_WORDS;

export function reference(kind: number, payload: number): number {
  return ((kind << KIND_SHIFT) | payload) >>> 0;
}

export function kindOf(reference: number): number {
  const kind = reference >>> KIND_SHIFT;
  return kind < NODE ? LEAF : kind;
}

export function payloadOf(reference: number): number {
  return kindOf(reference) === LEAF ? reference : reference & CELL_NUMBER;
}
