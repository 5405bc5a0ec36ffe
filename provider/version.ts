/** The version of this package, as its manifest has it. */
import { readFileSync } from "node:fs";

let version: string | undefined;

export function packageVersion(): string {
  if (version === undefined) {
    const manifest = readFileSync(require.resolve("pulumi-ebpf/package.json"), "utf8");
    ({ version } = JSON.parse(manifest) as { version: string });
  }
  return version!;
}
