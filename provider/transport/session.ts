/** What the rest of the operator's side sees of a host: one open session with its agent. */
import type { HelloResult, ParamsOf, Progress, ResultOf, Verb } from "../protocol/messages";
import type { Connection } from "./connection";

export interface CallOptions {
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

export interface AgentSession {
  /** `[user@]host[:port]`. */
  readonly host: string;
  readonly hello: HelloResult;
  /**
   * Calls a verb. Fails with the agent's EbpfError (host filled in), or with code `transport`, phase `closed`,
   * when the answer was lost: the verb may then have been carried out.
   */
  call<V extends Verb>(verb: V, params: ParamsOf<V>, options?: CallOptions): Promise<ResultOf<V>>;
  /** Nothing more is asked for now: the connection ends unless somebody else uses it. A later call dials again. */
  release(): void;
}

export interface OpenOptions {
  signal?: AbortSignal;
  /** One dial only, of at most so many seconds (plan uses 3). */
  singleDialSeconds?: number;
  /**
   * A session of the caller's own, to be released, over TCP connections that did not exist before: no session, no bastion
   * and no ControlMaster is shared. It does not wait for room.
   */
  anew?: boolean;
  /** What takes more than two seconds. Of those who wait for one host's session, the first is told. */
  onProgress?: (message: string) => void;
}

/** Opens or reuses the session of a connection. Implemented by pool.ts; tests of resources may pass their own. */
export type OpenSession = (connection: Connection, options?: OpenOptions) => Promise<AgentSession>;
