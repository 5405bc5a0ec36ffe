/** Observe: what a host holds of a resource, as state. */
import type { Spec } from "../protocol/spec";
import type { Status } from "../protocol/status";
import type { CommonInputs, ResourceDefinition } from "../resources/resource";
import type { Tools } from "./apply";
import { withDefaults, withoutDefaults } from "./defaults";
import { driftTexts } from "./drift";
import { withHeld } from "./held";
import type { Look } from "./look-ahead";
import { observeTogether } from "./observe-together";
import { hostlessOf, type Properties, type State } from "./state";

/**
 * `null` when the host holds nothing. The host's Record says which inputs were applied last, which a state that was
 * never written back may not know; `reached` says what no host knows (the connection), the state the incarnation, or
 * the Record where there is no state yet.
 */
export async function observe(
  { open, call }: Tools,
  definition: ResourceDefinition,
  reached: Pick<CommonInputs, "connection" | "specId">,
  state: Pick<State, "specId"> & Partial<State>,
  look: Look = observeTogether,
): Promise<{ inputs: Properties; outputs: Properties } | null> {
  const session = await open(reached);
  const observed = await look(session, state.specId, call);
  if (observed === null) return null;
  const { specId } = reached;
  const recorded = observed.inputs as Properties;
  const applied = await withHeld(definition, recorded, state as unknown as Properties, session, call);
  const inputs = withoutDefaults(definition, { ...applied, ...hostlessOf(reached), specId, drift: [] });
  const compile = (): Spec => definition.compile(withDefaults(definition, inputs));
  const { incarnation = observed.status.incarnation } = state;
  const outputs = outputsOf(definition, inputs, incarnation, observed.status, compile);
  // in the inputs too: a preview shows what differs between inputs, and so says in words what up will repair
  return { inputs: { ...inputs, drift: outputs["drift"] }, outputs };
}

export function outputsOf(
  definition: ResourceDefinition,
  inputs: CommonInputs | Properties,
  incarnation: string,
  status: Status,
  compile: () => Spec,
): Properties {
  const own = definition.outputs(withDefaults(definition, inputs), status);
  return { ...own, ...inputs, incarnation, drift: driftTexts(status, compile) };
}
