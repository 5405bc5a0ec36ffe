/** Packed records, `key|value` after `key|value`, in the host's own (little-endian) layout. Taken as they are. */
import type { Records } from "./chunks";
import type { Problems } from "./problems";
import type { EntriesRequest } from "./source";

export function packBinary(
  { property, keySize, valueSize }: EntriesRequest,
  bytes: Buffer,
  problems: Problems,
): Records {
  const recordSize = keySize + valueSize;
  const count = Math.floor(bytes.length / recordSize);
  if (bytes.length % recordSize !== 0) {
    problems.addWhole(
      property,
      `has ${bytes.length} bytes, no multiple of ${recordSize} (key of ${keySize}, value of ${valueSize})`,
    );
  }
  return { bytes, keySize, recordSize, count };
}
