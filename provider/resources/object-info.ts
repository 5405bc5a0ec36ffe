/** What objects hold, read once per process however many resources name one. */
import { type ObjectInfo, readObject } from "../btf";
import type { ObjectSource } from "../sources/source";

const known = new Map<string, ObjectInfo>();

/** Fails as readObject does. The answer is shared: do not change it. */
export function objectInfo({ blob, bytes }: ObjectSource): ObjectInfo {
  let info = known.get(blob);
  if (info === undefined) known.set(blob, (info = readObject(bytes)));
  return info;
}
