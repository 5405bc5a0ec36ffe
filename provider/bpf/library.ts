/**
 * Finds and binds libbpf and libc. Each function is bound at its first use: a symbol that an older libbpf lacks
 * is a missing feature of that host, not a crash of the agent.
 */
import { koffi, type LibraryHandle } from "./koffi";
import { existsSync, readdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { EbpfError } from "../errors";
import { registerPrinter, takeMessages } from "./messages";
import { libbpfPrototypes, libcPrototypes, type Result } from "./prototypes";

const SONAME = "libbpf.so.1";
const UPGRADE = "install a newer libbpf on the host, or let pulumi-ebpf bring its own";

/** A value C can take. Buffers go by address and are filled in place. */
export type Argument = number | bigint | boolean | string | ArrayBufferView | null;

type Functions<T extends Record<string, string>> = {
  readonly [N in keyof T]: (...values: Argument[]) => Result<T[N]>;
};

/** The header's words for types that koffi does not know. */
for (const [name, type] of [
  ["__u32", "uint32_t"],
  ["__u64", "uint64_t"],
] as const)
  koffi.alias(name, type);
koffi.alias("va_list", "void *");
koffi.alias("libbpf_print_fn_t", "void *");
koffi.alias("ring_buffer_sample_fn", "void *");

function bindAll<T extends Record<string, string>>(table: T, load: () => LibraryHandle): Functions<T> {
  const functions = {};
  for (const [name, prototype] of Object.entries(table)) {
    Object.defineProperty(functions, name, {
      configurable: true,
      enumerable: true,
      get() {
        const value = bind(load(), name, prototype);
        Object.defineProperty(functions, name, { value, enumerable: true });
        return value;
      },
    });
  }
  return functions as Functions<T>;
}

function bind(library: LibraryHandle, name: string, prototype: string): unknown {
  try {
    library.symbol(name);
  } catch (cause) {
    throw new EbpfError(
      "unsupported",
      `call ${name}: the libbpf at ${loadedFrom ?? "?"} does not have it`,
      { feature: name },
      { cause, remedy: UPGRADE },
    );
  }
  return library.func(asKoffi(prototype));
}

const opaque = new Set<string>();

/** koffi knows neither `struct x` nor `enum x`: a struct becomes an opaque type of its own, an enum an int. */
function asKoffi(prototype: string): string {
  return prototype
    .replace(/\(void\)/, "()")
    .replace(/enum \w+/g, "int")
    .replace(/struct (\w+)/g, (_match, name: string) => {
      if (!opaque.has(name)) koffi.opaque(name);
      opaque.add(name);
      return name;
    });
}

let loadedFrom: string | undefined;
let libbpfLibrary: LibraryHandle | undefined;
let libcLibrary: LibraryHandle | undefined;

/** The process itself: node is linked to the libc of its host, whichever that is. */
export const libc = bindAll(libcPrototypes, () => (libcLibrary ??= koffi.load(null)));

export const libbpf = bindAll(libbpfPrototypes, () => (libbpfLibrary ??= openLibbpf()));

/** Where libbpf was found, and its version. Loads it. */
export function libbpfVersion(): { path: string; major: number; minor: number } {
  const major = libbpf.libbpf_major_version();
  return { path: loadedFrom as string, major, minor: libbpf.libbpf_minor_version() };
}

/** For what an older libbpf refuses as EINVAL although the symbol is there. @throws EbpfError "unsupported" */
export function requireLibbpf(major: number, minor: number, feature: string): void {
  const found = libbpfVersion();
  if (found.major > major || (found.major === major && found.minor >= minor)) return;
  throw new EbpfError(
    "unsupported",
    `${feature}: the libbpf at ${found.path} is ${found.major}.${found.minor}, ${major}.${minor} is needed`,
    { feature },
    { remedy: UPGRADE },
  );
}

/**
 * In this order: `PULUMI_EBPF_LIBBPF`; beside the running bundle; this machine's build caches; the host's own.
 * The environment variable is an order, not a hint: when it is set, nothing else is tried.
 */
function* candidates(): Generator<string> {
  const chosen = process.env.PULUMI_EBPF_LIBBPF;
  if (chosen !== undefined && chosen !== "") return yield chosen;
  const root = path.join(__dirname, "..", "..");
  const beside = [path.dirname(process.argv[1] ?? "."), __dirname].map((folder) => path.join(folder, SONAME));
  yield* [...new Set(beside)].filter((file) => existsSync(file));
  yield* [path.join(root, "dist/agent", process.arch, SONAME), ...cached()].filter((file) =>
    existsSync(file),
  );
  yield SONAME;
}

/** Builds of scripts/libbpf.mjs, the newest first. */
function cached(): string[] {
  const cache = path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), ".cache"), "pulumi-ebpf");
  if (!existsSync(cache)) return [];
  return readdirSync(cache)
    .filter((name) => name.startsWith("libbpf-"))
    .map((name) => path.join(cache, name, process.arch, SONAME))
    .filter((file) => existsSync(file))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
}

function openLibbpf(): LibraryHandle {
  const tried: string[] = [];
  for (const file of candidates()) {
    try {
      const library = koffi.load(file);
      loadedFrom = file;
      silence(library);
      return library;
    } catch (cause) {
      if (EbpfError.is(cause)) throw cause;
      tried.push(`${file}: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
  }
  throw new EbpfError(
    "unsupported",
    `load libbpf: none could be loaded (${tried.join("; ")})`,
    { feature: SONAME },
    { remedy: "install the package libbpf1 (Debian, Ubuntu) or libbpf (Fedora) on the host" },
  );
}

function silence(library: LibraryHandle): void {
  const setPrint = library.func(asKoffi(libbpfPrototypes.libbpf_set_print));
  setPrint(registerPrinter(libc.vsnprintf as never));
  takeMessages();
}
