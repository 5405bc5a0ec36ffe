/**
 * Lifecycle: check, diff, create, read, update and delete, once for all kinds of resource.
 *
 * Owns: the order of steps, incarnations, what a state holds, when a host is asked and when not, and every text about
 * the outcome. Does not own: what a kind's inputs mean (provider/resources), the way to the host (provider/transport),
 * or the wire of an adapter (provider/adapters). Values here are plain JSON; an unknown one is UNKNOWN.
 */
import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { EbpfError, type Problem } from "../errors";
import { parseSpecId } from "../protocol/spec-id";
import type { CommonInputs, ResourceDefinition } from "../resources/resource";
import { UNKNOWN } from "../resources/unknown";
import type { OpenSources } from "../sources/source";
import { type Connection, hostLabel } from "../transport/connection";
import type { OpenSession } from "../transport/session";
import { apply, type Tools } from "./apply";
import { type Call, during } from "./call";
import { reportChanges } from "./changes";
import { checkInputs } from "./check";
import { type Settings, withCredentials, withoutCredentials } from "./credentials";
import { describe, forgotten, isUnreachable, withWaysOut } from "./describe";
import { type Diff, concernOf, diffInputs } from "./diff";
import { lookAhead } from "./look-ahead";
import { leadsTo, parseId } from "./lookup";
import { FleetLifecycle, isFleet } from "./fleet";
import { createNameGuard } from "./name-guard";
import { observe } from "./observe";
import { createPlanner } from "./plan";
import { previewOutputs } from "./preview";
import { type Properties, refuseNewer, stateOf, type State, withoutHostless } from "./state";

export type { Call, Severity } from "./call";
export { readSettings, type Settings, withCredentials, withoutCredentials } from "./credentials";
export { isUnreachable } from "./describe";
export type { ChangeKind, Diff } from "./diff";
export { alikeHeld } from "./held";
export { problemsOfInput } from "./problems";
export { PartialError, type Properties } from "./state";
export { UNKNOWN };

export interface CheckOutcome {
  inputs: Properties;
  /** Inputs are good when there are none. */
  failures: Problem[];
}

export interface ReadOutcome {
  inputs: Properties;
  outputs: Properties;
  /** The outputs are those of the state: then the inputs are too, and the engine need not be told either anew. */
  unchanged: boolean;
}

/** Each may be given the call of the engine that it serves; without one it reports where `LifecycleOptions` says. */
export interface Lifecycle {
  /**
   * Never throws. `olds` are the inputs in the state, absent for a new or replacing resource; without those that the host
   * holds in chunks where it is `preview` that plans.
   */
  check(kind: string, olds: Properties | undefined, news: Properties, call?: Call): Promise<CheckOutcome>;
  /** No call from now on is part of a preview: check asks no host, since apply finds all that plan would. */
  beginUpdate(): void;
  /** No I/O. `olds` are outputs. Fails with `invalid` for a state without its essentials. */
  diff(kind: string, id: string, olds: Properties, news: Properties, ignoreChanges?: readonly string[]): Diff;
  /**
   * The outputs of a create (`id` and `olds` undefined) or an update, with UNKNOWN for what only doing it can tell.
   * Changes nothing. Fails with `invalid` when the host says that the apply would fail.
   */
  preview(
    kind: string,
    id: string | undefined,
    olds: Properties | undefined,
    news: Properties,
    call?: Call,
  ): Promise<Properties>;
  /** Fails with PartialError when the host may have done it, but could not say so. */
  create(kind: string, inputs: Properties, call?: Call): Promise<{ id: string; outputs: Properties }>;
  /** Also finishes what a create left half-done. Fails like create. */
  update(kind: string, id: string, olds: Properties, news: Properties, call?: Call): Promise<Properties>;
  /** `null`: there is neither a Record nor a pin. An unreachable host is an error, never `null`. */
  read(kind: string, id: string, state: Properties, call?: Call): Promise<ReadOutcome | null>;
  /**
   * A resource by its id, for import and `get`. `connection` wins over the way that the id names. `null` as of read;
   * fails with `invalid` for an id that is none of this kind.
   */
  find(
    kind: string,
    id: string,
    connection: Connection | undefined,
    call?: Call,
  ): Promise<{ inputs: Properties; outputs: Properties } | null>;
  /** What is not there is deleted. Needs outputs only, no local file. */
  delete(kind: string, id: string, state: Properties, call?: Call): Promise<void>;
}

