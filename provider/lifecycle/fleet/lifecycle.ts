/** The lifecycle of a resource on a fleet, with the tools that it shares with resources on one host. */
import type { EbpfError, Problem } from "../../errors";
import type { CommonInputs, ResourceDefinition } from "../../resources/resource";
import { UNKNOWN } from "../../resources/unknown";
import type { OpenSources } from "../../sources/source";
import type { Connection } from "../../transport/connection";
import type { Tools } from "../apply";
import type { Call } from "../call";
import type { Diff } from "../diff";
import type { Planner } from "../plan";
import { previewOutputs } from "../preview";
import type { Properties } from "../state";
import { withDefaults } from "../defaults";
import { unknownPaths } from "../unknowns";
import { checkFleet } from "./check";
import { deleteFleet } from "./delete";
import { diffFleet } from "./diff";
import { planFleet, SAMPLE } from "./plan";
import { readFleet } from "./read";
import { fleetStateOf } from "./state";
import { type FleetInputs, isBehind, isFleet, membersOf, type Targets, versionOf } from "./targets";
import { updateFleet } from "./update";

export interface FleetTools {
  openSources: OpenSources;
  planner: Planner;
  /** With the credentials of the moment. */
  reach(connection: Connection): Connection;
  toolsOf(call: Call | undefined): Tools;
}

/** As the methods of Lifecycle, for a kind that is found already. */
export class FleetLifecycle {
  constructor(private readonly tools: FleetTools) {}

  /** `plans`: whether hosts are to be asked. */
  async check(
    definition: ResourceDefinition,
    olds: Properties | undefined,
    news: Properties,
    plans: boolean,
    call: Call,
  ): Promise<{ inputs: Properties; failures: Problem[] }> {
    const { openSources } = this.tools;
    const { inputs, problems, complete } = await checkFleet(definition, olds, news, openSources);
    if (problems.length > 0 || complete === undefined || !plans) return { inputs, failures: problems };
    // hosts that were added are planned as all are
    const unchanged = olds !== undefined && isFleet(olds) && !diffOfInputs(definition, olds, inputs).changes;
    if (unchanged) return { inputs, failures: [] };
    const { checked, sources } = complete;
    const spec = definition.compile(checked as CommonInputs);
    const blame = (error: EbpfError) => definition.blame?.(error, checked as CommonInputs);
    const members = membersOf(checked.hosts);
    const { planner, reach } = this.tools;
    const outcome = await planFleet(planner, members, reach, spec, sources, blame, call, {
      confirm: checked.confirm,
      most: SAMPLE,
    });
    return { inputs, failures: outcome.problems };
  }

  /** Either may be a fleet's. */
  diff(
    definition: ResourceDefinition,
    id: string,
    olds: Properties,
    news: Properties,
    ignoreChanges: readonly string[] | undefined,
    report: Call["report"],
  ): Diff {
    if (isFleet(olds)) fleetStateOf(definition.kind, id, olds);
    const { notes = [], ...diff } = diffFleet(definition, olds, news, ignoreChanges);
    for (const note of notes) report(`${id.slice(id.lastIndexOf("/") + 1)}: ${note}`);
    return diff;
  }

  async preview(
    definition: ResourceDefinition,
    olds: Properties | undefined,
    news: Properties,
    plans: boolean,
    call: Call,
  ): Promise<Properties> {
    const { openSources, planner, reach } = this.tools;
    const known = unknownPaths(news).length === 0;
    const { hosts } = news as unknown as FleetInputs;
    const ofFleet: Planner = {
      ...planner,
      plan: (_connection, spec, sources, blame, ofCall, options = {}) =>
        planFleet(planner, membersOf(hosts), reach, spec, sources, blame, ofCall, options),
    };
    if (known && olds !== undefined && isFleet(olds)) {
      if (!diffOfInputs(definition, olds, news).changes) return { ...olds, ...news };
    }
    const tools = {
      openSources,
      ...(plans ? { planner: ofFleet } : {}),
      reach: (any: Connection) => any,
      call,
    };
    const { incarnation: _incarnation, ...outputs } = await previewOutputs(
      tools,
      definition,
      undefined,
      news,
    );
    return { ...outputs, digest: known ? versionOf(definition, news) : UNKNOWN, targets: UNKNOWN };
  }

  async create(definition: ResourceDefinition, inputs: Properties, call: Call | undefined) {
    const id = `fleet/${String(inputs["specId"])}`;
    const news = inputs as unknown as FleetInputs;
    return { id, outputs: await updateFleet(this.tools.toolsOf(call), definition, id, undefined, news) };
  }

  update(
    definition: ResourceDefinition,
    id: string,
    olds: Properties,
    news: Properties,
    call: Call | undefined,
  ): Promise<Properties> {
    const state = fleetStateOf(definition.kind, id, olds);
    return updateFleet(this.tools.toolsOf(call), definition, id, state, news as unknown as FleetInputs);
  }

  read(definition: ResourceDefinition, id: string, outputs: Properties, call: Call | undefined) {
    return readFleet(this.tools.toolsOf(call), definition, fleetStateOf(definition.kind, id, outputs));
  }

  delete(definition: ResourceDefinition, id: string, outputs: Properties, call: Call | undefined) {
    const state = fleetStateOf(definition.kind, id, withDefaults(definition, outputs));
    return deleteFleet(this.tools.toolsOf(call), state);
  }
}

/** Whether hosts must be asked: not for what is between the program and us alone. */
function diffOfInputs(
  definition: ResourceDefinition,
  olds: Properties,
  news: Properties,
): { changes: boolean } {
  const [before, after] = [olds, news].map((inputs) => membersOf((inputs as unknown as FleetInputs).hosts));
  const names = new Set(before!.map(({ name }) => name));
  const joined = after!.some(({ name }) => !names.has(name)) || before!.length !== after!.length;
  const targets = olds["targets"] as Targets | undefined;
  const desired = versionOf(definition, news);
  const behind =
    targets === undefined
      ? versionOf(definition, olds) !== desired
      : after!.some(({ name }) => isBehind(targets[name], desired));
  const drifted = ((olds["drift"] as string[] | undefined) ?? []).length > 0;
  return { changes: joined || behind || drifted };
}
