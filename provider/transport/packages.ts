/**
 * npm packages that a host's platform needs (koffi's native library, Node), fetched at first need, pinned by integrity.
 * Owns: their pins and the download with the user's npm settings. Does not own: what becomes of the files (bundle.ts).
 */
import { dirname } from "node:path";
import { EbpfError } from "../errors";
import pins from "./platform-packages.json";

export type Architecture = keyof typeof pins;

export interface PinnedPackage {
  name: string;
  version: string;
  integrity: string;
  files: { path: string; sha256: string; size: number }[];
}

/** Written by scripts/platform-packages.mjs. */
export const platformPackages: Record<Architecture, { koffi: PinnedPackage; node: PinnedPackage }> = pins;

/** Unpacks a package into a directory. */
export async function extractPackage({ name, version, integrity }: PinnedPackage, to: string): Promise<void> {
  try {
    // rarely needed, and a quarter of a second to load
    const { default: pacote } = await import("pacote");
    await pacote.extract(`${name}@${version}`, to, { ...(await npmSettings()), integrity });
  } catch (error) {
    throw new EbpfError(
      "transport",
      `fetch npm package ${name}@${version}, which the host's platform needs: ${(error as Error).message}`,
      { phase: "deliver" },
      { cause: error, remedy: `make \`npm pack ${name}@${version}\` work here` },
    );
  }
}

/** Registry, certificates, proxy and credentials as npm itself would use them here. */
async function npmSettings(): Promise<Record<string, unknown>> {
  const { default: Config } = await import("@npmcli/config");
  const { default: definitions } = await import("@npmcli/config/lib/definitions/index.js");
  const config = new Config({
    ...definitions,
    argv: [],
    npmPath: dirname(process.execPath),
    warn: false,
  } as ConstructorParameters<typeof Config>[0]);
  await config.load();
  return config.flat;
}
