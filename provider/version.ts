/** This package itself: where it lies, and its version. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

let version: string | undefined;

/** The same from a source, from what the compiler made of it, and from what the build bundled. */
export function packageRoot(): string {
  return dirname(require.resolve("pulumi-ebpf/package.json"));
}

/** As the manifest has it. */
export function packageVersion(): string {
  if (version === undefined) {
    const manifest = readFileSync(join(packageRoot(), "package.json"), "utf8");
    ({ version } = JSON.parse(manifest) as { version: string });
  }
  return version!;
}
