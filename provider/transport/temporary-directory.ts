/** Directories for what other programs read: private, and gone at the latest when the process exits. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const directories = new Set<string>();

export function makeTemporaryDirectory(): string {
  if (directories.size === 0) process.once("exit", removeAll);
  const directory = mkdtempSync(join(tmpdir(), "pulumi-ebpf-"));
  directories.add(directory);
  return directory;
}

export function removeTemporaryDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  directories.delete(directory);
  if (directories.size === 0) process.removeListener("exit", removeAll);
}

function removeAll(): void {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
}
