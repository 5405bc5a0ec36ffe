/** plan: what apply would do. Loads programs to hear the verifier, pins and writes nothing. */
import { EbpfError } from "../errors";
import type { PlanParams, PlanResult } from "../protocol/messages";
import { digestOf } from "../protocol/spec";
import { explain } from "./explain";
import type { Host } from "./host";
import type { GuardContext } from "./network-policy/guard";
import { withHandles } from "./reconcile/handles";
import { prepare } from "./reconcile/prepare";

export function plan(host: Host, { spec, blobs }: PlanParams, guard?: GuardContext): Promise<PlanResult> {
  for (const [digest, bytes] of Object.entries(blobs)) {
    const actual = digestOf(bytes);
    if (actual !== digest) {
      throw new EbpfError("transport", `plan ${spec.id}: blob ${digest} has sha256 ${actual}`, {
        phase: "protocol",
      });
    }
  }
  host.references.refresh();
  return withHandles(async (handles) => {
    const readBlob = (digest: string) => {
      const sent = blobs[digest];
      return sent === undefined ? host.blobs.read(digest) : Buffer.from(sent);
    };
    const record = host.records.read(spec.id);
    const preparation = await prepare({
      host,
      handles,
      spec,
      record,
      dry: true,
      readBlob,
      report: () => undefined,
      guard,
    });
    const programs: PlanResult["programs"] = {};
    for (const [name, { handle }] of preparation.programs) {
      const { verifiedInstructions, jitedBytes } = handle.info();
      programs[name] = { verifiedInstructions, jitedBytes };
    }
    const { words, notes, warnings, problems, swappedLinks } = preparation;
    return {
      changes: words,
      warnings: [...warnings, ...notes.map((message) => ({ message }))],
      problems: problems.map((problem) => explain(problem).toWire()),
      programs,
      swappedLinks,
    };
  });
}
