/**
 * Which hosts ssh's configuration cannot tell apart, so that `ssh -G` is asked once for all of them: a fork of the
 * provider and a process for each of 200 hosts is what else a deployment spends most on. Owns: Host patterns and
 * Include. Does not own: what the configuration says (ssh-config.ts); whatever may depend on more than these gets no
 * answer here.
 */
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";
import { digestOf } from "../protocol/spec";

/** As ssh's own READCONF_MAX_DEPTH (readconf.c). */
const DEEPEST_INCLUDE = 16;

/** One text for all hosts that these files treat alike, and for no others; undefined: ask for this host alone. */
export async function likeness(host: string, files: readonly string[]): Promise<string | undefined> {
  const read = await readAll(files, 0);
  if (read === undefined) return undefined;
  const matching = read.patterns.filter((pattern) => wildcard(pattern.replace(/^!/, "")).test(host));
  return digestOf([read.texts, matching]);
}

interface Read {
  /** What `Host` says, all of it in order. */
  patterns: string[];
  texts: string[];
}

/** Undefined when an answer may depend on more than Host patterns. */
async function readAll(files: readonly string[], depth: number): Promise<Read | undefined> {
  if (depth > DEEPEST_INCLUDE) return undefined;
  const all: Read = { patterns: [], texts: [] };
  for (const file of files) {
    const text = await readFile(file, "utf8").catch(() => "");
    all.texts.push(text);
    for (const line of text.split("\n")) {
      const [, keyword = "", rest = ""] = /^\s*([A-Za-z]+)[\s=]+(.*?)\s*$/.exec(line) ?? [];
      const words = rest.replaceAll('"', "").split(/\s+/);
      switch (keyword.toLowerCase()) {
        case "host":
          all.patterns.push(...words);
          break;
        case "match":
          if (rest.toLowerCase() !== "all") return undefined;
          break;
        case "canonicalizehostname":
          if (rest.toLowerCase() !== "no") return undefined;
          break;
        case "include": {
          const included = await Promise.all(words.map(expand));
          if (included.some((paths) => paths === undefined)) return undefined;
          const below = await readAll(included.flat() as string[], depth + 1);
          if (below === undefined) return undefined;
          all.patterns.push(...below.patterns);
          all.texts.push(...below.texts);
        }
      }
    }
  }
  return all;
}

/** Undefined for a path that would take more than a list of one directory. */
async function expand(path: string): Promise<string[] | undefined> {
  if (!isAbsolute(path) || /[*?[]/.test(dirname(path)) || path.includes("[")) return undefined;
  if (!/[*?]/.test(path)) return [path];
  const names = await readdir(dirname(path)).catch(() => []);
  const pattern = wildcard(basename(path));
  return names
    .filter((name) => pattern.test(name) && !name.startsWith("."))
    .sort()
    .map((name) => join(dirname(path), name));
}

/** ssh's and the shell's: `*` and `?`. */
function wildcard(pattern: string): RegExp {
  const source = pattern
    .replace(/[\\^$.+()[\]{}|]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`, "i");
}
