/** Files that are whole or absent, also after a power cut: write beside, fsync, rename, fsync the directory. */
import fs from "node:fs";
import path from "node:path";
import { EbpfError } from "../errors";

/** `mode` 0600. Fails with `limit` on a full disk and leaves nothing then. */
export function writeDurably(file: string, content: string | Uint8Array): void {
  const temporary = writeBeside(file, content, true);
  fs.renameSync(temporary, file);
  syncDirectory(path.dirname(file));
}

/** Whole or absent to other processes, but not promised to outlive a power cut. */
export function writeAtomically(file: string, content: string | Uint8Array): void {
  fs.renameSync(writeBeside(file, content, false), file);
}

/** Makes names that were added to or removed from a directory durable. */
export function syncDirectory(directory: string): void {
  const handle = fs.openSync(directory, "r");
  try {
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}

/** Creates a root-only directory and its parents. */
export function ensureDirectory(directory: string): void {
  try {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fileError(`create directory ${directory}`, refusal(directory) ?? error);
  }
}

/** Node's recursive mkdir answers ENOENT on a read-only file system: what its nearest directory answers instead. */
function refusal(directory: string): unknown {
  let parent = directory;
  while (!fs.existsSync(parent)) parent = path.dirname(parent);
  try {
    fs.accessSync(parent, fs.constants.W_OK);
    return undefined;
  } catch (error) {
    return error;
  }
}

export function readIfThere(file: string): Buffer | null {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return null;
    throw fileError(`read ${file}`, error);
  }
}

export function removeIfThere(file: string): void {
  try {
    fs.unlinkSync(file);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw fileError(`remove ${file}`, error);
  }
}

/** The `code` of a Node system error, e.g. `ENOENT`. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

/** A failed file operation in the words of EbpfError. */
export function fileError(action: string, error: unknown): EbpfError {
  const { code = "EIO", message } = error as NodeJS.ErrnoException;
  const errno = Math.abs((error as NodeJS.ErrnoException).errno ?? 0);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new EbpfError(
      "limit",
      `${action}: no space left`,
      { resource: "disk" },
      { cause: error, remedy: "free disk space" },
    );
  }
  if (code === "EROFS") {
    return new EbpfError(
      "permission",
      `${action}: the file system is read-only`,
      { needed: "a writable file system" },
      { cause: error, remedy: "remount it read-write" },
    );
  }
  if (code === "EACCES" || code === "EPERM") {
    return new EbpfError(
      "permission",
      `${action}: ${code}`,
      { needed: "root" },
      { cause: error, remedy: "log in as root or as a user who may run sudo without a password" },
    );
  }
  return new EbpfError(
    "libbpf",
    `${action}: ${message}`,
    { function: "file", errno, errnoName: code },
    { cause: error },
  );
}

let counter = 0;

function writeBeside(file: string, content: string | Uint8Array, sync: boolean): string {
  const temporary = `${file}.${process.pid}.${++counter}.tmp`;
  try {
    const handle = fs.openSync(temporary, "wx", 0o600);
    try {
      fs.writeFileSync(handle, content);
      if (sync) fs.fsyncSync(handle);
    } finally {
      fs.closeSync(handle);
    }
    return temporary;
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw fileError(`write ${file}`, error);
  }
}
