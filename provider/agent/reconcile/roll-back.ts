/** rollBack: the generation before the last apply once more, or nothing where there was none. */
import type { RollBackParams, RollBackResult } from "../../protocol/messages";
import type { Host } from "../host";
import { apply } from "./apply";
import type { Report } from "./map-contents";
import { remove } from "./remove";

/** The caller holds the host's lock. Fails as apply and remove do, and then has changed nothing. */
export async function rollBack(
  host: Host,
  { id, incarnation, specDigest }: RollBackParams,
  report: Report,
): Promise<RollBackResult> {
  const record = host.records.read(id);
  if (record === null) return { rolledBack: false, reason: "it is not on this host" };
  if (record.incarnation !== incarnation || record.specDigest !== specDigest) {
    return { rolledBack: false, reason: "the host holds another version of it" };
  }
  const { previous } = record;
  if (previous === undefined) {
    return { rolledBack: false, reason: "the host has kept no earlier version of it" };
  }
  if (previous === null) {
    await remove(host, { id, incarnation }, report);
    return { rolledBack: true };
  }
  const status = await apply(host, { ...previous, incarnation }, report);
  return { rolledBack: true, restored: { status, inputs: previous.inputs } };
}
