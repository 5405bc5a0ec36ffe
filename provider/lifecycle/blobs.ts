/** The bytes that a Spec names by sha256, on their way to a host. */
import { EbpfError } from "../errors";
import type { Spec } from "../protocol/spec";
import type { Source } from "../sources/source";
import type { AgentSession } from "../transport/session";
import { type Call, during } from "./call";

/** Bytes per message: large enough for few round trips, small enough to show progress. */
const BATCH_BYTES = 6 << 20;

export function blobsOf(sources: Source[]): Map<string, Uint8Array> {
  const blobs = new Map<string, Uint8Array>();
  for (const source of sources) {
    if (source.kind === "object") blobs.set(source.blob, source.bytes);
    else for (const [digest, bytes] of source.blobs()) blobs.set(digest, bytes);
  }
  return blobs;
}

/** Fails with `conflict` when a local file is not what check saw. */
export function verifyUnchanged(spec: Spec, sources: Source[]): void {
  const { objects, entries, policy, addressSet } = spec;
  const contents = [...entries, policy?.ingress, policy?.egress, addressSet?.networks];
  const wanted = [
    ...objects.map(({ blob }) => blob),
    ...contents.flatMap((content) => (content === undefined ? [] : [content.manifest])),
  ];
  const held = new Set(sources.map((source) => (source.kind === "object" ? source.blob : source.manifest)));
  if (wanted.every((digest) => held.has(digest))) return;
  const property = sources[0]?.property;
  throw new EbpfError(
    "conflict",
    "apply the resource: its local file changed between check and apply",
    {},
    { remedy: "run `pulumi up` again", ...(property === undefined ? {} : { property }) },
  );
}

/** So few are sent unasked: to ask which of them the host lacks would take as long as to send them. */
const UNASKED_BYTES = 32 << 10;

/** Between two lines about what is on its way. */
const SILENT_MS = 2_000;

/** Sends what the host lacks. */
export async function putBlobs(
  session: AgentSession,
  blobs: Map<string, Uint8Array>,
  call: Call,
  report: (message: string) => void,
): Promise<void> {
  if (blobs.size === 0) return;
  const digests = [...blobs.keys()];
  const missing =
    sizeOf(digests, blobs) <= UNASKED_BYTES ? digests : await session.call("blob.has", { digests });
  const total = sizeOf(missing, blobs);
  let sent = 0;
  const timer = setInterval(
    () => report(`${megabytes(sent)} of ${megabytes(total)} MB sent to ${session.host}`),
    SILENT_MS,
  );
  try {
    for (const batch of batches(missing, blobs)) {
      await session.call("blob.put", { blobs: Object.fromEntries(batch) }, during(call));
      sent += batch.reduce((sum, [, bytes]) => sum + bytes.length, 0);
    }
  } finally {
    clearInterval(timer);
  }
}

function* batches(digests: string[], blobs: Map<string, Uint8Array>): Generator<[string, Uint8Array][]> {
  let batch: [string, Uint8Array][] = [];
  let size = 0;
  for (const digest of digests) {
    const bytes = blobs.get(digest)!;
    if (batch.length > 0 && size + bytes.length > BATCH_BYTES) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push([digest, bytes]);
    size += bytes.length;
  }
  if (batch.length > 0) yield batch;
}

function sizeOf(digests: string[], blobs: Map<string, Uint8Array>): number {
  return digests.reduce((sum, digest) => sum + blobs.get(digest)!.length, 0);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
