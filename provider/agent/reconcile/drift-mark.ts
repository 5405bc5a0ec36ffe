/**
 * A note from observe to apply that a Spec's entries were found changed, so that apply looks at all of them. Without
 * it apply trusts the Record for chunks that did not change: a million rows need not be read to change ten.
 */
import fs from "node:fs";
import path from "node:path";
import { ensureDirectory, removeIfThere, writeAtomically } from "../durable-file";
import { type Roots, pathPart } from "../layout";

function markFile(roots: Roots, id: string): string {
  return path.join(roots.run, "drifted", pathPart(id));
}

export function markDrifted(roots: Roots, id: string): void {
  ensureDirectory(path.join(roots.run, "drifted"));
  writeAtomically(markFile(roots, id), "");
}

export function isMarkedDrifted(roots: Roots, id: string): boolean {
  return fs.existsSync(markFile(roots, id));
}

export function clearDriftMark(roots: Roots, id: string): void {
  removeIfThere(markFile(roots, id));
}
