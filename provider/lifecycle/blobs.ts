/** The bytes that a Spec names by sha256, on their way to a host. */
import { EbpfError } from "../errors";
import type { ParamsOf } from "../protocol/messages";
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

/** So few go along with the verb: to ask which of them the host lacks would take as long as to send them. */
const CARRIED_BYTES = 32 << 10;

/** Between two lines about what is on its way. */
const SILENT_MS = 2_000;

/** Of blobs, those that the host lacks; all of them where it is not worth asking. */
export async function lackingBlobs(
  session: AgentSession,
  blobs: Map<string, Uint8Array>,
): Promise<Map<string, Uint8Array>> {
  if (sizeOf(blobs) <= CARRIED_BYTES) return blobs;
  const missing = await session.call("blob.has", { digests: [...blobs.keys()] });
  return new Map(missing.map((digest) => [digest, blobs.get(digest)!]));
}

/** Sends what the host lacks; gives what is so little that the apply carries it. */
export async function putBlobs(
  session: AgentSession,
  blobs: Map<string, Uint8Array>,
  call: Call,
  report: (message: string) => void,
): Promise<Pick<ParamsOf<"apply">, "blobs">> {
  const lacking = await lackingBlobs(session, blobs);
  const total = sizeOf(lacking);
  if (lacking.size === 0) return {};
  if (total <= CARRIED_BYTES) return { blobs: Object.fromEntries(lacking) };
  let sent = 0;
  const timer = setInterval(
    () => report(`${megabytes(sent)} of ${megabytes(total)} MB sent to ${session.host}`),
    SILENT_MS,
  );
  try {
    for (const batch of batches(lacking)) {
      await session.call("blob.put", { blobs: Object.fromEntries(batch) }, during(call));
      sent += batch.reduce((sum, [, bytes]) => sum + bytes.length, 0);
    }
  } finally {
    clearInterval(timer);
  }
  return {};
}

function* batches(blobs: Map<string, Uint8Array>): Generator<[string, Uint8Array][]> {
  let batch: [string, Uint8Array][] = [];
  let size = 0;
  for (const [digest, bytes] of blobs) {
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

function sizeOf(blobs: Map<string, Uint8Array>): number {
  return [...blobs.values()].reduce((sum, bytes) => sum + bytes.length, 0);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
