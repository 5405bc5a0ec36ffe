/**
 * Directories of pins in bpffs. Owns making, listing and removing them, each removal checked against the
 * naming scheme. Does not own pinning (provider/bpf) or when it happens (reconcile/).
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { EbpfError } from "../errors";
import { ensureDirectory, fileError, systemCode } from "./durable-file";
import {
  PIN_KINDS,
  type Roots,
  assertRemovable,
  pinRoot,
  revisionDirectory,
  specDirectory,
  temporaryPin,
} from "./layout";

/** `f_type` of statfs(2), BPF_FS_MAGIC of uapi/linux/magic.h. */
const BPF_FS_MAGIC = 0xcafe4a11;

export class Pins {
  constructor(private readonly roots: Roots) {}

  isMounted(): boolean {
    try {
      return fs.statfsSync(this.roots.bpffs).type === BPF_FS_MAGIC;
    } catch (error) {
      if (systemCode(error) === "ENOENT") return false;
      throw fileError(`look at ${this.roots.bpffs}`, error);
    }
  }

  /** Mounts bpffs where it is absent. Fails with `permission`. */
  ensureMounted(): void {
    if (this.isMounted()) return;
    const { bpffs } = this.roots;
    const mount = spawnSync("mount", ["-t", "bpf", "bpf", bpffs], { encoding: "utf8" });
    if (mount.status === 0 && this.isMounted()) return;
    const why = mount.error?.message ?? mount.stderr.trim();
    throw new EbpfError(
      "permission",
      `mount bpffs on ${bpffs}: ${why}`,
      { needed: "CAP_SYS_ADMIN" },
      {
        remedy: `mount it on the host: mount -t bpf bpf ${bpffs}`,
      },
    );
  }

  /** Makes the directories of a new revision. */
  makeRevision(id: string, revision: number): void {
    const directory = revisionDirectory(this.roots, id, revision);
    for (const kind of PIN_KINDS) ensureDirectory(path.join(directory, kind));
  }

  /** Revisions that have a directory, ascending. */
  revisions(id: string): number[] {
    return list(specDirectory(this.roots, id))
      .map(Number)
      .sort((a, b) => a - b);
  }

  /** Removes a pin; absent is success. */
  remove(pin: string): void {
    assertRemovable(this.roots, pin);
    try {
      fs.unlinkSync(pin);
    } catch (error) {
      if (systemCode(error) !== "ENOENT") throw fileError(`remove pin ${pin}`, error);
    }
  }

  /** Pins in place of what is pinned there: at no instant is the path empty. */
  replace(pin: string, object: { pin(path: string): void }): void {
    const beside = temporaryPin(pin);
    this.remove(beside);
    object.pin(beside);
    fs.renameSync(beside, pin);
  }

  /**
   * Removes a revision with its pins, links first: a prog_array loses its content with its last pin, even while
   * a program that uses it is still attached (kernel/bpf/arraymap.c prog_array_map_clear).
   */
  removeRevision(id: string, revision: number): void {
    const directory = revisionDirectory(this.roots, id, revision);
    for (const kind of ["links", "programs", "maps"] as const) {
      for (const pin of list(path.join(directory, kind))) this.remove(path.join(directory, kind, pin));
      this.removeEmpty(path.join(directory, kind));
    }
    this.removeEmpty(directory);
    this.removeEmptyParents(id);
  }

  /** Removes all revisions but one. */
  keepOnly(id: string, revision: number | undefined): void {
    for (const other of this.revisions(id)) if (other !== revision) this.removeRevision(id, other);
    this.removeEmptyParents(id);
  }

  /** Names of the pins of one kind. */
  names(id: string, revision: number, kind: (typeof PIN_KINDS)[number]): string[] {
    return list(path.join(revisionDirectory(this.roots, id, revision), kind));
  }

  private removeEmptyParents(id: string): void {
    const root = pinRoot(this.roots);
    for (
      let directory = specDirectory(this.roots, id);
      directory.startsWith(root);
      directory = path.dirname(directory)
    ) {
      if (!this.removeEmpty(directory)) return;
    }
  }

  /** False when it was not empty. */
  private removeEmpty(directory: string): boolean {
    assertRemovable(this.roots, directory);
    try {
      fs.rmdirSync(directory);
      return true;
    } catch (error) {
      const code = systemCode(error);
      if (code === "ENOENT") return true;
      if (code === "ENOTEMPTY" || code === "EEXIST") return false;
      throw fileError(`remove pin directory ${directory}`, error);
    }
  }
}

function list(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    throw fileError(`list ${directory}`, error);
  }
}
