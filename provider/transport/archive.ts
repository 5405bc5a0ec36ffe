/**
 * A bundle as a directory of this machine, for who uploads directories: each file gzipped, `<sha256>.gz`.
 * Kept in the cache under the bundle's digest; whole or not there.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cacheDirectory } from "../cache";
import type { Bundles, Variant } from "./bundle";
import type { Architecture } from "./packages";

export async function bundleDirectory(
  bundles: Bundles,
  architecture: Architecture,
  variant: Variant,
): Promise<string> {
  const { digest, files } = bundles.get(architecture, variant);
  const directory = cacheDirectory(join("bundles", digest));
  if (existsSync(directory)) return directory;
  await mkdir(dirname(directory), { recursive: true });
  const fresh = await mkdtemp(`${directory}.`);
  try {
    for (const file of files) {
      await writeFile(join(fresh, `${file.sha256}.gz`), await bundles.compressed(architecture, file));
    }
    await rename(fresh, directory);
  } catch (error) {
    // another process was first
    if (!existsSync(directory)) throw error;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return directory;
}
