/** Apply: brings a host to what checked inputs say, and knows how certain the outcome is. */
import { EbpfError } from "../errors";
import type { ParamsOf } from "../protocol/messages";
import type { Progress } from "../protocol/messages";
import { parseSpecId } from "../protocol/spec-id";
import type { CommonInputs, ResourceDefinition } from "../resources/resource";
import type { OpenSources } from "../sources/source";
import { hostLabel } from "../transport/connection";
import type { AgentSession } from "../transport/session";
import { type Call, during } from "./call";
import { blobsOf, putBlobs, verifyUnchanged } from "./blobs";
import { confirmed } from "./confirm";
import { withDefaults } from "./defaults";
import { describe, explain } from "./describe";
import { withoutHeld } from "./held";
import { outputsOf } from "./observe";
import { PartialError, type Properties, withoutHostless } from "./state";

export interface Tools {
  openSources: OpenSources;
  /** The session with the host of these inputs, with the credentials of the moment. */
  open(inputs: Pick<CommonInputs, "connection">): Promise<AgentSession>;
  /** A session of one's own over connections that are new at every hop; to be released. */
  openAnew(inputs: Pick<CommonInputs, "connection">, signal?: AbortSignal): Promise<AgentSession>;
  /** What all of it happens for. */
  call: Call;
}

/** `keepPrevious`: the host can go back to what it has now. */
export type ApplyOptions = Pick<ParamsOf<"apply">, "keepPrevious">;

/** Between two lines about the progress of one apply. */
const PROGRESS_MS = 2000;

/**
 * Sends local files and the Spec; returns the outputs of what then runs.
 * Fails with PartialError once the host may have done it, else with an error after which nothing has changed.
 */
export async function apply(
  tools: Tools,
  definition: ResourceDefinition,
  id: string,
  inputs: CommonInputs,
  incarnation: string,
  options: ApplyOptions = {},
): Promise<Properties> {
  const { openSources, open, call } = tools;
  const checked = withDefaults(definition, inputs);
  const { confirm } = checked;
  const host = hostLabel(checked.connection);
  const { name } = parseSpecId(checked.specId);
  let session: AgentSession | undefined;
  let sent = false;
  try {
    const sources = await openSources(definition.sources(checked));
    const spec = definition.compile(checked);
    verifyUnchanged(spec, sources);
    session = await open(checked);
    const carried = await putBlobs(session, blobsOf(sources), call, (message) =>
      call.report(`${name}: ${message}`),
    );
    if (call.signal?.aborted) throw new EbpfError("cancelled", "apply: cancelled", {});
    sent = true;
    const own = { ...options, ...(confirm === undefined ? {} : { confirm }) };
    const applying = session.call(
      "apply",
      { spec, inputs: withoutHeld(definition, withoutHostless(inputs)), incarnation, ...own, ...carried },
      {
        ...during(call),
        onProgress: atMostEvery(PROGRESS_MS, (progress) =>
          call.report(`${name}: on ${host}: ${progressText(progress)}`),
        ),
      },
    );
    const change = { inputs: checked, spec, incarnation };
    const status = await (confirm === undefined
      ? applying
      : confirmed(tools, { ...change, confirm }, applying));
    for (const note of status.notes) call.report(`${name}: on ${host}: ${note}`);
    return outputsOf(definition, inputs, incarnation, status, () => spec);
  } catch (thrown) {
    const error = EbpfError.from(thrown);
    explain(error, call);
    const kernel = session?.hello.kernel;
    const property = error.context.property ?? definition.blame?.(error, checked);
    const cause = describe(error, kernel === undefined ? { host } : { host, kernel });
    const text = property === undefined ? cause : `${property}: ${cause}`;
    const told = new EbpfError(error.code, text, error.details, { cause: error });
    if (!sent || !isUncertain(error)) throw told;
    const drift = [`apply was sent to ${host} and not confirmed: ${error.message}`];
    throw new PartialError(told, id, { ...inputs, incarnation, drift });
  }
}

/** `write entries of map "blocked": 131,072 of 1,000,000`. */
function progressText({ message, done, total }: Progress): string {
  if (done === undefined || total === undefined) return message;
  return `${message}: ${done.toLocaleString("en-US")} of ${total.toLocaleString("en-US")}`;
}

/** The verb was sent and its answer lost, or its undo was, or going back: the host may have carried it out. */
function isUncertain(error: EbpfError): boolean {
  if (EbpfError.is(error, "mixed", "cancelled")) return true;
  if (EbpfError.is(error, "unconfirmed")) return !error.details.wentBack;
  return EbpfError.is(error, "transport") && error.details.phase === "closed";
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
