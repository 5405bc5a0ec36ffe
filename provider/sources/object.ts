/**
 * Opens an ELF object: a `.o` as it is, C source by way of clang.
 *
 * One file is read or compiled once per process however many resources name it: a second opening costs
 * the look at the files' times.
 * Whether the bytes are an object that BPF can load is for provider/btf to say.
 */
import { digestOf } from "../protocol/spec";
import { compile, type CSource } from "./clang";
import { findFile, readFile, stampNow, type LocalFile } from "./file";
import type { ObjectRequest, ObjectSource } from "./source";

type Content = Pick<ObjectSource, "blob" | "sourceDigest" | "bytes">;

interface Opened extends Content {
  /** The stamps of all files that made it. */
  stamps: Map<string, string>;
}

const opened = new Map<string, Promise<Opened>>();

/** Fails with `invalid`: no such file, no clang, clang's own errors. */
export async function openObject(request: ObjectRequest): Promise<ObjectSource> {
  const { property, path: given, includes, defines } = request;
  const file = await findFile(property, given);
  const key = digestOf([file.path, includes, defines]);
  const earlier = opened.get(key);
  const current =
    earlier !== undefined && (await isCurrent(earlier))
      ? earlier
      : newest(key, earlier, property, file, request);
  const { blob, sourceDigest, bytes } = await current.catch((error: unknown) => {
    if (opened.get(key) === current) opened.delete(key);
    throw error;
  });
  return { kind: "object", property, fileName: file.name, blob, sourceDigest, bytes };
}

/** Another request may have begun anew while this one looked at the stamps: one compilation serves both. */
function newest(
  key: string,
  stale: Promise<Opened> | undefined,
  property: string,
  file: LocalFile,
  request: ObjectRequest,
): Promise<Opened> {
  const present = opened.get(key);
  if (present !== undefined && present !== stale) return present;
  const begun = read(property, file, request);
  opened.set(key, begun);
  return begun;
}

async function isCurrent(earlier: Promise<Opened>): Promise<boolean> {
  const { stamps } = await earlier.catch(() => ({ stamps: undefined }));
  if (stamps === undefined) return false;
  return [...stamps].every(([name, stamp]) => stamp !== "" && stampNow(name) === stamp);
}

async function read(property: string, file: LocalFile, request: ObjectRequest): Promise<Opened> {
  if (file.name.endsWith(".c")) {
    const source: CSource = { property, file, includes: request.includes, defines: request.defines };
    const { object, sourceDigest, files } = await compile(source);
    const stamps = new Map(files.map((name) => [name, stampNow(name)]));
    return { blob: digestOf(object), sourceDigest, bytes: object, stamps };
  }
  const bytes = await readFile(property, file);
  const digest = digestOf(bytes);
  return { blob: digest, sourceDigest: digest, bytes, stamps: new Map([[file.path, file.stamp]]) };
}
