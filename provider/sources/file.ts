/** Reading one local file, with every refusal of the operating system in words. */
import { type BigIntStats, promises as fs, statSync } from "node:fs";
import * as path from "node:path";
import { type EbpfError, invalid } from "../errors";

export interface LocalFile {
  /** Absolute. */
  path: string;
  /** Base name, for messages. */
  name: string;
  /** Changes whenever the file's content may have. */
  stamp: string;
}

const reasons: Record<string, string> = {
  ENOENT: "no such file",
  EACCES: "permission denied",
  EISDIR: "is a directory",
  ENOTDIR: "a part of the path is no directory",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "the path is too long",
  EMFILE: "too many open files",
  ERR_FS_FILE_TOO_LARGE: "is larger than 2 GiB",
};

/** Finds a regular file. Fails with `invalid`, blaming `property`. */
export async function findFile(property: string, given: string): Promise<LocalFile> {
  const absolute = path.resolve(given);
  const stats = await refusal(property, given, () => look(absolute));
  if (!stats.isFile()) {
    throw fileProblem(property, given, stats.isDirectory() ? "is a directory" : "is no regular file");
  }
  return { path: absolute, name: path.basename(absolute), stamp: stampOf(stats) };
}

/** Reads the whole file. Fails with `invalid`, blaming `property`. */
export function readFile(property: string, file: LocalFile): Promise<Buffer> {
  return refusal(property, file.path, () => fs.readFile(file.path));
}

/** The stamp of a file now; "" for one that is not there. */
export function stampNow(name: string): string {
  try {
    return stampOf(look(name));
  } catch {
    return "";
  }
}

/** One problem with one file. */
export function fileProblem(property: string, given: string, reason: string): EbpfError<"invalid"> {
  return invalid(`read ${given}`, [{ property, reason: `${given}: ${reason}` }]);
}

/** At once: the way to a thread and back takes ten times as long, and every check of every resource looks. */
function look(name: string): BigIntStats {
  return statSync(name, { bigint: true });
}

function stampOf(stats: BigIntStats): string {
  return [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(":");
}

async function refusal<T>(property: string, given: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === undefined) throw error;
    throw fileProblem(property, given, reasons[code] ?? code);
  }
}
