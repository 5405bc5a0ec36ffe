/**
 * Confirm: a change counts once a connection that is newer than it has said so. Where none comes to stand in time the
 * host goes back by itself; then it is waited for, and asked what it holds.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { EbpfError } from "../errors";
import type { ObserveResult } from "../protocol/messages";
import { digestOf, type Spec } from "../protocol/spec";
import { parseSpecId } from "../protocol/spec-id";
import type { Status } from "../protocol/status";
import type { Confirm } from "../resources/confirm";
import type { CommonInputs } from "../resources/resource";
import { hostLabel } from "../transport/connection";
import type { AgentSession } from "../transport/session";
import { during } from "./call";
import type { Tools } from "./apply";
import { observeTogether } from "./observe-together";

/** How long a host may take to go back: it waits for its lock, and may have many rows to write. */
const GOING_BACK_MS = 60_000;
const PAUSE_MS = 500;

export interface Change {
  inputs: CommonInputs;
  spec: Spec;
  incarnation: string;
  confirm: Confirm;
}

/**
 * The Status that `applying` answers, once it is confirmed. Fails with `unconfirmed`, saying whether the host went back,
 * or as apply does when nothing was changed.
 */
export async function confirmed(tools: Tools, change: Change, applying: Promise<Status>): Promise<Status> {
  let status: Status | undefined;
  let answeredAt: number | undefined;
  try {
    status = await applying;
    answeredAt = Date.now();
    if (status.revertsAt === undefined) return status;
    await confirm(tools, change);
    const { revertsAt: _waits, ...stays } = status;
    return stays;
  } catch (thrown) {
    const error = EbpfError.from(thrown);
    const lost = EbpfError.is(error, "transport") && error.details.phase === "closed";
    if (status === undefined && !lost) throw error;
    // the host's time began before; counted from here it is never over too early
    return settle(tools, change, error, (answeredAt ?? Date.now()) + change.confirm.withinSeconds * 1000);
  }
}

async function confirm(
  { openAnew, call }: Tools,
  { inputs, spec, incarnation, confirm }: Change,
): Promise<void> {
  const { withinSeconds } = confirm;
  if (call.signal?.aborted) throw new EbpfError("cancelled", "confirm: cancelled", {});
  const abort = new AbortController();
  const end = (): void => abort.abort();
  const timer = setTimeout(end, withinSeconds * 1000);
  call.signal?.addEventListener("abort", end, { once: true });
  let session: AgentSession | undefined;
  try {
    session = await openAnew(inputs, abort.signal);
    const params = { id: spec.id, incarnation, specDigest: digestOf(spec) };
    const { confirmed, reason } = await session.call("confirm", params, { signal: abort.signal });
    if (!confirmed) throw new EbpfError("conflict", reason ?? "the host refused", {});
  } catch (thrown) {
    if (!EbpfError.is(thrown, "cancelled") || call.signal?.aborted) throw thrown;
    throw new EbpfError("transport", `no new connection in ${withinSeconds} s`, { phase: "dial" });
  } finally {
    clearTimeout(timer);
    call.signal?.removeEventListener("abort", end);
    session?.release();
  }
}

/** Waits until the host has gone back, if it has; returns the Status if the change stands after all. */
async function settle(tools: Tools, change: Change, cause: EbpfError, deadline: number): Promise<Status> {
  const { inputs, spec } = change;
  const { report, signal } = tools.call;
  const { name } = parseSpecId(spec.id);
  const host = hostLabel(inputs.connection);
  const at = new Date(deadline).toISOString();
  report(`${name}: on ${host}: not confirmed (${cause.message}): goes back by ${at}`, "warning");
  await sleep(Math.max(0, deadline - Date.now()), undefined, during({ signal })).catch(() => undefined);
  if (signal?.aborted) throw unconfirmed(cause, `it goes back by ${at}, which was not waited for`, false);
  for (;;) {
    const observed = await look(tools, change).catch((thrown: unknown) => {
      const { message } = EbpfError.from(thrown);
      throw unconfirmed(cause, `it was to go back by ${at}; ${host} cannot be asked: ${message}`, false);
    });
    if (observed === null) throw unconfirmed(cause, "it was taken away again", true);
    const { status } = observed;
    if (status.specDigest !== digestOf(spec)) {
      throw unconfirmed(cause, "the host went back to what it had before", true);
    }
    if (status.revertsAt === undefined) return status;
    if (Date.now() > deadline + GOING_BACK_MS) {
      const why = status.drift.map(({ message }) => message).join("; ");
      throw unconfirmed(cause, why === "" ? `it was to go back by ${at}, and has not` : why, false);
    }
    await sleep(PAUSE_MS);
  }
}

async function look({ openAnew, call }: Tools, { inputs, spec }: Change): Promise<ObserveResult | null> {
  const session = await openAnew(inputs, call.signal);
  try {
    return await observeTogether(session, spec.id, call);
  } finally {
    session.release();
  }
}

function unconfirmed(cause: EbpfError, outcome: string, wentBack: boolean): EbpfError {
  return new EbpfError(
    "unconfirmed",
    `not confirmed: ${cause.message}; ${outcome}`,
    { wentBack },
    {
      property: "confirm",
      cause,
      ...(wentBack && {
        remedy: "see that new SSH connections come through after the change, or raise withinSeconds",
      }),
    },
  );
}
