// Our libbpf, and dist/: TypeScript compiled, our own eBPF C, the agent's bundle. Skipped when no source changed since the last time.
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { root, run, SetupError, step } from "./step.mjs";

const sources = [
  ...["provider", "sdk/nodejs", "package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json"],
  ...["build", "bundle", "libbpf", "platform-packages"].map((name) => `scripts/${name}.mjs`),
];
const stamp = join(root, "node_modules/.cache/pulumi-ebpf/build");
const multiarch = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" }[process.arch];

export async function build() {
  const { buildLibbpf } = await import("./libbpf.mjs");
  const libbpf = await buildLibbpf({ log: (line) => console.log(line) });
  const digest = digestOf([
    ...sources.flatMap((name) => files(join(root, name))),
    ...Object.values(libbpf ?? {}).filter(isLibrary),
  ]);
  if (existsSync(join(root, "dist")) && existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return;
  rmSync(stamp, { force: true });
  await step("compile TypeScript into dist/", compile);
  await compileModules();
  await step("bundle the agent and the provider", async () => {
    const { bundleAgent, bundleProvider } = await import("./bundle.mjs");
    await bundleProvider();
    await bundleAgent(libbpf === null ? {} : { libraries: { x64: libbpf.x64, arm64: libbpf.arm64 } });
  });
  // what users' C includes as <bpf/...>: provider/sources/headers.ts
  if (libbpf !== null) cpSync(libbpf.include, join(root, "dist/include"), { recursive: true });
  mkdirSync(join(stamp, ".."), { recursive: true });
  writeFileSync(`${stamp}.new`, digest);
  renameSync(`${stamp}.new`, stamp);
}

/** Into a directory of its own first: a failed compilation leaves the old dist/, a deleted source leaves nothing. */
async function compile() {
  const fresh = join(root, `dist.new.${process.pid}`);
  rmSync(fresh, { recursive: true, force: true });
  try {
    await run(process.execPath, [
      "node_modules/typescript/bin/tsc",
      "-p",
      "tsconfig.build.json",
      "--outDir",
      fresh,
    ]);
    const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    for (const path of Object.values(bin)) chmodSync(join(fresh, relative("dist", path)), 0o755);
    rmSync(join(root, "dist"), { recursive: true, force: true });
    renameSync(fresh, join(root, "dist"));
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** provider/modules/<name>/<name>.bpf.c; -mcpu=v2 is what every kernel from 5.10 on takes. */
async function compileModules() {
  const modules = files(join(root, "provider/modules")).filter((path) => path.endsWith(".bpf.c"));
  if (modules.length === 0) return;
  await step(`compile ${modules.length} eBPF programs`, async () => {
    for (const path of modules) {
      const name = relative(root, path);
      const target = join(root, "dist", name.replace(/\.c$/, ".o"));
      mkdirSync(join(target, ".."), { recursive: true });
      const flags = [
        "-O2",
        "-g",
        "-Wall",
        "-Werror",
        "-target",
        "bpf",
        "-mcpu=v2",
        `-ffile-prefix-map=${root}=.`,
      ];
      await run("clang", [...flags, "-idirafter", `/usr/include/${multiarch}`, "-c", name, "-o", target]);
    }
  });
}

function files(path) {
  if (!existsSync(path)) return [];
  try {
    return readdirSync(path)
      .sort()
      .flatMap((name) => files(join(path, name)));
  } catch (error) {
    if (error.code === "ENOTDIR") return [path];
    throw error;
  }
}

function isLibrary(path) {
  return path?.includes(".so") && existsSync(path);
}

function digestOf(paths) {
  const hash = createHash("sha256");
  for (const path of paths) hash.update(`${relative(root, path)}\0`).update(readFileSync(path));
  return hash.digest("hex");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await build().catch((error) => {
    console.error(error instanceof SetupError ? `build: ${error.message}` : error);
    process.exitCode = 1;
  });
}
