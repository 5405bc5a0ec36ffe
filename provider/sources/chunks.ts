/**
 * Records and lines to a manifest and chunks, and the check that no key stands there twice.
 *
 * A chunk ends where an item's hash says so (content-defined boundaries): an item that is changed, added or removed
 * makes one or two new chunks, and the host keeps the others.
 */
import { canonicalJson, digestOf, type EntriesChunk } from "../protocol/spec";

/** Packed `key|value` records in equal layout, one after the other. */
export interface Records {
  bytes: Buffer;
  keySize: number;
  /** Key and value together. */
  recordSize: number;
  count: number;
}

/** Items one after the other: records, or lines of text. */
export interface Items {
  bytes: Buffer;
  count: number;
  /** Of each item; well mixed: the high bits say where a chunk ends. */
  hashes: Uint32Array;
  /** Where in `bytes` an item ends. */
  endOf(item: number): number;
  /** Mean number of items in a chunk, a power of two; the longest chunk has four times as many. */
  perChunk: number;
}

export interface Chunks {
  /** sha256 of the manifest blob: canonical JSON of `{ blob, count }[]`. */
  manifest: string;
  blobs: Map<string, Uint8Array>;
}

const RECORDS_PER_CHUNK = 4096;

export function cutChunks({ bytes, count, hashes, endOf, perChunk }: Items): Chunks {
  const blobs = new Map<string, Uint8Array>();
  const chunks: EntriesChunk[] = [];
  // the high bits: the low ones place the key in findDuplicate's table
  const shift = 32 - Math.log2(perChunk);
  for (let item = 0, first = 0, start = 0; item < count; item++) {
    const length = item + 1 - first;
    if (hashes[item]! >>> shift !== perChunk - 1 && length < perChunk * 4 && item + 1 < count) continue;
    const end = endOf(item);
    const blob = bytes.subarray(start, end);
    const digest = digestOf(blob);
    blobs.set(digest, blob);
    chunks.push({ blob: digest, count: length });
    first = item + 1;
    start = end;
  }
  const manifestBytes = Buffer.from(canonicalJson(chunks));
  const manifest = digestOf(manifestBytes);
  blobs.set(manifest, manifestBytes);
  return { manifest, blobs };
}

/** `hashes` as hashKeys gives them. */
export function cutRecords(
  { bytes, recordSize, count }: Omit<Records, "keySize">,
  hashes: Uint32Array,
): Chunks {
  const endOf = (row: number) => (row + 1) * recordSize;
  return cutChunks({ bytes, count, hashes, endOf, perChunk: RECORDS_PER_CHUNK });
}

/** A hash of each record's key. */
export function hashKeys({ bytes, keySize, recordSize, count }: Records): Uint32Array {
  const hashes = new Uint32Array(count);
  for (let row = 0, at = 0; row < count; row++, at += recordSize) {
    let hash = FNV_START;
    for (let byte = at; byte < at + keySize; byte++) hash = Math.imul(hash ^ bytes[byte]!, FNV_PRIME);
    hashes[row] = mixed(hash);
  }
  return hashes;
}

const NEWLINE = 10;

/** A hash of each line, and where it ends; every line has a `\n`. */
export function hashLines(bytes: Buffer): { hashes: Uint32Array; ends: Uint32Array } {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count++;
  const hashes = new Uint32Array(count);
  const ends = new Uint32Array(count);
  for (let at = 0, line = 0; line < count; line++) {
    let hash = FNV_START;
    for (let byte; (byte = bytes[at++]!) !== NEWLINE;) hash = Math.imul(hash ^ byte, FNV_PRIME);
    hashes[line] = mixed(hash);
    ends[line] = at;
  }
  return { hashes, ends };
}

/** FNV-1a, as a signed number: what begins as a float stays one, and is ten times slower. */
const FNV_START = 0x811c9dc5 | 0;
const FNV_PRIME = 0x01000193;

/** Makes all bits of an FNV-1a hash depend on all bytes: murmur3's end. */
function mixed(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b | 0);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35 | 0);
  return hash ^ (hash >>> 16);
}

/** Calls `found` for each record whose key an earlier one has. */
export function findDuplicates(
  { bytes, keySize, recordSize, count }: Records,
  hashes: Uint32Array,
  found: (row: number, earlier: number) => void,
): void {
  // open addressing, at most half full; a slot holds row + 1
  const mask = 2 ** Math.ceil(Math.log2(Math.max(count, 1) * 2)) - 1;
  const slots = new Uint32Array(mask + 1);
  for (let row = 0; row < count; row++) {
    const hash = hashes[row]!;
    const key = row * recordSize;
    let slot = hash & mask;
    for (; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const earlier = slots[slot]! - 1;
      if (hashes[earlier] !== hash) continue;
      const other = earlier * recordSize;
      if (bytes.compare(bytes, other, other + keySize, key, key + keySize) !== 0) continue;
      found(row, earlier);
      break;
    }
    if (slots[slot] === 0) slots[slot] = row + 1;
  }
}
