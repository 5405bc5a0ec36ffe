#!/usr/bin/env node
// Builds libbpf 1.7 as one portable shared library per architecture: libelf and zlib inside, glibc 2.28 or newer
// outside, so that every host runs the same version. Sources are those of the Rust crate libbpf-sys, the compiler is
// PyPI's ziglang, which cross-compiles to any glibc. Run it, or import buildLibbpf.
import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

const CRATE = {
  version: "1.7.0+v1.7.0",
  sha256: "a109478760b2900aa2a6f2087e9d0de1d9c535b1758602af2845d5d2ccfaed7c",
};
const ZIG = {
  version: "0.17.0",
  sha256: [
    "97079827064a7492cce5541ceb438ae8003ce1e54e399676da2d62fb7a5dc08b", // Linux x86-64
    "d2804f94f54f7fcf8169f4b212a619ad688a4e2e6592e976f0cf2e58e2cd8af3", // Linux arm64
  ],
};
const TARGETS = { x64: "x86_64-linux-gnu.2.28", arm64: "aarch64-linux-gnu.2.28" };

/** What a .bpf.c includes as <bpf/...>. */
const HEADERS = [
  "bpf_helpers.h",
  "bpf_helper_defs.h",
  "bpf_endian.h",
  "bpf_tracing.h",
  "bpf_core_read.h",
  "usdt.bpf.h",
];
/** What the tests compare our structs with. */
const API_HEADERS = ["bpf.h", "libbpf.h", "libbpf_common.h", "libbpf_legacy.h", "libbpf_version.h", "btf.h"];

/** elfutils' configure, as far as libelf looks. */
const CONFIG_H = `#define _GNU_SOURCE 1
#define HAVE_ERR_H 1
#define HAVE_ERROR_H 1
#define HAVE_DECL_MEMRCHR 1
#define HAVE_DECL_RAWMEMCHR 1
#define HAVE_DECL_POWEROF2 1
#define HAVE_DECL_REALLOCARRAY 1
#define HAVE_VISIBILITY 1
#define PACKAGE_NAME "elfutils"
#define PACKAGE_VERSION "0"
#include <eu-config.h>
`;
const LIBINTL_H = `#define dgettext(domain, text) (text)
#define gettext(text) (text)
#define bindtextdomain(domain, folder) ((void)0)
`;

const ZLIB =
  "adler32 crc32 deflate inflate inffast inftrees trees zutil compress uncompr infback gzlib gzread gzclose gzwrite".split(
    " ",
  );
const COMMON = ["-O2", "-fPIC", "-fvisibility=hidden", "-w", "-fno-sanitize=all"];

/** Three libraries, each a list of C files and how to compile them. `s` is the crate's folder, `w` ours. */
const PARTS = [
  {
    name: "zlib",
    files: (s) => ZLIB.map((name) => join(s, "zlib", `${name}.c`)),
    flags: () => ["-DHAVE_UNISTD_H"],
  },
  {
    name: "libelf",
    files: (s) => sources(join(s, "elfutils/libelf")),
    flags: (s, w) => [
      ...["-DHAVE_CONFIG_H", "-std=gnu11", `-I${w}`],
      ...["elfutils/libelf", "elfutils/lib", "zlib"].map((folder) => `-I${join(s, folder)}`),
    ],
  },
  {
    name: "libbpf",
    files: (s) => sources(join(s, "libbpf/src")),
    flags: (s) => [
      ...["-D_LARGEFILE64_SOURCE", "-D_FILE_OFFSET_BITS=64"],
      ...["libbpf/include", "libbpf/include/uapi", "elfutils/libelf", "zlib"].map(
        (folder) => `-I${join(s, folder)}`,
      ),
    ],
  },
];

function sources(folder) {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".c"))
    .map((name) => join(folder, name));
}

