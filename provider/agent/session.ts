/**
 * One session: the verbs as handlers, to be served over RPC or called in process.
 *
 * Owns: lock, recovery and cleaning up around each mutating verb. Does not own: what a verb does (plan.ts,
 * reconcile/, probe.ts, restore.ts).
 */
import os from "node:os";
import { EbpfError } from "../errors";
import {
  PROTOCOL_VERSION,
  type ApplyParams,
  type HelloResult,
  type ObserveAnswer,
  type RemoveParams,
  type RollBackParams,
  type RollBackResult,
  type TestRunParams,
} from "../protocol/messages";
import type { CallContext, Handlers } from "../protocol/rpc";
import type { Spec } from "../protocol/spec";
import type { Status } from "../protocol/status";
import { explain } from "./explain";
import type { Host } from "./host";
import { bundleDigest } from "./layout";
import type { Held } from "./lock";
import { isDerived } from "./network-policy/derived";
import type { GuardContext } from "./network-policy/guard";
import { endRehearsals } from "./network-policy/rehearsal";
import { plan } from "./plan";
import { probe } from "./probe";
import { readEntries } from "./queries/entries";
import { queryHook } from "./queries/hook";
import { showMap } from "./queries/map";
import { endEvents, readEvents } from "./queries/events";
import { showFlows } from "./queries/flows";
import { explainPacket, showPolicies } from "./queries/policies";
import { showProgram } from "./queries/program";
import { apply } from "./reconcile/apply";
import { confirm, goBack } from "./reconcile/confirm";
import { withHandles } from "./reconcile/handles";
import type { Report } from "./reconcile/map-contents";
import { momentOf, observe } from "./reconcile/observe";
import { finishRemoval, remove, takeOff } from "./reconcile/remove";
import { openProgram } from "./reconcile/resolve";
import { rollBack } from "./reconcile/roll-back";
import { recover } from "./reconcile/transaction";
import { stopClock } from "./reconcile/unconfirmed";
import { referencesOf } from "./references";
import { restore } from "./restore";
import { runCommand } from "./run";
import { sshFlow } from "./ssh-flow";

export interface Session {
  handlers: Handlers;
  /** At the deadline of a change: back to what was before it, unless it was confirmed. */
  goBack(id: string): Promise<void>;
  /** At the end of the connection: what was sent but never applied goes. */
  close(): Promise<void>;
}

export function openSession(host: Host): Session {
  const handlers: Handlers = {
    hello: (params) => {
      host.sshConnection = params.sshConnection ?? "";
      return hello(host, params.protocol);
    },
    "session.flow": () => sshFlow(host.sshConnection ?? ""),
    plan: (params) => plan(host, params, guardContext(host, params)),
    apply: async ({ blobs, ...params }, context) => {
      if (blobs !== undefined) await putBlobs(host, blobs);
      return applyAlone(host, params, context);
    },
    confirm: (params, context) => alone(host, "apply", params.id, context, () => confirm(host, params)),
    observe: ({ ids }) => observeEach(host, ids),
    remove: (params, context) => removeAlone(host, params, context),
    rollBack: (params, context) => rollBackAlone(host, params, context),
    run: (params, { signal }) => runCommand(params, signal),
    list: () => host.records.list().filter(({ id }) => !isDerived(id)),
    "blob.has": ({ digests }) => host.blobs.missing(digests),
    "blob.put": async ({ blobs }) => {
      await putBlobs(host, blobs);
      return null;
    },
    "blob.get": ({ digests }) =>
      Object.fromEntries(digests.map((digest) => [digest, host.blobs.read(digest)])),
    probe: () => probe(host),
    testRun: (params) => testRun(host, params),
    restore: ({ ids }, context) =>
      restore(host, ids, {
        apply: (params) => applyAlone(host, params, context, "restore"),
        goBack: (id) => goBackAlone(host, id, context, true),
      }),
    "program.show": ({ program }) => showProgram(host, program),
    "map.show": ({ map }) => showMap(host, map),
    "entries.read": (params) => readEntries(host, params),
    "hook.query": (place) => queryHook(host, place),
    "policy.show": (params) => showPolicies(host, params),
    "policy.flows": (params) => showFlows(host, params),
    "policy.events": (params, { signal }) => readEvents(host, params, signal),
    "policy.explain": (params) => explainPacket(host, params),
  };
  return {
    handlers: explained(handlers),
    goBack: async (id) => void (await goBackAlone(host, id, silent)),
    close: () => close(host),
  };
}

/** A call that nobody listens to. */
export const silent: CallContext = { signal: new AbortController().signal, progress: () => undefined };

/** Each error leaves in a code that a user can act on. */
function explained(handlers: Handlers): Handlers {
  const wrap =
    (handler: (params: never, context: CallContext) => unknown) =>
    async (params: never, context: CallContext) => {
      try {
        return await handler(params, context);
      } catch (error) {
        throw explain(error);
      }
    };
  return Object.fromEntries(
    Object.entries(handlers).map(([verb, handler]) => [verb, wrap(handler)]),
  ) as unknown as Handlers;
}

export function agentDigest(): string {
  return bundleDigest(__dirname) ?? "development";
}

function hello(host: Host, protocol: number): HelloResult {
  if (protocol !== PROTOCOL_VERSION) {
    throw new EbpfError(
      "transport",
      `greet the agent: it speaks protocol ${PROTOCOL_VERSION}, the operator's side speaks ${protocol}`,
      { phase: "protocol" },
      { remedy: "let the provider deliver its own agent to the host" },
    );
  }
  return {
    protocol: PROTOCOL_VERSION,
    agent: agentDigest(),
    pid: process.pid,
    kernel: host.kernel,
    architecture: os.arch() === "arm64" ? "arm64" : "x64",
    bootId: host.bootId,
  };
}

