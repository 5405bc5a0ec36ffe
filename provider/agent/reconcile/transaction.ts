/**
 * Carrying out actions under an intent. Up to `store-record` an error undoes all in reverse; after it nothing is
 * undone, and what is left to clean up is left to the next verb.
 */
import { EbpfError } from "../../errors";
import type { Host } from "../host";
import type { Action } from "./actions";
import { injectFault } from "./fault";
import { type Handles, withHandles } from "./handles";
import { type Intent, clearIntent, readIntent, writeIntent } from "./intent";
import { type Work, perform } from "./perform";
import { type Retreat, undo } from "./undo";

export async function transact(work: Work, intent: Intent): Promise<void> {
  const { host, id } = work;
  const commit = intent.actions.findIndex(({ type }) => type === "store-record" || type === "delete-record");
  writeIntent(host.roots, intent);
  for (const [index, action] of intent.actions.entries()) {
    try {
      injectFault(intent.verb, index, action.type, "before");
      await perform(work, action);
      injectFault(intent.verb, index, action.type, "after");
    } catch (error) {
      // once renamed into place the Record is the truth, even if its fsync failed
      if (index > commit || (index === commit && host.records.read(id)?.revision === intent.to)) {
        work.notes.push(`cleaning up is left to the next operation: ${EbpfError.from(error).message}`);
        return;
      }
      // a removal goes forward only: its intent makes the next verb finish it
      if (intent.verb === "remove") throw error;
      const retreat = { host, handles: work.handles, id, revision: intent.to, prior: work.prior };
      await takeBack(retreat, intent, intent.actions.slice(0, index + 1), error).catch((undoing: unknown) => {
        if (EbpfError.is(undoing, "mixed")) throw undoing;
        // the intent stays, so the next verb goes on undoing; what failed first is what the user must know
        const reason = `not all could be taken back yet: ${EbpfError.from(undoing).message}`;
        throw EbpfError.from(error).with({ problems: [{ property: "", reason }] });
      });
      throw error;
    }
  }
  clearIntent(host.roots, id);
}

/** Undoes in reverse. Fails with `mixed`, and keeps the intent, where a link could not be set back. */
export async function takeBack(
  retreat: Retreat,
  intent: Intent,
  actions: Action[],
  cause?: unknown,
): Promise<void> {
  const stuck: string[] = [];
  for (const action of [...actions].reverse()) {
    // both revisions stay pinned as long as one link runs the new program
    if (stuck.length > 0 && (action.type === "make-directory" || action.type.startsWith("pin-"))) continue;
    const link = await undo(retreat, action);
    if (link !== null) stuck.push(link);
  }
  if (stuck.length === 0) return clearIntent(retreat.host.roots, retreat.id);
  const exchanged = actions.flatMap((action) =>
    action.type === "exchange-program" ? [`${action.place.part} of ${action.place.spec}`] : [],
  );
  const mixed = { old: exchanged.filter((link) => !stuck.includes(link)), new: stuck };
  writeIntent(retreat.host.roots, { ...intent, mixed });
  throw new EbpfError(
    "mixed",
    `undo apply of ${retreat.id}: ${stuck.join(", ")} could not be set back`,
    mixed,
    {
      ...(cause === undefined ? {} : { cause }),
      remedy: "apply again: it brings all links to the new revision",
    },
  );
}

/**
 * Ends what a verb that died left half done: an apply before its commit point is undone, a later one and a removal
 * are finished. False when there was nothing to end. Never fails because of what it could not set back: the intent stays, the next apply resolves it.
 */
export async function recover(host: Host, id: string, finishRemoval: () => Promise<void>): Promise<boolean> {
  const intent = readIntent(host.roots, id);
  if (intent === null) return false;
  if (intent.verb === "remove") {
    await finishRemoval();
    return true;
  }
  const record = host.records.read(id);
  if (record?.revision === intent.to) {
    await finishApply(host, intent);
    return true;
  }
  await withHandles(async (handles: Handles) => {
    try {
      await takeBack({ host, handles, id, revision: intent.to }, intent, intent.actions);
    } catch (error) {
      if (!EbpfError.is(error, "mixed")) throw error;
    }
  });
  return true;
}

/** The actions behind the commit point, once more: each is content to find its work done. */
async function finishApply(host: Host, intent: Intent): Promise<void> {
  const { id } = intent;
  const commit = intent.actions.findIndex(({ type }) => type === "store-record");
  await withHandles(async (handles) => {
    const work: Work = {
      host,
      handles,
      id,
      record: host.records.read(id),
      revision: intent.to,
      changes: new Map(),
      prior: new Map(),
      snapshots: new Map(),
      notes: [],
      report: () => undefined,
    };
    for (const action of intent.actions.slice(commit + 1)) await perform(work, action);
  });
  clearIntent(host.roots, id);
}
