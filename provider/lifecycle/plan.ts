/**
 * Plan: asks the host what an apply would do, during preview. Nothing is left there but the agent.
 *
 * A host that cannot be reached is dialled once per process, and warned of once: a preview must not fail, or take
 * minutes, because one machine is down.
 */
import { EbpfError, type Problem } from "../errors";
import type { PlanResult } from "../protocol/messages";
import { digestOf, type Spec } from "../protocol/spec";
import { parseSpecId } from "../protocol/spec-id";
import type { Confirm } from "../resources/confirm";
import type { Source } from "../sources/source";
import { type Connection, hostLabel } from "../transport/connection";
import type { AgentSession, OpenSession } from "../transport/session";
import { blobsOf, lackingBlobs } from "./blobs";
import type { Call } from "./call";
import { describe, explain, isUnreachable } from "./describe";

const DIAL_SECONDS = 3;

export interface Planner {
  /** `blame` finds the property of an error that names none. */
  plan(
    connection: Connection,
    spec: Spec,
    sources: Source[],
    blame: (error: EbpfError) => string | undefined,
    call: Call,
    options?: PlanOptions,
  ): Promise<PlanOutcome>;
  /** `uname -r`; undefined where the host could not be asked, which is reported once. */
  kernelOf(connection: Connection, call: Call): Promise<string | undefined>;
}

export interface PlanOptions {
  /** In place of the host, in what is reported. */
  place?: string;
  /** Of the inputs. */
  confirm?: Confirm | undefined;
}

export interface PlanOutcome {
  /** Why an apply would fail. */
  problems: Problem[];
  /** Undefined where the host could not be asked. */
  result?: PlanResult;
}

export function createPlanner(openSession: OpenSession): Planner {
  const hosts = new Map<string, Promise<AgentSession | undefined>>();
  const results = new Map<string, Promise<PlanResult>>();

  async function dial(
    connection: Connection,
    host: string,
    { report }: Call,
  ): Promise<AgentSession | undefined> {
    try {
      const onProgress = (message: string): void => report(message);
      return await openSession(connection, { singleDialSeconds: DIAL_SECONDS, onProgress });
    } catch (thrown) {
      const error = EbpfError.from(thrown);
      if (!EbpfError.is(error, "transport", "cancelled", "permission", "unsupported")) throw error;
      const { remedy } = error.context;
      const why = isUnreachable(error)
        ? "is unreachable"
        : `cannot be asked (${error.message}${remedy === undefined ? "" : `; ${remedy}`})`;
      report(`${host} ${why}: not planned there`, "warning");
      return undefined;
    }
  }

  function reach(connection: Connection, call: Call): Promise<AgentSession | undefined> {
    const host = hostLabel(connection);
    let opening = hosts.get(host);
    if (opening === undefined) hosts.set(host, (opening = dial(connection, host, call)));
    return opening;
  }

  return {
    kernelOf: async (connection, call) => (await reach(connection, call))?.hello.kernel,

    async plan(
      connection,
      spec,
      sources,
      blame,
      call,
      { place: where = hostLabel(connection), confirm } = {},
    ) {
      const { report } = call;
      const host = hostLabel(connection);
      const session = await reach(connection, call);
      if (session === undefined) return { problems: [] };

      const place = { host, kernel: session.hello.kernel };
      const key = `${host} ${session.hello.kernel} ${digestOf(spec)} ${confirm !== undefined}`;
      let planning = results.get(key);
      const first = planning === undefined;
      if (planning === undefined) results.set(key, (planning = ask(session, spec, sources, confirm)));
      const result = await planning.catch((thrown: unknown) => {
        const error = EbpfError.from(thrown);
        results.delete(key);
        if (!EbpfError.is(error, "transport")) throw error;
        hosts.set(host, Promise.resolve(undefined));
        report(`${host} cannot be asked any more (${error.message}): not planned there`, "warning");
        return undefined;
      });
      if (result === undefined) return { problems: [] };

      const { name } = parseSpecId(spec.id);
      if (first) {
        for (const change of result.changes) report(`${name}: on ${where}: ${change}`);
        for (const { part, message } of result.warnings) {
          report(`${name}: on ${where}: ${part === undefined ? "" : `${part}: `}${message}`, "warning");
        }
      }
      const errors = result.problems.map((wire) => EbpfError.fromWire(wire));
      const problems = errors.map((error) => ({
        property: error.context.property ?? blame(error) ?? "",
        reason: describe(error, place),
      }));
      for (const error of errors) explain(error, call);
      return { problems, result };
    },
  };
}

async function ask(
  session: AgentSession,
  spec: Spec,
  sources: Source[],
  confirm: Confirm | undefined,
): Promise<PlanResult> {
  const blobs = Object.fromEntries(await lackingBlobs(session, blobsOf(sources)));
  return session.call("plan", { spec, blobs, ...(confirm === undefined ? {} : { confirm }) });
}
