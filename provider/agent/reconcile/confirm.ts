/**
 * confirm: a change that goes back by itself unless somebody says in time, over a connection made after it, that it may
 * stay. What waits is marked in the Record; the clock is a process of its own (revert-timer.ts).
 *
 * That process can be killed; a later start of the agent at boot, or the next apply, then finds the mark. A network
 * policy has its deadline in the kernel besides (../network-policy).
 */
import { EbpfError } from "../../errors";
import type { ConfirmParams, ConfirmResult } from "../../protocol/messages";
import type { Host } from "../host";
import { confirmPlanes } from "../network-policy/waiting";
import type { Report } from "./map-contents";
import { rollBack } from "./roll-back";
import { isOver, stopClock } from "./unconfirmed";

/** The caller holds the host's lock. */
export function confirm(host: Host, { id, incarnation, specDigest }: ConfirmParams): ConfirmResult {
  const refused = (reason: string): ConfirmResult => ({ confirmed: false, reason });
  const record = host.records.read(id);
  if (record === null) return refused("it is not on this host");
  if (record.incarnation !== incarnation || record.specDigest !== specDigest) {
    const { wentBackAt } = record;
    return refused(
      wentBackAt === undefined ? "the host holds another version of it" : `it went back at ${wentBackAt}`,
    );
  }
  const { unconfirmed, ...confirmed } = record;
  if (unconfirmed === undefined) return { confirmed: true };
  if (isOver(record)) return refused(`its time was over at ${unconfirmed.until}`);
  if (record.spec.policy !== undefined || record.spec.addressSet !== undefined) confirmPlanes(host, id);
  host.records.write(confirmed);
  stopClock(record);
  return { confirmed: true };
}

/**
 * Back to what was before an unconfirmed change, if its time is over (`boot`: in any case). False where nothing was to be
 * done. Fails as rollBack does; the Record then says why. The caller holds the host's lock.
 */
export async function goBack(host: Host, id: string, report: Report, boot = false): Promise<boolean> {
  const record = host.records.read(id);
  if (record?.unconfirmed === undefined || !(boot || isOver(record))) return false;
  const { incarnation, specDigest, unconfirmed } = record;
  try {
    const { rolledBack, reason } = await rollBack(host, { id, incarnation, specDigest }, report);
    if (!rolledBack) throw new EbpfError("internal", `take ${id} back: ${reason}`, {});
  } catch (error) {
    const obstacle = EbpfError.from(error).message;
    host.records.write({ ...record, unconfirmed: { ...unconfirmed, obstacle } });
    throw error;
  }
  const back = host.records.read(id);
  if (back !== null) host.records.write({ ...back, wentBackAt: new Date().toISOString() });
  return true;
}
