/**
 * Entries of a map, page by page. A map that the data plane changes meanwhile may give an entry twice or not at all:
 * the kernel walks no snapshot.
 */
import { type MapHandle, possibleCpus } from "../../bpf";
import { EbpfError } from "../../errors";
import type { EntriesReadParams, EntriesReadResult } from "../../protocol/queries";
import type { Host } from "../host";
import { withHandles } from "../reconcile/handles";
import { openTarget } from "./map";

export function readEntries(host: Host, params: EntriesReadParams): Promise<EntriesReadResult> {
  return withHandles((handles) => {
    const map = openTarget(host, params.map, handles);
    const found = params.keys === undefined ? page(map, params) : these(map, params.keys);
    const { keys, values, more } = found;
    return {
      keys: Buffer.concat(keys),
      values: Buffer.concat(values),
      count: keys.length,
      cpus: map.perCpu ? possibleCpus() : 1,
      more,
    };
  });
}

interface Found {
  keys: Buffer[];
  values: Buffer[];
  more: boolean;
}

function page(map: MapHandle, { limit, after }: EntriesReadParams): Found {
  const { maxEntries, name } = map.info();
  const start = after === undefined ? null : Buffer.from(after, "base64");
  if (start !== null && map.lookup(start) === undefined) {
    // the kernel would begin anew, and the caller would read it all twice
    throw new EbpfError(
      "conflict",
      `read on in map "${name}": the entry after which to begin is gone`,
      {},
      { remedy: "read from the start, in one page if the map changes much" },
    );
  }
  const keys: Buffer[] = [];
  const values: Buffer[] = [];
  let key = map.nextKey(start);
  // a deleted key makes the kernel start over: the bound is for a map that changes faster than it is read
  for (let walked = 0; key !== undefined && keys.length < limit && walked < 2 * maxEntries; walked++) {
    const value = map.lookup(key);
    if (value !== undefined) {
      keys.push(key);
      values.push(value);
    }
    key = map.nextKey(key);
  }
  return { keys, values, more: key !== undefined };
}

function these(map: MapHandle, wanted: string[]): Found {
  const found = wanted.flatMap((text) => {
    const key = Buffer.from(text, "base64");
    const value = map.lookup(key);
    return value === undefined ? [] : [{ key, value }];
  });
  return { keys: found.map(({ key }) => key), values: found.map(({ value }) => value), more: false };
}
