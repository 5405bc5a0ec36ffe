/**
 * The agent's verbs as JSON-RPC: `serve` on the host, over its two streams, `connectRpc` on the operator's side, over one.
 *
 * Owns: calls, cancellation, progress, and the passage of EbpfErrors. Does not own: bytes of a message (framing.ts),
 * the way to the host and the agent's life (provider/transport), what a verb does (provider/agent).
 */
import type { Duplex, Readable, Writable } from "node:stream";
import {
  CancellationTokenSource,
  createMessageConnection,
  ErrorCodes,
  type MessageConnection,
  ProgressType,
  ResponseError,
  StreamMessageReader,
} from "vscode-jsonrpc/node";
import { EbpfError, type WireError } from "../errors";
import { decoder, FrameWriter } from "./framing";
import type { ParamsOf, Progress, ResultOf, Verb } from "./messages";

export interface CallContext {
  /** Aborted when the caller cancels, and when the connection ends. */
  signal: AbortSignal;
  /** Tells the caller how far the verb is. */
  progress: (report: Omit<Progress, "verb">) => void;
}

export type Handlers = {
  [V in Verb]: (params: ParamsOf<V>, context: CallContext) => ResultOf<V> | Promise<ResultOf<V>>;
};

export interface RpcCallOptions {
  /** Asks the agent to stop. The call still ends with the agent's answer: what it did is what counts. */
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

export interface RpcClient {
  /** Fails with the agent's EbpfError, or with `transport` when the answer was lost or makes no sense. */
  call<V extends Verb>(verb: V, params: ParamsOf<V>, options?: RpcCallOptions): Promise<ResultOf<V>>;
  /** Ends the connection; calls under way, and later ones, fail with `reason`. */
  close(reason?: EbpfError): void;
  /** Whether the connection has ended; `closed` follows when its last words are known. */
  readonly over: boolean;
  /** Resolves with the reason once the connection is over. */
  readonly closed: Promise<EbpfError>;
}

const progressType = new ProgressType<Progress>();

/** Code of every error that carries a WireError; JSON-RPC leaves -32099 to -32000 to the application. */
const VERB_FAILED = -32000;

/** How long the other end may take to say that a cancelled call is over, its undo included. */
const CANCEL_MS = 5000;

/** Calls run side by side. Resolves when the other end is gone and every call has returned. */
export async function serve(input: Readable, output: Writable, handlers: Handlers): Promise<void> {
  const { connection, ended } = open(input, output);
  const aborts = new Set<AbortController>();
  const running = new Set<Promise<unknown>>();
  let gone = false;

  for (const verb of Object.keys(handlers) as Verb[]) {
    connection.onRequest(verb, (params, progressToken, token) => {
      const abort = new AbortController();
      token.onCancellationRequested(() => abort.abort());
      if (token.isCancellationRequested || gone) abort.abort();
      const context: CallContext = {
        signal: abort.signal,
        progress: (report) => {
          if (gone || progressToken === null) return;
          // a report that is lost is no reason to fail the verb
          connection.sendProgress(progressType, progressToken, { ...report, verb }).catch(() => {});
        },
      };
      const result = answer(verb, handlers, params, context);
      running.add(result);
      aborts.add(abort);
      return result.finally(() => {
        running.delete(result);
        aborts.delete(abort);
      });
    });
  }
  connection.onRequest((method) => {
    throw failure(
      new EbpfError("transport", `call "${method}": the agent has no such verb`, { phase: "protocol" }),
    );
  });

  await ended;
  gone = true;
  for (const abort of aborts) abort.abort();
  await Promise.allSettled(running);
  connection.dispose();
}

async function answer<V extends Verb>(
  verb: V,
  handlers: Handlers,
  params: ParamsOf<V>,
  context: CallContext,
): Promise<ResultOf<V>> {
  try {
    return await handlers[verb](params, context);
  } catch (error) {
    throw failure(EbpfError.from(error));
  }
}

function failure(error: EbpfError): ResponseError<WireError> {
  return new ResponseError(VERB_FAILED, error.message, error.toWire());
}

export interface RpcOptions {
  /** Filled into every error. */
  host?: string;
  /** How the agent came to its end, for the error of a lost connection. */
  lastWords?: () => Promise<string>;
}

export function connectRpc(duplex: Duplex, { host, lastWords }: RpcOptions = {}): RpcClient {
  const { connection, ended } = open(duplex, duplex);
  let reason: EbpfError | undefined;
  let over = false;
  let tokens = 0;

  const close = (why: EbpfError): void => {
    if (reason !== undefined) return;
    over = true;
    reason = withHost(why, host);
    connection.dispose();
    duplex.destroy();
  };
  const closed = ended.then(async (ending) => {
    over = true;
    close(lost(ending, await lastWords?.()));
    return reason!;
  });

  return {
    get over() {
      return over;
    },
    closed,
    close: (why = new EbpfError("transport", "use the session: it was closed", { phase: "closed" })) =>
      close(why),
    async call(verb, params, { signal, onProgress } = {}) {
      if (over) throw await closed;
      if (signal?.aborted) throw withHost(new EbpfError("cancelled", `${verb}: cancelled`, {}), host);
      const source = new CancellationTokenSource();
      let giveUp: (error: EbpfError) => void;
      const unanswered = new Promise<never>((_, reject) => (giveUp = reject));
      let patience: NodeJS.Timeout | undefined;
      const cancel = (): void => {
        source.cancel();
        const error = new EbpfError("cancelled", `${verb}: cancelled, and not answered`, {});
        patience = setTimeout(() => giveUp(error), CANCEL_MS);
      };
      signal?.addEventListener("abort", cancel, { once: true });
      const progressToken = onProgress === undefined ? null : tokens++;
      const listener =
        onProgress === undefined
          ? undefined
          : connection.onProgress(progressType, progressToken!, onProgress);
      try {
        const answer: Promise<ResultOf<typeof verb>> = connection.sendRequest(
          verb,
          params,
          progressToken,
          source.token,
        );
        return await Promise.race([answer, unanswered]);
      } catch (error) {
        throw reason ?? withHost(restored(verb, error, duplex), host);
      } finally {
        listener?.dispose();
        signal?.removeEventListener("abort", cancel);
        clearTimeout(patience);
        source.dispose();
      }
    },
  };
}

interface Line {
  connection: MessageConnection;
  /** Resolves once, when nothing more can come from the other end. */
  ended: Promise<Ending>;
}

/** `malformed`: the other end said something that is no message; else the stream ended or broke. */
interface Ending {
  malformed: boolean;
  error?: Error;
}

function open(input: Readable, output: Writable): Line {
  const reader = new StreamMessageReader(input, { contentTypeDecoder: decoder });
  const ended = new Promise<Ending>((resolve) => {
    const gone = (error?: Error | null): void => resolve({ malformed: false, ...(error ? { error } : {}) });
    if (input.destroyed || input.readableEnded) gone(input.errored);
    input.once("end", () => gone());
    for (const stream of new Set([input, output])) {
      stream.once("error", gone);
      stream.once("close", () => gone());
    }
    // the reader also passes on the stream's own error, which came to the listener above before
    reader.onError((error) => resolve({ malformed: true, error }));
  });
  const connection = createMessageConnection(reader, new FrameWriter(output));
  connection.listen();
  return { connection, ended };
}

function lost({ malformed, error }: Ending, lastWords = error?.message ?? ""): EbpfError {
  const cause = error === undefined ? {} : { cause: error };
  return malformed
    ? new EbpfError(
        "transport",
        `read the agent's answer: ${error?.message}`,
        { phase: "protocol" },
        { ...cause, remedy: "make sure that nothing else writes to the agent's standard output" },
      )
    : new EbpfError(
        "transport",
        `wait for the agent's answer: the connection was lost${lastWords === "" ? "" : ` (${lastWords})`}`,
        { phase: "closed" },
        { ...cause, remedy: "run the operation again: it goes on from what the host really holds" },
      );
}

function restored(verb: Verb, error: unknown, duplex: Duplex): EbpfError {
  if (!(error instanceof ResponseError)) return EbpfError.from(error);
  if (error.code === VERB_FAILED) return EbpfError.fromWire(error.data as WireError);
  if (error.code !== ErrorCodes.MessageWriteError) {
    return new EbpfError("transport", `call ${verb}: ${error.message}`, { phase: "protocol" });
  }
  // either the stream broke, or the message holds what JSON cannot express
  return duplex.writable ? EbpfError.from(error) : lost({ malformed: false, error });
}

function withHost(error: EbpfError, host: string | undefined): EbpfError {
  return host === undefined ? error : error.with({ host });
}
