/**
 * What the Record says of a change that waits to be confirmed, and its clock. Does not own: confirming, going back
 * (confirm.ts).
 */
import type { ApplyParams } from "../../protocol/messages";
import type { DriftItem } from "../../protocol/status";
import type { Record } from "../records";
import { type RevertTimer, armRevertTimer, stopRevertTimer } from "../revert-timer";

/** Arms the clock where the apply has to be confirmed: what stands confirmed already needs no more. */
export async function timerFor(
  record: Record | null,
  specDigest: string,
  { spec, confirm }: ApplyParams,
): Promise<RevertTimer | undefined> {
  if (confirm === undefined) return undefined;
  if (record?.specDigest === specDigest && record.unconfirmed === undefined) return undefined;
  return armRevertTimer(spec.id, confirm.withinSeconds);
}

/** What the Record says while it waits; the time runs from the commit on, see startClock. */
export function markOf(
  timer: RevertTimer | undefined,
  { confirm }: ApplyParams,
): Pick<Record, "unconfirmed"> {
  if (timer === undefined || confirm === undefined) return {};
  return { unconfirmed: { ...confirm, until: "", timer: timer.id } };
}

export function startClock({ unconfirmed }: Record): void {
  if (unconfirmed === undefined) return;
  unconfirmed.until = new Date(Date.now() + unconfirmed.withinSeconds * 1000).toISOString();
}

/** The clock of a change that another one took the place of. */
export function stopClock(record: Record | null): void {
  if (record?.unconfirmed !== undefined) stopRevertTimer(record.unconfirmed.timer, record.id);
}

export function isOver({ unconfirmed }: Record): boolean {
  return unconfirmed !== undefined && Date.parse(unconfirmed.until) <= Date.now();
}

/** What observe says of it; a change that waits within its time is no drift. */
export function confirmDrift(record: Record): DriftItem[] {
  const { unconfirmed, wentBackAt } = record;
  const item = (message: string): DriftItem[] => [{ code: "unconfirmed", part: "", message }];
  if (wentBackAt !== undefined) return item(`went back at ${wentBackAt}: not confirmed`);
  if (unconfirmed === undefined || !isOver(record)) return [];
  const { until, obstacle } = unconfirmed;
  const why = obstacle === undefined ? "" : `: ${obstacle}`;
  return item(`was not confirmed until ${until}, and has not gone back${why}`);
}
