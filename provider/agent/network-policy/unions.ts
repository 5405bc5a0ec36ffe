/**
 * Compiled unions: made from chunks, and kept for the next delta, in this process and on disk. The disk is not the
 * truth: what is lost or of another boot is compiled anew.
 */
import fs from "node:fs";
import path from "node:path";
import {
  type CompiledUnion,
  type UnionInput,
  compileUnion,
  deserializeUnion,
  serializeUnion,
} from "../../network-policy/union";
import type { TextChunk, TextContent } from "../../protocol/policy";
import { parseSpecId } from "../../protocol/spec-id";
import { ensureDirectory, fileError } from "../durable-file";
import type { Host } from "../host";
import type { Holdings, WishedPlane } from "./derive";

export type ReadBlob = (digest: string) => Buffer;

/** Number of the generation that `changed` tells the difference to; of those that this process compiled. */
const comparedWith = new WeakMap<CompiledUnion, bigint>();

export function generationBefore(union: CompiledUnion): bigint | undefined {
  return comparedWith.get(union);
}

/** What a plane is to judge by, and what it judges by now, where that was kept. */
export interface UnionChange {
  union: CompiledUnion;
  before: CompiledUnion | null;
  /** It goes back by itself after that, unless it is confirmed. */
  withinSeconds?: number;
  /** What a plane goes back to whose interfaces nothing judged before. */
  open?: CompiledUnion;
}

export function compileWish(
  wish: WishedPlane,
  holdings: Holdings,
  { number, before, read }: { number: bigint; before: CompiledUnion | null; read: ReadBlob },
): CompiledUnion {
  const input = unionInput(wish, holdings, read);
  const union = compileUnion(input, { number, ...(before === null ? {} : { before }), read });
  if (before !== null) comparedWith.set(union, before.number);
  return union;
}

/** The policies of a plane, and their sets, as lists of chunks. */
export function unionInput(wish: WishedPlane, { policies, sets }: Holdings, read: ReadBlob): UnionInput {
  const chunks = (content: TextContent) =>
    JSON.parse(read(content.manifest).toString("utf8")) as readonly TextChunk[];
  const parts = wish.policies.map((id) => ({ id, part: policies.get(id)! }));
  const used = new Set(parts.flatMap(({ part }) => Object.values(part.sets)));
  return {
    policies: parts.map(({ id, part }) => {
      const { owner, project, stack, name } = parseSpecId(id);
      const { mode, infrastructure, established, ingress, egress } = part;
      return {
        stack: `${owner === undefined ? "" : `${owner}:`}${project}/${stack}`,
        ...{ name, mode, infrastructure, established, sets: part.sets },
        ...(ingress === undefined ? {} : { ingress: chunks(ingress) }),
        ...(egress === undefined ? {} : { egress: chunks(egress) }),
      };
    }),
    sets: Object.fromEntries(
      [...used].flatMap((id) => {
        const set = sets.get(id);
        return set === undefined ? [] : [[id, chunks(set.networks)]];
      }),
    ),
    self: wish.self,
  };
}

interface Kept {
  union: CompiledUnion;
  /** Open, since a union may still be read from it. */
  file?: number;
}

/** Of this process, by plane. */
const kept = new WeakMap<Host, Map<number, Kept>>();

function keptBy(host: Host): Map<number, Kept> {
  const known = kept.get(host) ?? new Map<number, Kept>();
  kept.set(host, known);
  return known;
}

/** The union that a plane judges by; `null` when nobody kept it. */
export function loadUnion(host: Host, policyId: number, number: string): CompiledUnion | null {
  const known = keptBy(host).get(policyId);
  if (known?.union.number === BigInt(number)) return known.union;
  forget(host, policyId);
  const place = fileOf(host, policyId);
  if (!fs.existsSync(place)) return null;
  const file = fs.openSync(place, "r");
  const union = deserializeUnion({
    size: fs.fstatSync(file).size,
    read: (offset, length) => {
      const bytes = Buffer.alloc(length);
      fs.readSync(file, bytes, 0, length, offset);
      return bytes;
    },
  });
  if (union?.number !== BigInt(number)) {
    fs.closeSync(file);
    return null;
  }
  keptBy(host).set(policyId, { union, file });
  return union;
}

/**
 * To be called when the plane judges by it. Appended to what was kept before, until that is several times as large as
 * all cells. Not flushed: after a power cut no plane stands that it could be of use to.
 */
export function keepUnion(host: Host, policyId: number, { union, before }: UnionChange): void {
  const known = keptBy(host).get(policyId);
  const place = fileOf(host, policyId);
  const since = before !== null && known?.union === before ? before : undefined;
  const size = fs.statSync(place, { throwIfNoEntry: false })?.size;
  ensureDirectory(directoryOf(host));
  if (
    since !== undefined &&
    size !== undefined &&
    size < MOST_COPIES * CELL_BYTES * union.cells.count + FREE_BYTES
  ) {
    writePieces(place, "a", serializeUnion(union, since));
    keptBy(host).set(policyId, { ...known, union });
    return;
  }
  const temporary = `${place}.new`;
  writePieces(temporary, "w", serializeUnion(union));
  fs.renameSync(temporary, place);
  keptBy(host).set(policyId, { ...known, union });
}

const CELL_BYTES = 64;
const MOST_COPIES = 4;
const FREE_BYTES = 2 ** 20;

function writePieces(place: string, flags: "a" | "w", pieces: readonly Uint8Array[]): void {
  const file = fs.openSync(place, flags, 0o600);
  try {
    for (const piece of pieces) fs.writeSync(file, piece);
  } catch (error) {
    throw fileError(`write ${place}`, error);
  } finally {
    fs.closeSync(file);
  }
}

/** When the plane is gone. */
export function dropUnion(host: Host, policyId: number): void {
  forget(host, policyId);
  fs.rmSync(fileOf(host, policyId), { force: true });
}

function forget(host: Host, policyId: number): void {
  const known = keptBy(host).get(policyId);
  if (known?.file !== undefined) fs.closeSync(known.file);
  keptBy(host).delete(policyId);
}

function directoryOf(host: Host): string {
  return path.join(host.roots.state, "network-policy");
}

function fileOf(host: Host, policyId: number): string {
  return path.join(directoryOf(host), `${policyId}.union`);
}
