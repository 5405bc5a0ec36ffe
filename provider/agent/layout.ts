/**
 * Names of everything the agent keeps on a host. Pure: computes paths, touches no file. Those of pins are put together
 * as they are, being asked for many times: path.join looks at each character of them again.
 *
 *   <bpffs>/pulumi-ebpf/[<owner>:]<project>/<stack>/<Kind>/<name>/<revision>/{programs,maps,links}/<part>
 *   <state>/records/<spec id>.json   <state>/blobs/<sha256>
 *   <run>/intents/<spec id>.json, lock, drifted/<spec id>, holds/<pid>, code-<digest of the bundle>, new-interfaces/<name>
 */
import { createHash } from "node:crypto";
import path from "node:path";
import { EbpfError } from "../errors";
import { parseSpecId } from "../protocol/spec-id";

export interface Roots {
  /** Where bpffs is, or gets, mounted. */
  bpffs: string;
  /** Survives a reboot. */
  state: string;
  /** Does not. */
  run: string;
}

/** The three directories; the environment variables exist for tests. */
export function rootsFrom(env: NodeJS.ProcessEnv): Roots {
  return {
    bpffs: env.PULUMI_EBPF_BPFFS ?? "/sys/fs/bpf",
    state: env.PULUMI_EBPF_STATE ?? "/var/lib/pulumi-ebpf",
    run: env.PULUMI_EBPF_RUN ?? "/run/pulumi-ebpf",
  };
}

export const PIN_KINDS = ["programs", "maps", "links"] as const;
export type PinKind = (typeof PIN_KINDS)[number];

const MAX_PART_BYTES = 200;
const HASH_DIGITS = 32;
const PATH_PART = /^(?:[A-Za-z0-9_-]|%[0-9A-F]{2}|%u[0-9A-F]{4})*(?:~[0-9a-f]{32})?(?:%new)?$/;

/**
 * Any text as one path component: injective, at most `limit` bytes, ASCII letters, digits, `_` and `-` kept.
 * Everything else is percent-escaped by its UTF-8 bytes, since bpffs refuses dots (EPERM, kernel/bpf/inode.c
 * bpf_lookup) and no name may hold a slash. What would be too long is cut and ends in `~` and a hash.
 */
export function pathPart(text: string, limit = MAX_PART_BYTES): string {
  const escaped = text.replace(/[^A-Za-z0-9_-]/gu, escape);
  if (escaped === "") return "%";
  if (escaped.length <= limit) return escaped;
  const hash = createHash("sha256").update(escaped).digest("hex").slice(0, HASH_DIGITS);
  const head = escaped.slice(0, limit - HASH_DIGITS - 1).replace(/%[0-9A-Fu]{0,4}$/, "");
  return `${head}~${hash}`;
}

/** A surrogate that stands alone has no UTF-8 form; it keeps its UTF-16 number. */
function escape(character: string): string {
  if (/^[\ud800-\udfff]$/.test(character)) return `%u${hexadecimal(character.charCodeAt(0), 4)}`;
  return [...Buffer.from(character)].map((byte) => `%${hexadecimal(byte, 2)}`).join("");
}

function hexadecimal(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, "0");
}

export function pinRoot(roots: Roots): string {
  return `${roots.bpffs}/pulumi-ebpf`;
}

/** All pins of one Spec lie under here, a directory per revision. */
export function specDirectory(roots: Roots, id: string): string {
  const { owner, project, stack, kind, name } = parseSpecId(id);
  const half = MAX_PART_BYTES / 2;
  const first =
    owner === undefined ? pathPart(project) : `${pathPart(owner, half)}:${pathPart(project, half)}`;
  return `${pinRoot(roots)}/${first}/${pathPart(stack)}/${pathPart(kind)}/${pathPart(name)}`;
}

export function revisionDirectory(roots: Roots, id: string, revision: number): string {
  return `${specDirectory(roots, id)}/${revision}`;
}

export function pinPath(roots: Roots, id: string, revision: number, kind: PinKind, part: string): string {
  return `${revisionDirectory(roots, id, revision)}/${kind}/${pathPart(part)}`;
}

/** Where a pin stands for an instant before it is renamed over another; no part's own name ends so. */
export function temporaryPin(pin: string): string {
  return `${pin}%new`;
}

/**
 * Refuses every removal whose target is not one that this module could have named: a pin, one of its
 * directories, or the root itself.
 */
export function assertRemovable(roots: Roots, target: string): void {
  const relative = path.relative(pinRoot(roots), target);
  if (relative === "") return;
  const [first, stack, kind, name, revision, pins, part, ...rest] = relative.split("/");
  const parts = [...first!.split(":"), stack, kind, name, part].filter((text) => text !== undefined);
  const fits =
    path.isAbsolute(target) &&
    path.normalize(target) === target &&
    rest.length === 0 &&
    first!.split(":").length <= 2 &&
    parts.every((text) => text !== "" && (text === "%" || PATH_PART.test(text))) &&
    (revision === undefined || /^[1-9][0-9]*$/.test(revision)) &&
    (pins === undefined || (PIN_KINDS as readonly string[]).includes(pins));
  if (!fits) throw new EbpfError("internal", `remove pin "${target}": it is not below ${pinRoot(roots)}`, {});
}

export function recordPath(roots: Roots, id: string): string {
  return path.join(roots.state, "records", `${pathPart(id)}.json`);
}

/** Gone after a reboot: an intent speaks of kernel objects, and they are gone then. */
export function intentDirectory(roots: Roots): string {
  return path.join(roots.run, "intents");
}

export function intentPath(roots: Roots, id: string): string {
  return path.join(intentDirectory(roots), `${pathPart(id)}.json`);
}

/** Where udev notes interfaces that have come (provider/transport/host-units.ts). */
export function newInterfacesDirectory(roots: Roots): string {
  return path.join(roots.run, "new-interfaces");
}

export function blobPath(roots: Roots, digest: string): string {
  if (!/^[0-9a-f]{64}$/.test(digest)) {
    throw new EbpfError("invalid", `name blob "${digest}": expected 64 hex digits of a sha256`, {});
  }
  return path.join(roots.state, "blobs", digest);
}

/** A delivered bundle lies in a directory that its digest names (provider/transport/bootstrap.ts); `null` elsewhere. */
export function bundleDigest(directory: string): string | null {
  const name = path.basename(directory);
  return /^[0-9a-f]{64}$/.test(name) ? name : null;
}