async function observeEach(host: Host, ids: readonly string[]): Promise<ObserveAnswer[]> {
  const moment = momentOf(host);
  const answers: ObserveAnswer[] = [];
  for (const id of ids) {
    answers.push(await observe(host, id, moment).catch((error) => ({ error: explain(error).toWire() })));
  }
  return answers;
}

async function putBlobs(host: Host, blobs: Record<string, Uint8Array>): Promise<void> {
  host.prepare();
  await host.blobs.put(blobs);
}

function applyAlone(
  host: Host,
  params: ApplyParams,
  context: CallContext,
  verb: "apply" | "restore" = "apply",
): Promise<Status> {
  const { id } = params.spec;
  return alone(host, verb, id, context, async (held, report) => {
    const before = host.records.read(id);
    const guard = verb === "apply" ? guardContext(host, params) : undefined;
    const status = await apply(host, params, report, guard);
    const after = host.records.read(id);
    if (before === null || after === null || before.appliedAt !== after.appliedAt)
      host.references.update(id, after, held.sequence);
    stopClock(before);
    host.blobs.release(referencesOf(params.spec, host.blobs).blobs);
    if (before !== null && before.specDigest !== status.specDigest) collectBlobs(host);
    return status;
  });
}

/** An operator's own change must not cut the operator off. */
function guardContext(
  { sshConnection }: Host,
  { spec, confirm }: { spec: Spec | undefined; confirm?: ApplyParams["confirm"] },
): GuardContext | undefined {
  if (sshConnection === undefined || (spec?.policy ?? spec?.addressSet) === undefined) return undefined;
  return { flow: sshFlow(sshConnection), confirm: confirm !== undefined };
}

function removeAlone(host: Host, params: RemoveParams, context: CallContext) {
  return alone(host, "remove", params.id, context, async (held, report) => {
    const before = host.records.read(params.id);
    const result = await remove(host, params, report, guardContext(host, { spec: before?.spec }));
    if (result.removed) {
      stopClock(before);
      host.references.update(params.id, host.records.read(params.id), held.sequence);
      // what only it referred to may have waited to go too
      for (let next = host.references.nextLeaving(); next; next = host.references.nextLeaving()) {
        const record = host.records.read(next.id);
        if (record !== null) await takeOff(host, record, report);
        host.references.update(next.id, null, held.sequence);
      }
      collectBlobs(host);
    } else if (params.whenUnused === true) {
      host.references.update(params.id, host.records.read(params.id), held.sequence);
    }
    return result;
  });
}

function rollBackAlone(host: Host, params: RollBackParams, context: CallContext): Promise<RollBackResult> {
  return alone(host, "apply", params.id, context, async (held, report) => {
    const before = host.records.read(params.id);
    const result = await rollBack(host, params, report);
    if (result.rolledBack) {
      stopClock(before);
      host.references.update(params.id, host.records.read(params.id), held.sequence);
      collectBlobs(host);
    }
    return result;
  });
}

function goBackAlone(host: Host, id: string, context: CallContext, boot = false): Promise<boolean> {
  return alone(host, boot ? "restore" : "apply", id, context, async (held, report) => {
    const went = await goBack(host, id, report, boot);
    if (went) {
      host.references.update(id, host.records.read(id), held.sequence);
      collectBlobs(host);
    }
    return went;
  });
}

async function close(host: Host): Promise<void> {
  endRehearsals(host);
  endEvents(host);
  if (!host.blobs.releaseAll()) return;
  await host.lock.run("blob.collect", [], () => collectBlobs(host));
}

function collectBlobs(host: Host): void {
  const named = host.references.namedBlobs();
  if (named !== null) host.blobs.collect(named);
}

/** Under the lock, after what an interrupted verb left was ended. */
function alone<T>(
  host: Host,
  verb: "apply" | "remove" | "restore",
  id: string,
  { signal, progress }: CallContext,
  work: (held: Held, report: Report) => Promise<T> | T,
): Promise<T> {
  if (isDerived(id)) {
    throw new EbpfError(
      "invalid",
      `${verb} ${id}: it is derived from network policies`,
      {},
      {
        remedy: "change the policies that it follows from",
      },
    );
  }
  host.prepare();
  const report: Report = (message, done, total) => {
    progress({ id, message, done, total });
    if (signal.aborted) throw new EbpfError("cancelled", `${verb} ${id}: cancelled`, {});
  };
  return host.lock.run(
    verb,
    [id],
    async (held) => {
      if (signal.aborted) throw new EbpfError("cancelled", `${verb} ${id}: cancelled`, {});
      host.references.refresh(held.sequence);
      const end = async (interrupted: string): Promise<void> => {
        const ended = await recover(host, interrupted, () => finishRemoval(host, interrupted, report));
        if (!ended) return;
        host.references.update(interrupted, host.records.read(interrupted), held.sequence);
        collectBlobs(host);
      };
      for (const interrupted of held.interrupted) {
        // what of another Spec cannot be ended is told when that Spec's turn comes
        if (interrupted !== id) await end(interrupted).catch(() => undefined);
      }
      await end(id);
      return work(held, report);
    },
    signal,
  );
}

function testRun(host: Host, { spec, entrypoint, data, repeat }: TestRunParams) {
  return withHandles((handles) => {
    const { program } = openProgram(host, { spec, entrypoint }, handles);
    const { returnValue, data: out, durationNs } = program.testRun({ data, repeat });
    return { returnValue, data: out, durationNs };
  });
}
