/**
 * Numbers that never come back on a host: of generations, by which connections know whether they were judged by what
 * judges now, and of planes (`policy_id`). Durable, since connections live on when an agent ends.
 */
import path from "node:path";
import { ensureDirectory, readIfThere, writeDurably } from "../durable-file";
import type { Roots } from "../layout";

interface Numbers {
  /** The next to give; decimal. */
  generation: string;
  plane: number;
}

/** Connections that were there before the first enforcement carry it: judged by what no longer judges. */
export const SEEDED_GENERATION = 1n;

/** Of a preview, which judges on trial only. Not 0: to the program that is a connection that was not judged there. */
export const TRIED_GENERATION = 2n ** 64n - 1n;

export function nextGeneration(roots: Roots): bigint {
  return BigInt(
    take(roots, ({ generation, plane }) => ({ generation: String(BigInt(generation) + 1n), plane }))
      .generation,
  );
}

/** Fits u32: a plane a second would take it 136 years. */
export function nextPlane(roots: Roots): number {
  return take(roots, ({ generation, plane }) => ({ generation, plane: plane + 1 })).plane;
}

/** The caller holds the host's lock. */
function take(roots: Roots, following: (numbers: Numbers) => Numbers): Numbers {
  const folder = path.join(roots.state, "network-policy");
  const file = path.join(folder, "numbers.json");
  const bytes = readIfThere(file);
  const numbers =
    bytes === null
      ? { generation: String(SEEDED_GENERATION + 1n), plane: 1 }
      : (JSON.parse(bytes.toString("utf8")) as Numbers);
  ensureDirectory(folder);
  writeDurably(file, JSON.stringify(following(numbers)));
  return numbers;
}
