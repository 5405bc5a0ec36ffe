/**
 * C source to BPF object, with clang, cached by what went in.
 *
 * clang runs in the source's own directory and is given the preprocessed text, so that neither a checkout's
 * place nor a file that changes meanwhile enters the object. The cache is
 * `${XDG_CACHE_HOME:-~/.cache}/pulumi-ebpf/objects/`; it may be deleted at any time.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { cacheDirectory } from "../cache";
import { invalid, type EbpfError } from "../errors";
import { digestOf } from "../protocol/spec";
import { systemIncludes } from "./headers";
import type { LocalFile } from "./file";
import { limited } from "./limited";

export interface CSource {
  property: string;
  file: LocalFile;
  /** Directories, relative to the program's directory. */
  includes: string[];
  defines: Record<string, string>;
}

export interface CompiledObject {
  object: Buffer;
  sourceDigest: string;
  /** Absolute paths of the source and of every header that it took in. */
  files: string[];
}

/** v2: every kernel from 4.14 on and every JIT takes it. v3's 32-bit jumps came later, Linux 5.1, and not to all JITs. */
const codeFlags = ["-target", "bpf", "-mcpu=v2", "-O2", "-g"];
const objectFlags = ["-fdebug-compilation-dir=.", "-Wall", "-ferror-limit=5", "-fno-color-diagnostics"];
const shownLines = 12;

/** `$CLANG`, else `clang` on PATH. */
const clang = (): string => process.env["CLANG"] || "clang";

/** Fails with `invalid`: clang is missing, cannot make BPF, or refuses the source. */
export const compile = limited(
  os.availableParallelism(),
  async (source: CSource): Promise<CompiledObject> => {
    const [preprocessed, version, includes] = await Promise.all([
      preprocess(source),
      clangVersion(source),
      systemIncludes(),
    ]);
    // where this package is installed is no part of the object either
    const innermostFirst = includes.toSorted((a, b) => b.length - a.length);
    const text = innermostFirst.reduce((all, include) => all.replaceAll(`"${include}/`, '"'), preprocessed);
    const flags = codeFlags.join(" ");
    const cached = path.join(cacheDirectory("objects"), `${digestOf([text, flags, objectFlags, version])}.o`);
    const object = (await fs.readFile(cached).catch(() => undefined)) ?? (await build(source, text, cached));
    // line markers tell where headers lie on this machine: that is no part of the source
    const portable = text.replace(/^# (\d+) "[^"\n]*"/gm, "# $1");
    return {
      object,
      sourceDigest: digestOf(`${flags}\n${portable}`),
      files: filesOf(preprocessed, source.file),
    };
  },
);

async function preprocess(source: CSource): Promise<string> {
  const { file, includes, defines } = source;
  const directory = path.dirname(file.path);
  const target = Object.keys(defines).some((name) => name.startsWith("__TARGET_ARCH_"))
    ? {}
    : { __TARGET_ARCH_x86: "1" };
  const result = await run(source, [
    ...codeFlags,
    "-E",
    ...Object.entries({ ...target, ...defines }).map(
      ([name, value]) => `-D${name}${value === "" ? "" : `=${value}`}`,
    ),
    ...includes.map((include) => `-I${path.relative(directory, path.resolve(include)) || "."}`),
    "-I.",
    ...(await systemIncludes()).flatMap((include) => ["-isystem", include]),
    `./${file.name}`,
  ]);
  if (result.code !== 0) throw refused(source, result);
  return result.stdout.toString("utf8");
}

async function build(source: CSource, text: string, cached: string): Promise<Buffer> {
  const result = await run(
    source,
    [...codeFlags, ...objectFlags, "-x", "cpp-output", "-c", "-", "-o", "-"],
    text,
  );
  if (result.code !== 0) {
    const targets = await run(source, ["--print-targets"]);
    if (targets.code === 0 && !/^\s*bpf\b/m.test(targets.stdout.toString("utf8"))) {
      throw problem(
        source,
        `${clang()} cannot compile for BPF; set CLANG to one that can, or give the compiled .o`,
      );
    }
    throw refused(source, result);
  }
  await keep(source, cached, result.stdout);
  return result.stdout;
}

/** Whole or not there, also when several do it at once. */
async function keep(source: CSource, cached: string, object: Buffer): Promise<void> {
  const written = `${cached}.${randomUUID()}`;
  try {
    await fs.mkdir(path.dirname(cached), { recursive: true, mode: 0o700 });
    await fs.writeFile(written, object, { flush: true });
    await fs.rename(written, cached);
  } catch (error) {
    await fs.rm(written, { force: true }).catch(() => undefined);
    const { code } = error as NodeJS.ErrnoException;
    const directory = path.dirname(cached);
    throw problem(
      source,
      `cannot keep the object in ${directory} (${code}); set XDG_CACHE_HOME to a directory that can be written`,
    );
  }
}

const versions = new Map<string, Promise<string>>();

/** Asked once per process. */
function clangVersion(source: CSource): Promise<string> {
  const asked =
    versions.get(clang()) ?? run(source, ["--version"]).then(({ stdout }) => stdout.toString("utf8"));
  versions.set(clang(), asked);
  asked.catch(() => versions.delete(clang()));
  return asked;
}

function filesOf(text: string, file: LocalFile): string[] {
  const names = [...text.matchAll(/^# \d+ "([^"\n<]+)"/gm)].map(([, name]) => name!);
  return [...new Set([file.path, ...names.map((name) => path.resolve(path.dirname(file.path), name))])];
}

interface Result {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

function run(source: CSource, args: string[], input = ""): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(clang(), args, { cwd: path.dirname(source.file.path), stdio: "pipe" });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.on("error", (error: NodeJS.ErrnoException) => {
      const cause = error.code === "ENOENT" ? "is not installed" : `cannot be started (${error.code})`;
      reject(problem(source, `${clang()} ${cause}; install clang, or give the compiled .o`));
    });
    child.on("close", (code) =>
      resolve({ code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString("utf8") }),
    );
    // a compiler that stops early closes its end first; its exit code says why
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

/** Clang's words from the first error on. */
function refused(source: CSource, { code, stderr }: Result): EbpfError<"invalid"> {
  const lines = stderr
    .split("\n")
    .filter((line) => line !== "" && !/^\d+ \w+( and \d+ \w+)? generated\.$/.test(line))
    .map((line) => line.replace(/^\.\//, ""));
  if (lines.length === 0)
    return problem(source, `${clang()} ended with ${code === null ? "a signal" : `status ${code}`}`);
  const first = Math.max(
    lines.findIndex((line) => /\berror: /.test(line)),
    0,
  );
  const shown = lines.slice(first, first + shownLines);
  const rest = lines.length - first - shown.length;
  return problem(source, [...shown, ...(rest > 0 ? [`(${rest} more lines)`] : [])].join("\n"));
}

function problem(source: CSource, cause: string): EbpfError<"invalid"> {
  const { property, file } = source;
  return invalid(`compile ${file.name}`, [{ property, reason: `compile ${file.name}: ${cause}` }]);
}
