/**
 * Where C source finds libbpf's headers and the kernel's: the copies that come with this package first, so that
 * the same source gives the same object everywhere, then those of the machine.
 */
import { promises as fs } from "node:fs";
import * as path from "node:path";
import { packageRoot } from "../version";

const machine = { x64: "x86_64", arm64: "aarch64" }[process.arch as string] ?? process.arch;

/** `asm/types.h` lies in a directory of its own on Debian; clang does not look there when the target is BPF. */
const kernelHeaders = [`/usr/include/${machine}-linux-gnu`];

let found: Promise<string[]> | undefined;

/** Directories that exist, in order of search. */
export function systemIncludes(): Promise<string[]> {
  return (found ??= search());
}

async function search(): Promise<string[]> {
  const ours = await firstWith([path.join(packageRoot(), "dist/include")], "bpf/bpf_helpers.h");
  const theirs = await Promise.all(kernelHeaders.map((directory) => firstWith([directory], "asm/types.h")));
  return [ours, ours && path.join(ours, "uapi"), ...theirs].filter((directory) => directory !== undefined);
}

async function firstWith(directories: string[], file: string): Promise<string | undefined> {
  for (const directory of directories) {
    const present = await fs.access(path.join(directory, file)).then(
      () => true,
      () => false,
    );
    if (present) return directory;
  }
  return undefined;
}
