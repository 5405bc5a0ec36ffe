/** What objects hold. */
import { type ObjectInfo, readObject } from "../btf";
import type { ObjectSource } from "../sources/source";
import type { ShortLayout } from "./short-layout";

/** What others may know of the object before it is loaded. Small: it lies in the state. */
export interface CheckedObject {
  fileName: string;
  /** sha256 of the ELF file. */
  blob: string;
  /** What tells versions apart, see ObjectSource; absent where it is the blob. */
  sourceDigest?: string;
  /** Those that are loaded. */
  entrypoints: Record<string, { type: string; attachType?: string }>;
  maps: Record<string, CheckedMap>;
  /** Where the given globals stand. Their values are not repeated here: they may be secret. */
  globals: Record<string, { section: string; offset: number; layout: ShortLayout }>;
}

export interface CheckedMap {
  type: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  keyLayout?: ShortLayout;
  valueLayout?: ShortLayout;
}

const known = new Map<string, ObjectInfo>();

/** Read once per process however many resources name it. Fails as readObject does. The answer is shared: do not change it. */
export function objectInfo({ blob, bytes }: ObjectSource): ObjectInfo {
  let info = known.get(blob);
  if (info === undefined) known.set(blob, (info = readObject(bytes)));
  return info;
}
