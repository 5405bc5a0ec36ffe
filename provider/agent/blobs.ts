/**
 * Blobs: ELF objects, manifests and chunks of map entries, each a file named by its sha256.
 *
 * Owns: storing, reading, and removing what no Record names. A blob that a session was asked about, or was
 * given, and did not apply yet is *held*: its digest stands in <run>/holds/<pid>, so that no other session
 * removes it before the apply that needs it.
 */
import fs from "node:fs";
import path from "node:path";
import { EbpfError } from "../errors";
import { digestOf } from "../protocol/spec";
import {
  ensureDirectory,
  fileError,
  readIfThere,
  removeIfThere,
  syncDirectory,
  systemCode,
  writeAtomically,
  writeDurably,
} from "./durable-file";
import { type Roots, blobPath } from "./layout";

export class Blobs {
  readonly #held = new Set<string>();

  constructor(private readonly roots: Roots) {}

  get directory(): string {
    return path.join(this.roots.state, "blobs");
  }

  /** Which of the digests are not here; those that are become held. */
  missing(digests: string[]): string[] {
    const absent = digests.filter((digest) => !fs.existsSync(blobPath(this.roots, digest)));
    const lacking = new Set(absent);
    this.hold(digests.filter((digest) => !lacking.has(digest)));
    // held before looked at again: a blob that another session removed in between counts as missing
    return digests.filter((digest) => lacking.has(digest) || !fs.existsSync(blobPath(this.roots, digest)));
  }

  async put(blobs: { [digest: string]: Uint8Array }): Promise<void> {
    for (const [digest, bytes] of Object.entries(blobs)) verify(digest, bytes);
    ensureDirectory(this.directory);
    this.hold(Object.keys(blobs));
    const absent = Object.entries(blobs).filter(([digest]) => !fs.existsSync(blobPath(this.roots, digest)));
    const [only] = absent;
    if (absent.length === 1 && only !== undefined) {
      // Node's promised file system and its threads take longer to come up than one object to be written
      writeDurably(blobPath(this.roots, only[0]), only[1]);
      return;
    }
    // in parallel: a file system joins the flushes of several files
    await Promise.all(absent.map(([digest, bytes]) => this.store(digest, bytes)));
    if (absent.length > 0) syncDirectory(this.directory);
  }

  private async store(digest: string, bytes: Uint8Array): Promise<void> {
    const file = blobPath(this.roots, digest);
    const temporary = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`;
    try {
      const handle = await fs.promises.open(temporary, "w", 0o600);
      try {
        await handle.writeFile(bytes);
        await handle.datasync();
      } finally {
        await handle.close();
      }
      await fs.promises.rename(temporary, file);
    } catch (error) {
      await fs.promises.rm(temporary, { force: true });
      throw fileError(`store blob ${digest}`, error);
    }
  }

  /** Fails with `not-found` when the host lacks it; one that does not fit its name is removed and `record`. */
  read(digest: string): Buffer {
    const file = blobPath(this.roots, digest);
    const bytes = readIfThere(file);
    if (bytes === null) {
      throw new EbpfError("not-found", `read blob ${digest}: the host does not hold it`, {
        what: "blob",
        name: digest,
      });
    }
    if (digestOf(bytes) !== digest) {
      removeIfThere(file);
      throw new EbpfError(
        "record",
        `read blob ${digest}: damaged on the host's disk`,
        { id: digest },
        {
          remedy: "run the operation again: the blob is sent anew",
        },
      );
    }
    return bytes;
  }

  /** Announces to other sessions that these are needed; until `release`. */
  hold(digests: string[]): void {
    const before = this.#held.size;
    for (const digest of digests) this.#held.add(digest);
    if (this.#held.size !== before) this.announce();
  }

  release(digests: Iterable<string>): void {
    const before = this.#held.size;
    for (const digest of digests) this.#held.delete(digest);
    if (this.#held.size !== before) this.announce();
  }

  /** At the end of the session. False when nothing was held. */
  releaseAll(): boolean {
    if (this.#held.size === 0) return false;
    this.release([...this.#held]);
    return true;
  }

  /** Removes every blob that is neither named by a Record nor held by a living session. Called under the lock. */
  collect(named: ReadonlySet<string>): void {
    const held = new Set([...this.#held, ...this.heldByOthers()]);
    let removed = false;
    for (const name of this.names()) {
      if (named.has(name) || held.has(name)) continue;
      const writer = /^[0-9a-f]{64}\.([0-9]+)\.[a-z0-9.]*tmp$/.exec(name);
      if (writer && isAlive(Number(writer[1]))) continue;
      removeIfThere(path.join(this.directory, name));
      removed = true;
    }
    if (removed) syncDirectory(this.directory);
  }

  private names(): string[] {
    try {
      return fs.readdirSync(this.directory);
    } catch (error) {
      if (systemCode(error) === "ENOENT") return [];
      throw fileError(`list ${this.directory}`, error);
    }
  }

  private get holds(): string {
    return path.join(this.roots.run, "holds");
  }

  private announce(): void {
    const own = path.join(this.holds, String(process.pid));
    if (this.#held.size === 0) return removeIfThere(own);
    ensureDirectory(this.holds);
    writeAtomically(own, [...this.#held].join("\n"));
  }

  private *heldByOthers(): Generator<string> {
    let names: string[];
    try {
      names = fs.readdirSync(this.holds);
    } catch (error) {
      if (systemCode(error) === "ENOENT") return;
      throw fileError(`list ${this.holds}`, error);
    }
    for (const name of names) {
      const pid = Number(name.split(".")[0]);
      if (pid === process.pid) continue;
      const file = path.join(this.holds, name);
      if (!isAlive(pid)) removeIfThere(file);
      else yield* (readIfThere(file)?.toString("utf8") ?? "").split("\n");
    }
  }
}

function verify(digest: string, bytes: Uint8Array): void {
  const actual = digestOf(bytes);
  if (actual !== digest) {
    throw new EbpfError("transport", `store blob ${digest}: what arrived has sha256 ${actual}`, {
      phase: "protocol",
    });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === "EPERM";
  }
}
