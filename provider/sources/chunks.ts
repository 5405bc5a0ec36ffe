/**
 * Packed `key|value` records to a manifest and chunks, and the check that no key stands there twice.
 *
 * A chunk ends where a record's key says so (content-defined boundaries): a record that is changed, added or
 * removed makes one or two new chunks, and the host keeps the others.
 */
import { canonicalJson, digestOf, type EntriesChunk } from "../protocol/spec";

/** Records in equal layout, one after the other. */
export interface Records {
  bytes: Buffer;
  keySize: number;
  /** Key and value together. */
  recordSize: number;
  count: number;
}

export interface Chunks {
  /** sha256 of the manifest blob. */
  manifest: string;
  blobs: Map<string, Uint8Array>;
}

/** One key in 4096 ends a chunk, so that is a chunk's mean size; a longer one is cut. */
const boundaryMask = 4096 - 1;
const longestChunk = 16384;

/** `keys` as hashKeys gives them. */
export function cutChunks(records: Records, keys: Uint32Array): Chunks {
  const { bytes, recordSize, count } = records;
  const blobs = new Map<string, Uint8Array>();
  const chunks: EntriesChunk[] = [];
  let start = 0;
  for (let row = 0; row < count; row++) {
    const length = row + 1 - start;
    // the high bits: the low ones place the key in findDuplicate's table
    if (keys[row]! >>> 20 === boundaryMask || length === longestChunk || row + 1 === count) {
      const blob = bytes.subarray(start * recordSize, (row + 1) * recordSize);
      const digest = digestOf(blob);
      blobs.set(digest, blob);
      chunks.push({ blob: digest, count: length });
      start = row + 1;
    }
  }
  const manifestBytes = Buffer.from(canonicalJson(chunks));
  const manifest = digestOf(manifestBytes);
  blobs.set(manifest, manifestBytes);
  return { manifest, blobs };
}

/** A hash of each record's key: FNV-1a over its bytes, then mixed so that all bits depend on all of them. */
export function hashKeys({ bytes, keySize, recordSize, count }: Records): Uint32Array {
  const hashes = new Uint32Array(count);
  for (let row = 0, at = 0; row < count; row++, at += recordSize) {
    let hash = 0x811c9dc5;
    for (let byte = at; byte < at + keySize; byte++) hash = Math.imul(hash ^ bytes[byte]!, 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hashes[row] = hash ^ (hash >>> 16);
  }
  return hashes;
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
