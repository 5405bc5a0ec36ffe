/**
 * Lifecycle: check, diff, create, read, update and delete, once for all kinds of resource.
 *
 * Owns: the order of steps, incarnations, what a state holds, when a host is asked and when not, and every text about
 * the outcome. Does not own: what a kind's inputs mean (provider/resources), the way to the host (provider/transport),
 * or the wire of an adapter (provider/adapters). Values here are plain JSON; an unknown one is UNKNOWN.
 */
import { randomUUID } from "node:crypto";
import { EbpfError, type Problem } from "../errors";
import type { Spec } from "../protocol/spec";
import { parseSpecId } from "../protocol/spec-id";
import type { Status } from "../protocol/status";
import type { CommonInputs, ResourceDefinition } from "../resources/resource";
import type { OpenSources } from "../sources/source";
import { hostLabel } from "../transport/connection";
import type { AgentSession, OpenSession } from "../transport/session";
import { blobsOf, putBlobs, verifyUnchanged } from "./blobs";
import { checkInputs } from "./check";
import { type Settings, withCredentials, withoutConnection } from "./credentials";
import { describe, withWaysOut } from "./describe";
import { type Diff, diffInputs, isConnectionOnly } from "./diff";
import { driftTexts } from "./drift";
import { createPlanner } from "./plan";
import { PartialError, stateOf, type State } from "./state";

export { readSettings, type Settings } from "./credentials";
export type { ChangeKind, Diff } from "./diff";
export { PartialError } from "./state";
export { UNKNOWN } from "./unknowns";

export type Properties = Record<string, unknown>;

export interface CheckOutcome {
  inputs: Properties;
  /** Inputs are good when there are none. */
  failures: Problem[];
}

export interface Lifecycle {
  /** Never throws. `olds` are the inputs in the state, absent for a new or replacing resource. */
  check(kind: string, olds: Properties | undefined, news: Properties): Promise<CheckOutcome>;
  /** No I/O. `olds` are outputs. Fails with `invalid` for a state without its essentials. */
  diff(kind: string, id: string, olds: Properties, news: Properties, ignoreChanges?: readonly string[]): Diff;
  /** Fails with PartialError when the host may have done it, but could not say so. */
  create(kind: string, inputs: Properties): Promise<{ id: string; outputs: Properties }>;
  /** Also finishes what a create left half-done. Fails like create. */
  update(kind: string, id: string, olds: Properties, news: Properties): Promise<Properties>;
  /** `null`: there is neither a Record nor a pin. An unreachable host is an error, never `null`. */
  read(
    kind: string,
    id: string,
    state: Properties,
  ): Promise<{ inputs: Properties; outputs: Properties } | null>;
  /** What is not there is deleted. Needs outputs only, no local file. */
  delete(kind: string, id: string, state: Properties): Promise<void>;
}

export interface LifecycleOptions {
  definitions: Readonly<Record<string, ResourceDefinition>>;
  openSession: OpenSession;
  openSources: OpenSources;
  settings: Settings;
  /** Shows a line to the user. */
  report(message: string): void;
}

/** Between two lines about the progress of one apply. */
const PROGRESS_MS = 5000;

