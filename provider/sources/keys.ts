/** What keys are beyond their size, by type of map, and what the kernel demands of them. */
import type { TypeLayout } from "../btf";
import { formatAddress, masked } from "../btf/addresses";
import type { Records } from "./chunks";
import type { EntriesRequest } from "./source";

/** Keys are u32 indexes below `max_entries`. */
export function isIndexed(mapType: string): boolean {
  return ["array", "percpu_array", "prog_array", "array_of_maps", "devmap", "cpumap"].includes(mapType);
}

type KeyOf = Pick<EntriesRequest, "keyLayout" | "keySize" | "mapType">;

/** An array's key is its index, whether BTF says so or not. */
export function keyLayoutOf({ keyLayout, keySize, mapType }: KeyOf): TypeLayout {
  if (keyLayout !== undefined) return keyLayout;
  return isIndexed(mapType) ? { kind: "int", size: 4, signed: false } : { kind: "bytes", size: keySize };
}

/** Calls `refuse` for each record whose key the map would not take, or would take as another one. */
export function checkKeys(
  { mapType, maxEntries }: EntriesRequest,
  { bytes, keySize, recordSize, count }: Records,
  refuse: (row: number, reason: string) => void,
): void {
  if (isIndexed(mapType)) {
    for (let row = 0; row < count; row++) {
      const index = bytes.readUInt32LE(row * recordSize);
      if (index >= maxEntries) refuse(row, `${index} is beyond the last index, ${maxEntries - 1}`);
    }
  }
  if (mapType === "lpm_trie") {
    for (let row = 0, at = 0; row < count; row++, at += recordSize) {
      const prefix = bytes.readUInt32LE(at);
      if (prefix > (keySize - 4) * 8) {
        refuse(
          row,
          `has a prefix length of ${prefix}, its ${keySize - 4} bytes have ${(keySize - 4) * 8} bits`,
        );
      } else if (hasHostBits(bytes, at + 4, at + keySize, prefix)) {
        const data = bytes.subarray(at + 4, at + keySize);
        refuse(
          row,
          `${text(data)}/${prefix} has bits set beyond its prefix; write ${text(masked(data, prefix))}/${prefix}`,
        );
      }
    }
  }
}

function hasHostBits(bytes: Buffer, start: number, end: number, prefix: number): boolean {
  let at = start + (prefix >> 3);
  if (at < end && (bytes[at]! & (0xff >> (prefix & 7))) !== 0) return true;
  for (at++; at < end; at++) if (bytes[at] !== 0) return true;
  return false;
}

function text(data: Buffer): string {
  return data.length === 4 || data.length === 16 ? formatAddress(data) : `0x${data.toString("hex")}`;
}