function recipeHash() {
  const text = readFileSync(fileURLToPath(import.meta.url));
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

/** Where the build lies, or will lie. */
export function libbpfCache() {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  return join(cache, "pulumi-ebpf", `libbpf-1.7.0-${recipeHash()}`);
}

function files(root) {
  return {
    x64: join(root, "x64/libbpf.so.1"),
    arm64: join(root, "arm64/libbpf.so.1"),
    include: join(root, "include"),
  };
}

/**
 * @param {{ log?: (line: string) => void }} [options]
 * @returns {Promise<{ x64: string, arm64: string, include: string } | null>} paths of both libraries, and a folder
 *   for `-I` whose `bpf/` holds libbpf's headers, and `uapi/` the linux/bpf.h they belong to; null when it cannot be built here: `log` got the reason.
 */
export async function buildLibbpf({ log = console.log } = {}) {
  const root = libbpfCache();
  const built = files(root);
  if (existsSync(built.x64) && existsSync(built.arm64)) return built;
  const missing = ["cargo", "python3"].filter((tool) => !works(tool));
  if (missing.length > 0) {
    log(`libbpf: no ${missing.join(" and no ")} here to build our own; the system's libbpf.so.1 serves`);
    return null;
  }
  mkdirSync(dirname(root), { recursive: true });
  const work = mkdtempSync(join(dirname(root), ".libbpf-"));
  const started = Date.now();
  try {
    let tools;
    try {
      tools = await Promise.all([fetchSources(work), fetchCompiler(work)]);
    } catch (error) {
      log(
        `libbpf: its sources or its compiler cannot be fetched (${reason(error)}); the system's libbpf.so.1 serves`,
      );
      return null;
    }
    await compile(work, ...tools);
    publish(join(work, "out"), root);
    log(`libbpf: built 1.7.0 for x64 and arm64 in ${((Date.now() - started) / 1000).toFixed(1)} s`);
    return built;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function works(tool) {
  try {
    execFileSync(tool, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** The last line a tool said. */
function reason(error) {
  return String(error.stderr || error.message)
    .trim()
    .split("\n")
    .at(-1);
}

/** cargo checks what it downloads against its index, we check the index against ours. */
async function fetchSources(work) {
  const folder = join(work, "crate");
  mkdirSync(join(folder, "src"), { recursive: true });
  writeFileSync(join(folder, "src/lib.rs"), "");
  const dependency = `libbpf-sys = "=${CRATE.version.replace(/\+.*/, "")}"`;
  writeFileSync(
    join(folder, "Cargo.toml"),
    `[package]\nname = "sources"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n${dependency}\n[workspace]\n`,
  );
  await run("cargo", ["fetch", "--quiet"], { cwd: folder });
  const lock = readFileSync(join(folder, "Cargo.lock"), "utf8");
  if (!lock.includes(`version = "${CRATE.version}"`) || !lock.includes(`checksum = "${CRATE.sha256}"`)) {
    throw new Error(`the crate libbpf-sys is not the ${CRATE.version} that was expected`);
  }
  const { stdout } = await run("cargo", ["metadata", "--format-version", "1", "--locked", "--offline"], {
    cwd: folder,
    maxBuffer: 1 << 26,
  });
  const crate = JSON.parse(stdout).packages.find(({ name }) => name === "libbpf-sys");
  return dirname(crate.manifest_path);
}

async function fetchCompiler(work) {
  const venv = join(work, "venv");
  await run("python3", ["-m", "venv", venv]);
  const requirements = join(work, "requirements.txt");
  writeFileSync(
    requirements,
    `ziglang==${ZIG.version} ${ZIG.sha256.map((hash) => `--hash=sha256:${hash}`).join(" ")}\n`,
  );
  const python = join(venv, "bin/python");
  await run(python, [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--no-deps",
    "--only-binary=:all:",
    "--require-hashes",
    "-r",
    requirements,
  ]);
  return python;
}

async function compile(work, source, python) {
  writeFileSync(join(work, "config.h"), CONFIG_H);
  writeFileSync(join(work, "libintl.h"), LIBINTL_H);
  const cache = join(work, "zig");
  const env = { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache };
  const zig = (args, cwd = work) =>
    run(python, ["-m", "ziglang", "cc", ...args], { cwd, env, maxBuffer: 1 << 26 });
  const include = join(work, "out/include/bpf");
  mkdirSync(include, { recursive: true });
  for (const name of [...HEADERS, ...API_HEADERS])
    cpSync(join(source, "libbpf/src", name), join(include, name));
  const uapi = join(work, "out/include/uapi/linux");
  for (const name of ["bpf.h", "bpf_common.h"])
    cpSync(join(source, "libbpf/include/uapi/linux", name), join(uapi, name));

  for (const [arch, target] of Object.entries(TARGETS)) {
    const jobs = PARTS.flatMap((part) => {
      const folder = join(work, arch, part.name);
      mkdirSync(folder, { recursive: true });
      return part.files(source).map((file) => {
        const object = join(folder, `${basename(file, ".c")}.o`);
        const flags = [...COMMON, ...part.flags(source, work), "-c", file, "-o", object];
        return { object, start: () => zig(["-target", target, ...flags]) };
      });
    });
    await inParallel(jobs.map(({ start }) => start));
    const library = join(work, "out", arch, "libbpf.so.1");
    mkdirSync(dirname(library), { recursive: true });
    await zig([
      ...["-target", target, "-shared", "-s", "-o", library],
      ...["-Wl,-soname,libbpf.so.1", `-Wl,--version-script=${join(source, "libbpf/src/libbpf.map")}`],
      ...jobs.map(({ object }) => object),
    ]);
  }
}

async function inParallel(starts) {
  const waiting = [...starts];
  const worker = async () => {
    for (let start = waiting.shift(); start !== undefined; start = waiting.shift()) await start();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

/** All or nothing; whoever is first wins. */
function publish(from, to) {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!existsSync(files(to).arm64)) throw error;
  }
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const built = await buildLibbpf();
  console.log(built === null ? "not built" : JSON.stringify(built, null, 2));
}
