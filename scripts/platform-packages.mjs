#!/usr/bin/env node
// Writes provider/transport/platform-packages.json: the npm packages that a host's platform needs, pinned.
// koffi's version and integrity are those of package-lock.json; Node's are stated here.
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import pacote from "pacote";

const NODE = {
  version: "22.23.3",
  x64: "sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==",
  arm64: "sha512-l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==",
};

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));

async function pin(name, version, integrity, paths) {
  const directory = mkdtempSync(join(tmpdir(), "pulumi-ebpf-"));
  try {
    await pacote.extract(`${name}@${version}`, directory, { integrity });
    const files = paths.map((path) => ({
      path,
      sha256: createHash("sha256")
        .update(readFileSync(join(directory, path)))
        .digest("hex"),
      size: statSync(join(directory, path)).size,
    }));
    return { name, version, integrity, files };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const packages = {};
for (const architecture of ["x64", "arm64"]) {
  const koffi = `@koromix/koffi-linux-${architecture}`;
  const { version, integrity } = lock.packages[`node_modules/${koffi}`];
  packages[architecture] = {
    koffi: await pin(koffi, version, integrity, [
      `linux_${architecture}/koffi.node`,
      `musl_${architecture}/koffi.node`,
    ]),
    node: await pin(`node-linux-${architecture}`, NODE.version, NODE[architecture], ["bin/node"]),
  };
}
writeFileSync(
  join(root, "provider/transport/platform-packages.json"),
  `${JSON.stringify(packages, null, 2)}\n`,
);
