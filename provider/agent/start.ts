/**
 * `agent.js` of a delivered bundle: starts `main.js` beside it from V8's code cache.
 *
 * Owns: that cache, <run>/code-<digest of the bundle>: without it a third of the start is spent on compiling; and when
 * the bundle was last started. Does not own: what the agent does (main.ts).
 *
 * V8 compares its own version and flags, but of the source only the length (src/snapshot/code-serializer.cc,
 * SerializedCodeData::SanityCheck), and takes the rest on trust. So the name holds the digest of the bundle, which the
 * start has just verified; a sha256 in front covers the contents; and only a file that nobody else can write counts.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import Module from "node:module";
import path from "node:path";
import { Script } from "node:vm";
import { systemCode, writeAtomically } from "./durable-file";
import { bundleDigest, rootsFrom } from "./layout";

const SHA256_BYTES = 32;

const main = path.join(__dirname, "main.js");
const digest = bundleDigest(__dirname);
if (digest !== null) noteStart();
const cache = digest === null ? null : path.join(rootsFrom(process.env).run, `code-${digest}`);
const known = cache === null ? undefined : readCache(cache);
// esbuild writes ASCII alone, and this is the quicker way to read it
const script = new Script(Module.wrap(fs.readFileSync(main, "latin1")), {
  filename: main,
  ...(known && { cachedData: known }),
});
if (cache !== null && (known === undefined || script.cachedDataRejected)) {
  // at the end, when all that a session runs has been compiled; nobody waits for it then
  process.once("exit", (code) => code === 0 && writeCache(cache));
}
const mainModule = { exports: {} };
const run = script.runInThisContext() as (...wrapped: unknown[]) => void;
run(mainModule.exports, Module.createRequire(main), mainModule, main, __dirname);

/** What was not started for a month is removed from the host: bootstrap.ts. */
function noteStart(): void {
  const now = new Date();
  try {
    fs.utimesSync(__dirname, now, now);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
  }
}

function readCache(file: string): Buffer | undefined {
  try {
    const handle = fs.openSync(file, "r");
    try {
      const { uid, mode } = fs.fstatSync(handle);
      if (uid !== process.getuid?.() || (mode & 0o022) !== 0) return undefined;
      const bytes = fs.readFileSync(handle);
      const code = bytes.subarray(SHA256_BYTES);
      return sha256(code).equals(bytes.subarray(0, SHA256_BYTES)) ? code : undefined;
    } finally {
      fs.closeSync(handle);
    }
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

function writeCache(file: string): void {
  const code = script.createCachedData();
  try {
    // a host that was taken down meanwhile gets nothing back: no directory is made
    if (fs.existsSync(main)) writeAtomically(file, Buffer.concat([sha256(code), code]));
  } catch {
    // no room or no right: the next start compiles again
  }
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
