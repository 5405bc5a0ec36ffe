/**
 * Many records at once: BPF_MAP_*_BATCH (Linux 5.6) where the map type has it, else one call per record.
 * LPM tries and per-CPU arrays have it since 5.16 and 5.13; they answer 524 (ENOTSUPP) before.
 */
import { EbpfError } from "../errors";
import { checkCode, Errno } from "./errno";
import { koffi } from "./koffi";
import { libbpf } from "./library";
import type { MapHandle } from "./map";
import { bpf_map_batch_opts } from "./structs";

export interface Records {
  keys: Buffer;
  values: Buffer;
  count: number;
}

const CHUNK = 32768;
/** A bucket's key count is not known; its token is an index of 4 bytes whatever the key's size. */
const SMALLEST_TOKEN = 4;

/** Whether the kernel refused the command as such. EINVAL also means wrong arguments: one call per record will tell. */
function lacksBatch(rc: number, done: number): boolean {
  const errno = koffi.errno();
  const refusals: number[] = [Errno.ENOTSUPP, Errno.EOPNOTSUPP, Errno.EINVAL];
  return rc < 0 && done === 0 && refusals.includes(errno);
}

export function updateRecords(
  map: MapHandle,
  keys: Buffer,
  values: Buffer,
  count: number,
  flags: number,
): void {
  const { keySize } = map.info();
  const valueBytes = map.valueBytes;
  expectBytes(keys, count * keySize, "keys");
  expectBytes(values, count * valueBytes, "values");
  if (count === 0) return;
  const done = new Uint32Array([count]);
  const opts = bpf_map_batch_opts.encode({ elem_flags: flags });
  const rc = libbpf.bpf_map_update_batch(map.fd, keys, values, done, opts);
  const refused = lacksBatch(rc, rc < 0 && done[0] === count ? 0 : (done[0] as number));
  if (!refused) {
    checkCode("bpf_map_update_batch", rc, `update ${count} map entries`);
    return;
  }
  for (let i = 0; i < count; i++) {
    map.update(
      keys.subarray(i * keySize, (i + 1) * keySize),
      values.subarray(i * valueBytes, (i + 1) * valueBytes),
      flags,
    );
  }
}

export function deleteRecords(map: MapHandle, keys: Buffer, count: number): number {
  const { keySize } = map.info();
  expectBytes(keys, count * keySize, "keys");
  let deleted = 0;
  let next = 0;
  while (next < count) {
    const done = new Uint32Array([count - next]);
    const rc = libbpf.bpf_map_delete_batch(map.fd, keys.subarray(next * keySize), done, null);
    const errno = koffi.errno();
    if (rc >= 0) return deleted + (count - next);
    if (errno !== Errno.ENOENT) break;
    // the batch stops at a key that is not there: count it as gone and go on behind it
    deleted += done[0] as number;
    next += (done[0] as number) + 1;
  }
  for (; next < count; next++) {
    if (map.delete(keys.subarray(next * keySize, (next + 1) * keySize))) deleted++;
  }
  return deleted;
}

export function* forEachRecords(map: MapHandle, flags: number): Generator<Records> {
  const { keySize, maxEntries } = map.info();
  const valueBytes = map.valueBytes;
  let room = Math.min(CHUNK, maxEntries);
  let token: Buffer | null = null;
  for (;;) {
    const keys = Buffer.allocUnsafe(room * keySize);
    const values = Buffer.allocUnsafe(room * valueBytes);
    const following: Buffer = Buffer.alloc(Math.max(keySize, SMALLEST_TOKEN));
    const got = new Uint32Array([room]);
    const opts = bpf_map_batch_opts.encode({ elem_flags: flags });
    const rc = libbpf.bpf_map_lookup_batch(map.fd, token, following, keys, values, got, opts);
    const errno = koffi.errno();
    if (rc < 0 && errno === Errno.ENOSPC && room < maxEntries) {
      // a hash bucket with more records than there is room for
      room = Math.min(2 * room, maxEntries);
      continue;
    }
    if (rc < 0 && errno !== Errno.ENOENT) {
      if (token === null && lacksErrno(errno)) return yield* oneByOne(map, flags);
      checkCode("bpf_map_lookup_batch", rc, "read map entries");
    }
    const count = got[0] as number;
    if (count > 0) {
      yield {
        keys: keys.subarray(0, count * keySize),
        values: values.subarray(0, count * valueBytes),
        count,
      };
    }
    if (rc < 0) return;
    token = following;
  }
}

function lacksErrno(errno: number): boolean {
  return ([Errno.ENOTSUPP, Errno.EOPNOTSUPP, Errno.EINVAL] as number[]).includes(errno);
}

function* oneByOne(map: MapHandle, flags: number): Generator<Records> {
  const { keySize, maxEntries, name } = map.info();
  const valueBytes = map.valueBytes;
  const room = Math.min(CHUNK, maxEntries);
  let keys = Buffer.allocUnsafe(room * keySize);
  let values = Buffer.allocUnsafe(room * valueBytes);
  let count = 0;
  let walked = 0;
  for (let key = map.nextKey(null); key !== undefined; key = map.nextKey(key)) {
    if (walked++ >= maxEntries) {
      // a deleted key makes the kernel start over: without this bound the walk might never end
      throw new EbpfError("conflict", `read map ${name}: its keys change faster than they can be read`, {});
    }
    const value = map.lookup(key, flags);
    if (value === undefined) continue;
    key.copy(keys, count * keySize);
    value.copy(values, count * valueBytes);
    if (++count < room) continue;
    yield { keys, values, count };
    keys = Buffer.allocUnsafe(room * keySize);
    values = Buffer.allocUnsafe(room * valueBytes);
    count = 0;
  }
  if (count > 0) {
    yield { keys: keys.subarray(0, count * keySize), values: values.subarray(0, count * valueBytes), count };
  }
}

/** The kernel reads as many bytes as it was told records: a short buffer would read foreign memory. */
function expectBytes(buffer: Buffer, bytes: number, what: string): void {
  if (buffer.length < bytes) throw new RangeError(`${what}: ${buffer.length} bytes, ${bytes} needed`);
}
