/** What was made of files and long lists: once per process, and only the latest, since each may be of many megabytes. */

interface Made {
  blobs(): Map<string, Uint8Array>;
}

const MOST_BYTES = 256 << 20;

/** By what it was made of, the latest used last. `bytes` is 0 while it is being made. */
const kept = new Map<string, { made: Promise<Made>; bytes: number }>();

/** What was made before, if it is still here. `key` says all that it depends on. */
export function made<T extends Made>(key: string): Promise<T> | undefined {
  const present = kept.get(key);
  if (present === undefined) return undefined;
  kept.delete(key);
  kept.set(key, present);
  return present.made as Promise<T>;
}

export function once<T extends Made>(key: string, make: () => Promise<T>): Promise<T> {
  return made<T>(key) ?? keep(key, make());
}

function keep<T extends Made>(key: string, made: Promise<T>): Promise<T> {
  const entry = { made, bytes: 0 };
  kept.set(key, entry);
  made.then(
    (source) => {
      for (const blob of source.blobs().values()) entry.bytes += blob.length;
      forgetOldest();
    },
    () => kept.delete(key),
  );
  return made;
}

function forgetOldest(): void {
  let total = 0;
  for (const { bytes } of kept.values()) total += bytes;
  for (const [key, { bytes }] of kept) {
    if (total <= MOST_BYTES || kept.size === 1) return;
    if (bytes === 0) continue;
    kept.delete(key);
    total -= bytes;
  }
}
