/**
 * The package as a user installs it: the tarball of `npm pack` in a node_modules of its own.
 *
 * Owns: packing dist/ once per process; a cache of installed node_modules outside the clone.
 * Does not own: building dist/ (scripts/build.mjs).
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { run } from "./command.js";

const root = resolve(__dirname, "../..");
const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "pulumi-ebpf");

const KEPT_MS = 2 * 24 * 3600 * 1000;

interface Manifest {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
}

let template: Promise<string> | undefined;

/** Makes `directory/node_modules` with pulumi-ebpf, @pulumi/pulumi and TypeScript. */
export async function installPackage(directory: string): Promise<void> {
  const source = await (template ??= makeTemplate());
  // hard links where the file system allows: a quarter of a second instead of ten
  const copy = `cp -al "$0" "$1" 2>/dev/null || { rm -rf "$1/node_modules"; cp -a "$0" "$1"; }`;
  await run(["sh", "-c", copy, join(source, "node_modules"), directory]);
}

/** One directory per set of dependencies, and from it one per tarball. */
async function makeTemplate(): Promise<string> {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
  const { "@pulumi/pulumi": pulumi, "@types/node": node, typescript } = manifest.devDependencies;
  const tools = { "@pulumi/pulumi": pulumi, "@types/node": node, typescript };
  const key = digest(JSON.stringify([manifest.dependencies, tools]));
  const work = mkdtempSync(join(tmpdir(), "pulumi-ebpf-pack-"));
  try {
    const { stdout } = await run(["npm", "pack", "--json", "--ignore-scripts", "--pack-destination", work], {
      cwd: root,
    });
    const [{ filename = "" } = {}] = JSON.parse(stdout) as { filename?: string }[];
    const tarball = join(work, filename);
    const base = join(cache, `packages-${key}`);
    await once(base, async (target) => {
      writeFileSync(join(target, "package.json"), JSON.stringify({ private: true, dependencies: tools }));
      const options = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"];
      await run(["npm", "install", ...options, tarball], { cwd: target, timeoutSeconds: 300 });
    });
    const packed = join(cache, `packages-${key}-${digest(readFileSync(tarball))}`);
    await once(packed, async (target) => {
      await run(["cp", "-al", join(base, "node_modules"), target]);
      const own = join(target, "node_modules/pulumi-ebpf");
      rmSync(own, { recursive: true });
      mkdirSync(own);
      await run(["tar", "xzf", tarball, "-C", own, "--strip-components=1"]);
    });
    removeUnused([base, packed]);
    return packed;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Every change of dist/ makes another copy: those that no run has used for some days go. */
function removeUnused(used: string[]): void {
  const now = new Date();
  for (const directory of used) utimesSync(directory, now, now);
  for (const name of readdirSync(cache).filter((entry) => entry.startsWith("packages-"))) {
    const directory = join(cache, name);
    const time = statSync(directory, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (now.getTime() - time > KEPT_MS) rmSync(directory, { recursive: true, force: true });
  }
}

/** Fills a directory beside `target` and renames it: whole or not there, also when two do it at once. */
async function once(target: string, fill: (directory: string) => Promise<void>): Promise<void> {
  if (existsSync(target)) return;
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(`${target}.`);
  try {
    await fill(directory);
    renameSync(directory, target);
  } catch (error) {
    if (!existsSync(target)) throw error;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function digest(data: string | Buffer): string {
  return createHash("sha256").update(data).digest("hex").slice(0, 12);
}
