/**
 * The bench's own C, compiled: BPF objects by clang, the rival's program by cc.
 *
 * Owns: compilation into a directory of the run. Does not own: the product's own compilation (provider/sources).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { run } from "../support/command.js";

const sources = resolve(__dirname, "native");

/** Calls `use` with a directory of its own, which is gone afterwards. */
export async function inDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "pulumi-ebpf-bench-"));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  process.once("exit", remove); // Ctrl-C
  try {
    return await use(directory);
  } finally {
    process.off("exit", remove);
    remove();
  }
}

/** Compiles native/<name>.bpf.c; answers the path of the object. */
export async function compileObject(
  name: "filter" | "rejected" | "network-policy/write" | "network-policy/lpm" | "network-policy/frames",
  directory: string,
  as = basename(name),
  options: string[] = [],
): Promise<string> {
  const object = join(directory, `${as}.o`);
  const headers = `/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
  const flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v2", `-I${headers}`];
  await run(["clang", ...flags, ...options, "-c", join(sources, `${name}.bpf.c`), "-o", object]);
  return object;
}

/** Compiles native/<name>.c for this machine; answers the path of the program. */
export async function compileProgram(
  name: "fill" | "network-policy/traffic",
  directory: string,
): Promise<string> {
  const program = join(directory, basename(name));
  await run(["cc", "-O2", join(sources, `${name}.c`), "-lbpf", "-o", program]);
  return program;
}
