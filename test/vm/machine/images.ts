/**
 * Kernels and root of the virtual machines, built once and kept outside the clone under their recipe's digest.
 *
 * Owns: when to build. Does not own: the recipe (build.sh, initramfs-init, vm-init).
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { run } from "../../support/command.js";

/** Debian 11, 12, 13, and whatever Debian's unstable has today. */
export type KernelName = "5.10" | "6.1" | "6.12" | "sid";

const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "pulumi-ebpf");

/** Directory of the images. */
export function images(): string {
  const recipe = ["build.sh", "initramfs-init", "vm-init"].map((name) => readFileSync(join(__dirname, name)));
  const digest = createHash("sha256").update(Buffer.concat(recipe)).digest("hex").slice(0, 12);
  return join(cache, `vm-${digest}`);
}

/** Mocha's, once and before any suite waits for its machine: builds what is missing, which takes minutes. */
export async function mochaGlobalSetup(): Promise<void> {
  await run([join(__dirname, "build.sh"), images()], { timeoutSeconds: 2400 });
}

/** `uname -r` of a kernel. */
export function kernelRelease(directory: string, kernel: KernelName): string {
  return readFileSync(join(directory, kernel, "version"), "utf8").trim();
}