export function createLifecycle(options: LifecycleOptions): Lifecycle {
  const { openSession, openSources, settings, report } = options;
  const planner = createPlanner(openSession, report);
  /** Spec id → the id that the program gave to the resource which has it. */
  const owners = new Map<string, string>();
  /** Once something is applied, this is no preview: apply finds all that plan would, at the price of one call less. */
  let applying = false;

  function definitionOf(kind: string): ResourceDefinition {
    const definition = options.definitions[kind];
    if (definition !== undefined) return definition;
    throw new EbpfError(
      "invalid",
      `find the kind of resource "${kind}": this version of pulumi-ebpf has ${Object.keys(options.definitions).join(", ")}`,
      {},
      { remedy: "install the version of pulumi-ebpf that created the resource" },
    );
  }

  async function check(kind: string, olds: Properties | undefined, news: Properties): Promise<CheckOutcome> {
    const definition = definitionOf(kind);
    const taken = takenName(kind, olds, news);
    if (taken !== undefined) return { inputs: news, failures: [taken] };
    const { inputs, problems, complete } = await checkInputs(definition, olds, news, openSources);
    if (problems.length > 0 || complete === undefined) return { inputs, failures: problems };
    const unchanged = olds !== undefined && !diffInputs(definition, olds, inputs).changes;
    if (unchanged || applying || settings.preview === "offline") return { inputs, failures: [] };
    const { checked, sources } = complete;
    const connection = withCredentials(checked.connection, settings);
    return { inputs, failures: await planner.plan(connection, definition.compile(checked), sources) };
  }

  /** A resource that was renamed keeps its Spec id; a new one of its former name would take that away. */
  function takenName(kind: string, olds: Properties | undefined, news: Properties): Problem | undefined {
    const given = String(news["specId"]);
    const specId = String(olds?.["specId"] ?? given);
    const owner = owners.get(specId) ?? given;
    owners.set(specId, owner);
    if (owner === given) return undefined;
    const [mine, theirs] = [given, owner].map((id) => parseSpecId(id).name);
    return {
      property: "specId",
      reason: `${kind} "${mine}" and ${kind} "${theirs}" are both ${specId} on the host, because one of them was renamed: give the other a new name`,
    };
  }

  function open(state: CommonInputs): Promise<AgentSession> {
    return openSession(withCredentials(state.connection, settings));
  }

  /** Sends files and Spec; the outputs of what then runs. */
  async function apply(
    definition: ResourceDefinition,
    id: string,
    checked: CommonInputs,
    incarnation: string,
  ): Promise<Properties> {
    applying = true;
    const host = hostLabel(checked.connection);
    const { name } = parseSpecId(checked.specId);
    let session: AgentSession | undefined;
    let sent = false;
    try {
      const sources = await openSources(definition.sources(checked));
      const spec = definition.compile(checked);
      verifyUnchanged(spec, sources);
      session = await open(checked);
      await putBlobs(session, blobsOf(sources), (message) => report(`${name}: ${message}`));
      sent = true;
      const status = await session.call(
        "apply",
        { spec, inputs: withoutConnection(checked), incarnation },
        { onProgress: atMostEvery(PROGRESS_MS, ({ message }) => report(`${name}: ${message}`)) },
      );
      for (const note of status.notes) report(`${name}: on ${host}: ${note}`);
      return outputsOf(definition, checked, incarnation, status, spec);
    } catch (thrown) {
      const error = EbpfError.from(thrown);
      const kernel = session?.hello.kernel;
      const text = describe(error, kernel === undefined ? { host } : { host, kernel });
      const described = new EbpfError(error.code, text, error.details, { cause: error });
      if (!sent || !isUncertain(error)) throw described;
      const drift = [`apply was sent to ${host} and not confirmed: ${error.message}`];
      throw new PartialError(described, id, { ...checked, incarnation, drift });
    }
  }

  return {
    async check(kind, olds, news) {
      try {
        return await check(kind, olds, news);
      } catch (thrown) {
        const error = EbpfError.from(thrown);
        const { property = "", ...context } = error.context;
        const reason = new EbpfError(error.code, error.message, error.details, context).render();
        return { inputs: news, failures: [{ property, reason }] };
      }
    },

    diff(kind, id, olds, news, ignoreChanges) {
      const definition = definitionOf(kind);
      return diffInputs(definition, { ...stateOf(kind, id, olds) }, news, ignoreChanges);
    },

    async create(kind, inputs) {
      const checked = inputs as unknown as CommonInputs;
      const id = `${hostLabel(checked.connection)}/${checked.specId}`;
      return { id, outputs: await apply(definitionOf(kind), id, checked, randomUUID()) };
    },

    async update(kind, id, olds, news) {
      const definition = definitionOf(kind);
      const state = stateOf(kind, id, olds);
      const difference = diffInputs(definition, olds, news);
      if (isConnectionOnly(difference)) return { ...olds, ...news };
      const checked = news as unknown as CommonInputs;
      // nothing to change: the engine asks for outputs in the present form, the kernel is only looked at
      const found = difference.changes ? null : await observe(definition, checked, state);
      return found?.outputs ?? apply(definition, id, checked, state.incarnation);
    },

    async read(kind, id, outputs) {
      const state = stateOf(kind, id, outputs);
      try {
        return await observe(definitionOf(kind), state, state);
      } catch (thrown) {
        throw atHost(withWaysOut(EbpfError.from(thrown), "read"), state);
      }
    },

    async delete(kind, id, outputs) {
      applying = true;
      const state = stateOf(kind, id, outputs);
      try {
        const session = await open(state);
        const { removed, reason } = await session.call("remove", {
          id: state.specId,
          incarnation: state.incarnation,
        });
        if (!removed && reason !== undefined) report(`${parseSpecId(state.specId).name}: ${reason}`);
      } catch (thrown) {
        throw atHost(withWaysOut(EbpfError.from(thrown), "delete"), state);
      }
    },
  };

  /** What the host holds, as state. The host's Record says which inputs; the state says which connection. */
  async function observe(
    definition: ResourceDefinition,
    reached: CommonInputs,
    state: State,
  ): Promise<{ inputs: Properties; outputs: Properties } | null> {
    const session = await open(reached);
    const observed = await session.call("observe", { id: state.specId });
    if (observed === null) return null;
    const { connection, specId } = reached;
    const inputs = { ...(observed.inputs as Properties), connection, specId, drift: [] };
    const checked = inputs as unknown as CommonInputs;
    const spec = definition.compile(checked);
    return { inputs, outputs: outputsOf(definition, checked, state.incarnation, observed.status, spec) };
  }
}

function outputsOf(
  definition: ResourceDefinition,
  checked: CommonInputs,
  incarnation: string,
  status: Status,
  spec: Spec,
): Properties {
  return {
    ...definition.outputs(checked, status),
    ...checked,
    incarnation,
    drift: driftTexts(status, spec),
  };
}

/** Drops what comes too soon after the one before. */
function atMostEvery<T>(milliseconds: number, act: (value: T) => void): (value: T) => void {
  let next = Date.now() + milliseconds;
  return (value) => {
    if (Date.now() < next) return;
    next = Date.now() + milliseconds;
    act(value);
  };
}

/** The verb was sent and its answer lost: the host may have carried it out. */
function isUncertain(error: EbpfError): boolean {
  if (EbpfError.is(error, "mixed", "cancelled")) return true;
  return EbpfError.is(error, "transport") && error.details.phase === "closed";
}

function atHost(error: EbpfError, state: State): EbpfError {
  return new EbpfError(error.code, describe(error, { host: hostLabel(state.connection) }), error.details, {
    cause: error,
  });
}
