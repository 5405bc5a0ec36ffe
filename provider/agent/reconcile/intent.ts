/**
 * The intent: what a mutating verb is about to do, written before its first action and gone after its last. A
 * later verb that finds one knows that its writer died, and where to look in the kernel.
 *
 * It outlives the process and not the kernel: all that it speaks of is kernel state, and what a power cut left of a
 * file would keep its Spec from ever being applied again.
 */
import fs from "node:fs";
import path from "node:path";
import { fileError, readIfThere, removeIfThere, systemCode, writeAtomically } from "../durable-file";
import { type Roots, intentDirectory, intentPath } from "../layout";
import { parseStored, type StoredAs } from "../records";
import type { Action } from "./actions";

export const INTENT_FORMAT = 1;

const STORED: StoredAs = {
  what: "intent",
  format: INTENT_FORMAT,
  remedy: "remove the file under /run/pulumi-ebpf/intents and apply again",
};

export interface Intent {
  format: typeof INTENT_FORMAT;
  id: string;
  verb: "apply" | "remove" | "restore";
  /** Revision that the Record names before; 0: there was no Record. */
  from: number;
  /** Revision that apply makes; equal to `from` for remove. */
  to: number;
  actions: Action[];
  /** An undo could not be completed; these links may run either program. */
  mixed?: { old: string[]; new: string[] };
}

/** `files`: what `intentFiles` said. Fails with `record` when it is damaged or of a newer format. */
export function readIntent(roots: Roots, id: string, files?: ReadonlySet<string>): Intent | null {
  if (files?.has(path.basename(intentPath(roots, id))) === false) return null;
  const bytes = readIfThere(intentPath(roots, id));
  return bytes === null ? null : parseStored<Intent>(bytes, id, STORED);
}

/** Specs that a verb was at work on. */
export function intentIds(roots: Roots): string[] {
  const directory = intentDirectory(roots);
  return [...intentFiles(roots)]
    .filter((name) => name.endsWith(".json"))
    .map((name) => parseStored<Intent>(fs.readFileSync(path.join(directory, name)), name, STORED).id);
}

/** Names of the files of all intents, for who would else look for many in vain. */
export function intentFiles(roots: Roots): ReadonlySet<string> {
  const directory = intentDirectory(roots);
  try {
    return new Set(fs.readdirSync(directory));
  } catch (error) {
    if (systemCode(error) === "ENOENT") return new Set();
    throw fileError(`list ${directory}`, error);
  }
}

export function writeIntent(roots: Roots, intent: Intent): void {
  writeAtomically(intentPath(roots, intent.id), JSON.stringify(intent));
}

export function clearIntent(roots: Roots, id: string): void {
  removeIfThere(intentPath(roots, id));
}
