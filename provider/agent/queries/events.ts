/**
 * Sampled verdicts, from the ring buffers that planes write them to. A session reads what is judged after it began to; what
 * lay there before is dropped, since a ring that nobody reads keeps its oldest events and refuses new ones.
 *
 * Owns: which rings are read, and by one session only: what one takes, another does not see. Does not own: names of what
 * the events tell (event-facts.ts).
 */
import { setTimeout as wait } from "node:timers/promises";
import { type Descriptor, RingBuffer, tryLockDirectory } from "../../bpf";
import { EbpfError } from "../../errors";
import type { SshFlow } from "../../protocol/messages";
import type { EventsParams, EventsResult } from "../../protocol/policy";
import type { Host } from "../host";
import { specDirectory } from "../layout";
import { type PlaneRecord, planeRecords } from "../network-policy/plane-spec";
import { type Handles, withHandles } from "../reconcile/handles";
import { sshFlow } from "../ssh-flow";
import { decodeEvent, eventFacts, isAfter, isOf } from "./event-facts";
import { planeMap } from "./policies";

/** How long an answer waits for events, how often it looks, and how many it brings of each ring. */
const PATIENCE_MS = 1000;
const LOOK_MS = 50;
const MOST = 1000;
/** Of a record in a ring, its header included. */
const LEAST_BYTES = 16;

interface Source {
  mapId: number;
  ring: RingBuffer;
  /** On the directory of the plane's pins, which stays over its revisions. */
  lock: Descriptor;
}

interface Reader {
  /** CLOCK_MONOTONIC in ns. */
  since: bigint;
  /** The connection that the events travel by. */
  own: SshFlow | null;
  /** By id of the plane's Spec. */
  sources: Map<string, Source>;
}

const readers = new WeakMap<Host, Reader>();

export async function readEvents(
  host: Host,
  { policy }: EventsParams,
  signal: AbortSignal,
): Promise<EventsResult> {
  const known = readers.get(host);
  const reader = known ?? {
    since: process.hrtime.bigint(),
    own: sshFlow(host.sshConnection ?? ""),
    sources: new Map<string, Source>(),
  };
  readers.set(host, reader);
  const planes = sampledPlanes(host, policy);
  let records = await withHandles((handles) => openRings(host, reader, planes, handles));
  const sampled = planes.map(({ spec: { plane } }) => {
    const { interfaces, netns, sampleRate } = plane;
    return { interfaces, ...(netns === undefined ? {} : { netns }), sampleRate };
  });
  // the first answer tells that it is read from now on
  const deadline = performance.now() + (known === undefined ? 0 : PATIENCE_MS);
  for (;;) {
    const events = records
      .map(decodeEvent)
      .filter((event) => isAfter(event, reader.since) && !isOf(event, reader.own));
    const facts = eventFacts(host, policy, events);
    if (facts.length > 0 || signal.aborted || performance.now() >= deadline)
      return { sampled, events: facts };
    await wait(LOOK_MS);
    records = [...reader.sources.values()].flatMap(({ ring }) => ring.take(MOST));
  }
}

/** At the end of the session. */
export function endEvents(host: Host): void {
  const { sources } = readers.get(host) ?? {};
  readers.delete(host);
  for (const source of sources?.values() ?? []) close(source);
  sources?.clear();
}

function close({ ring, lock }: Source): void {
  ring.close();
  lock.close();
}

/**
 * Opens rings that have come, and closes those that have gone: a plane that is loaded anew may have another one. Takes
 * all that lies in one that it opens, so that it has room.
 */
function openRings(host: Host, { sources }: Reader, planes: PlaneRecord[], handles: Handles): Buffer[] {
  const maps = new Map(planes.map((plane) => [plane.id, planeMap(host, plane, "events", handles)]));
  for (const [id, source] of sources) {
    if (maps.get(id)?.info().id === source.mapId) continue;
    close(source);
    sources.delete(id);
  }
  return planes.flatMap((plane) => {
    if (sources.has(plane.id)) return [];
    const map = maps.get(plane.id)!;
    const { id: mapId, maxEntries: bytes } = map.info();
    const lock = lockOf(host, plane);
    try {
      const ring = new RingBuffer(map);
      sources.set(plane.id, { mapId, ring, lock });
      return ring.take(bytes / LEAST_BYTES);
    } catch (error) {
      lock.close();
      throw error;
    }
  });
}

function lockOf(host: Host, { id, spec: { plane } }: PlaneRecord): Descriptor {
  const directory = specDirectory(host.roots, id);
  const lock = tryLockDirectory(directory);
  if (lock !== undefined) return lock;
  throw new EbpfError(
    "locked",
    `read events of ${plane.interfaces.join(", ")}: somebody reads them already, and each goes to one reader only`,
    { holder: "another reader" },
    { remedy: `end the other \`policy events\`; on the host \`fuser -v ${directory}\` names its process` },
  );
}

function sampledPlanes(host: Host, policy: string | undefined): PlaneRecord[] {
  const judging = planeRecords(host).filter(
    ({ spec: { plane } }) => policy === undefined || plane.policies.includes(policy),
  );
  const sampled = judging.filter(({ spec: { plane } }) => plane.sampleRate > 0);
  if (sampled.length > 0) return sampled;
  const name = policy ?? "any policy";
  throw judging.length === 0
    ? new EbpfError(
        "not-found",
        `read events: ${policy === undefined ? "no policy judges there" : `${policy} judges nothing there`}`,
        { what: "policy", name },
        { remedy: "`pulumi-ebpf policy show` lists what is judged" },
      )
    : new EbpfError(
        "not-found",
        "read events: no packets are sampled there",
        { what: "sampled policy", name },
        { remedy: "give a policy there a `sampleRate`, 1 for every packet, and run `pulumi up`" },
      );
}
