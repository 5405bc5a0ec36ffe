/** Preview: the outputs of a create or update before it happens, and whether the host would refuse it. */
import { type EbpfError, invalid } from "../errors";
import type { PlanResult } from "../protocol/messages";
import { parseSpecId } from "../protocol/spec-id";
import type { CommonInputs, ResourceDefinition } from "../resources/resource";
import { UNKNOWN } from "../resources/unknown";
import type { OpenSources } from "../sources/source";
import type { Connection } from "../transport/connection";
import { verifyUnchanged } from "./blobs";
import type { Call } from "./call";
import { withDefaults } from "./defaults";
import type { Planner } from "./plan";
import type { Properties } from "./state";
import { unknownPaths } from "./unknowns";

export interface PreviewTools {
  openSources: OpenSources;
  /** Absent: no host is asked. */
  planner?: Planner;
  /** With the credentials of the moment. */
  reach(connection: Connection): Connection;
  call: Call;
}

/**
 * `incarnation` is that of the state, undefined for what is yet to be created. Asks the host only when all inputs are
 * known. Fails with `invalid` and every reason for which an apply would fail there.
 */
export async function previewOutputs(
  { openSources, planner, reach, call }: PreviewTools,
  definition: ResourceDefinition,
  incarnation: string | undefined,
  inputs: Properties,
): Promise<Properties> {
  const common = { ...inputs, incarnation: incarnation ?? UNKNOWN, drift: [] };
  if (unknownPaths(inputs).length > 0) return { ...definition.preview(undefined, undefined), ...common };

  const checked = withDefaults(definition, inputs) as CommonInputs & Properties;
  let plan: PlanResult | undefined;
  if (planner !== undefined) {
    const spec = definition.compile(checked);
    const sources = await openSources(definition.sources(checked));
    verifyUnchanged(spec, sources);
    const blame = (error: EbpfError) => definition.blame?.(error, checked);
    const outcome = await planner.plan(reach(checked.connection), spec, sources, blame, call, {
      confirm: checked.confirm,
    });
    if (outcome.problems.length > 0) {
      throw invalid(`apply ${definition.kind} ${parseSpecId(checked.specId).name}`, outcome.problems);
    }
    plan = outcome.result;
  }
  return { ...definition.preview(checked, plan), ...common };
}
