/** Everything the agent keeps of one host, in one place: roots, records, blobs, pins, lock, index. */
import fs from "node:fs";
import os from "node:os";
import { Blobs } from "./blobs";
import { ensureDirectory } from "./durable-file";
import { type Roots, intentDirectory, rootsFrom } from "./layout";
import { Lock } from "./lock";
import { Pins } from "./pins";
import { Records } from "./records";
import { ReferenceIndex } from "./references";

export class Host {
  readonly records: Records;
  readonly blobs: Blobs;
  readonly pins: Pins;
  readonly lock: Lock;
  readonly references: ReferenceIndex;
  /** Another one after each boot; kernel ids and pins belong to one boot. */
  readonly bootId = fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  /** SSH_CONNECTION of the login that this session serves; undefined: it serves nobody, as at boot. */
  sshConnection: string | undefined;
  /** `uname -r`. */
  readonly kernel = os.release();

  constructor(readonly roots: Roots = rootsFrom(process.env)) {
    this.records = new Records(roots);
    this.blobs = new Blobs(roots);
    this.pins = new Pins(roots);
    this.lock = new Lock(roots);
    this.references = new ReferenceIndex(this.records, this.blobs, this.lock);
  }

  /** Directories and bpffs, before the first change. */
  prepare(): void {
    ensureDirectory(this.records.directory);
    ensureDirectory(this.blobs.directory);
    ensureDirectory(intentDirectory(this.roots));
    this.pins.ensureMounted();
  }

  kernelAtLeast(major: number, minor: number): boolean {
    const [haveMajor = 0, haveMinor = 0] = this.kernel.split(/[.-]/).map(Number);
    return haveMajor > major || (haveMajor === major && haveMinor >= minor);
  }
}