export interface LifecycleOptions {
  definitions: Readonly<Record<string, ResourceDefinition>>;
  openSession: OpenSession;
  openSources: OpenSources;
  settings: Settings;
  /**
   * Which call of a preview asks the host: `preview` where the engine makes it, `check` (default) where the engine
   * does not. The other leaves the host alone.
   */
  planAt?: "check" | "preview";
  /** Where calls report that bring no way of their own. */
  report: Call["report"];
}

export function createLifecycle(options: LifecycleOptions): Lifecycle {
  const { openSession, openSources, settings, planAt = "check" } = options;
  const reach = (connection: Connection) => withCredentials(connection, settings);
  const toolsOf = (call: Call = options): Tools => ({
    openSources,
    open: ({ connection }) => {
      const onProgress = (message: string): void => call.report(message);
      return openSession(reach(connection), { ...during(call), onProgress });
    },
    openAnew: ({ connection }, signal) =>
      openSession(reach(connection), { anew: true, ...(signal === undefined ? {} : { signal }) }),
    call,
  });
  const asksHosts = settings.preview !== "offline";
  const planner = createPlanner(openSession);
  const fleets = new FleetLifecycle({ openSources, planner, reach, toolsOf });
  const takenName = createNameGuard();
  /** Once something is applied, this is no preview: apply finds all that plan would, at the price of one call less. */
  let applying = false;
  const look = lookAhead(() => !applying);

  /** With a state, which must be of a form that this version knows. */
  function definitionOf(kind: string, id = "", state: Properties = {}): ResourceDefinition {
    refuseNewer(kind, id, state);
    const definition = options.definitions[kind];
    if (definition !== undefined) return definition;
    throw new EbpfError(
      "invalid",
      `find the kind of resource "${kind}": this version of pulumi-ebpf has ${Object.keys(options.definitions).join(", ")}`,
      {},
      { remedy: "install the version of pulumi-ebpf that created the resource" },
    );
  }

  async function check(
    kind: string,
    olds: Properties | undefined,
    raw: Properties,
    call: Call,
  ): Promise<CheckOutcome> {
    const definition = definitionOf(kind);
    const news = withOneWay(raw);
    const taken = takenName(kind, olds, news);
    if (taken !== undefined) return { inputs: news, failures: [taken] };
    const ways = [news["connection"], news["hosts"]];
    if (ways.every((way) => way !== undefined && way !== UNKNOWN)) {
      return {
        inputs: news,
        failures: [{ property: "hosts", reason: "give either hosts or connection, not both" }],
      };
    }
    const previews = !applying && planAt === "check";
    const outcome = isFleet(news)
      ? await fleets.check(definition, olds, news, previews && asksHosts, call)
      : await checkOne(definition, olds, news, previews && asksHosts, call);
    if (previews && outcome.failures.length === 0) reportChanges(definition, olds, outcome.inputs, call);
    return outcome;
  }

  async function checkOne(
    definition: ResourceDefinition,
    olds: Properties | undefined,
    news: Properties,
    plans: boolean,
    call: Call,
  ): Promise<CheckOutcome> {
    const { inputs, problems, complete } = await checkInputs(definition, olds, news, openSources);
    if (problems.length > 0 || complete === undefined) return { inputs, failures: problems };
    const needsPlan = plans && (olds === undefined || diffInputs(definition, olds, inputs).changes);
    if (!needsPlan) return { inputs, failures: [] };
    const { checked, sources } = complete;
    const blame = (error: EbpfError) => definition.blame?.(error, checked);
    const spec = definition.compile(checked);
    const { problems: failures } = await planner.plan(reach(checked.connection), spec, sources, blame, call, {
      confirm: checked.confirm,
    });
    return { inputs, failures };
  }

  async function read(kind: string, id: string, outputs: Properties, call: Call | undefined) {
    const definition = definitionOf(kind, id, outputs);
    if (isFleet(outputs)) return fleets.read(definition, id, outputs, call);
    const state = stateOf(kind, id, outputs);
    try {
      return await observe(toolsOf(call), definition, state, state, look);
    } catch (thrown) {
      throw atHost(withWaysOut(EbpfError.from(thrown), "read"), state);
    }
  }

  return {
    beginUpdate() {
      applying = true;
    },

    async check(kind, olds, news, call = options) {
      try {
        return await check(kind, olds, news, call);
      } catch (thrown) {
        const error = EbpfError.from(thrown);
        const { property = "", ...context } = error.context;
        const reason = new EbpfError(error.code, error.message, error.details, context).render();
        return { inputs: news, failures: [{ property, reason }] };
      }
    },

    diff(kind, id, olds, news, ignoreChanges) {
      const definition = definitionOf(kind, id, olds);
      if (isFleet(olds) || isFleet(news)) {
        const report = applying ? () => undefined : options.report;
        return fleets.diff(definition, id, olds, news, ignoreChanges, report);
      }
      return diffInputs(definition, { ...stateOf(kind, id, olds) }, news, ignoreChanges);
    },

    async preview(kind, id, olds, news, call = options) {
      const definition = definitionOf(kind, id, olds);
      reportChanges(definition, olds, news, call);
      if (isFleet(news)) return fleets.preview(definition, olds, news, asksHosts, call);
      const state = olds === undefined ? undefined : stateOf(kind, id ?? "", olds);
      if (olds !== undefined && concernOf(definition, olds, news) === "state")
        return { ...withoutHostless(olds), ...news };
      const tools = { openSources, ...(asksHosts ? { planner } : {}), reach, call };
      return previewOutputs(tools, definition, state?.incarnation, news);
    },

    async create(kind, inputs, call) {
      applying = true;
      if (isFleet(inputs)) return fleets.create(definitionOf(kind), inputs, call);
      const checked = inputs as unknown as CommonInputs;
      const id = `${hostLabel(checked.connection)}/${checked.specId}`;
      return { id, outputs: await apply(toolsOf(call), definitionOf(kind), id, checked, randomUUID()) };
    },

    async update(kind, id, olds, news, call) {
      const tools = toolsOf(call);
      const definition = definitionOf(kind, id, olds);
      if (isFleet(news)) {
        applying = true;
        return fleets.update(definition, id, olds, news, call);
      }
      const state = stateOf(kind, id, olds);
      const concern = concernOf(definition, olds, news);
      if (concern === "state") return { ...withoutHostless(olds), ...news };
      const checked = news as unknown as CommonInputs;
      // nothing to change: the engine asks for outputs in the present form, the kernel is only looked at
      const found = concern === "nobody" ? await observe(tools, definition, checked, state) : null;
      if (found !== null) return found.outputs;
      applying = true;
      return apply(tools, definition, id, checked, state.incarnation);
    },

    async read(kind, id, outputs, call) {
      const found = await read(kind, id, outputs, call);
      return found && { ...found, unchanged: isDeepStrictEqual(found.outputs, outputs) };
    },

    async find(kind, id, given, call) {
      const { connection: named, specId } = parseId(kind, id);
      const own = settings.connection;
      const connection =
        given ?? (own !== undefined && leadsTo(own, named) ? withoutCredentials(own) : named);
      const place = { connection, specId };
      try {
        return await observe(toolsOf(call), definitionOf(kind), place, place);
      } catch (thrown) {
        throw atHost(EbpfError.from(thrown), place);
      }
    },

    async delete(kind, id, outputs, call = options) {
      applying = true;
      const definition = definitionOf(kind, id, outputs);
      if (isFleet(outputs)) return fleets.delete(definition, id, outputs, call);
      const state = stateOf(kind, id, outputs);
      try {
        const session = await toolsOf(call).open(state);
        const { specId, incarnation } = state;
        const { removed, reason } = await session.call("remove", { id: specId, incarnation }, during(call));
        if (!removed && reason !== undefined) call.report(`${parseSpecId(state.specId).name}: ${reason}`);
      } catch (thrown) {
        const error = EbpfError.from(thrown);
        if (state.onUnreachable !== "forget" || !isUnreachable(error)) {
          throw atHost(withWaysOut(error, "delete"), state);
        }
        call.report(forgotten(state, hostLabel(state.connection), error), "warning");
      }
    },
  };
}

/** Of a reference's connection and hosts one is `null` when the program knew neither while it ran. */
function withOneWay(news: Properties): Properties {
  const others = Object.entries(news).filter(
    ([name, value]) => value !== null || (name !== "connection" && name !== "hosts"),
  );
  return Object.fromEntries(others);
}

function atHost(error: EbpfError, state: Pick<State, "connection">): EbpfError {
  return new EbpfError(error.code, describe(error, { host: hostLabel(state.connection) }), error.details, {
    cause: error,
  });
}
