/**
 * The sessions of this process: one per connection, opened once, kept until the process ends, at most 64 alive.
 * Owns: sharing, re-dialling of dead sessions, making room. Does not own: how a session comes about (ssh2.ts, openssh.ts,
 * local.ts, delivery.ts).
 */
import { EbpfError } from "../errors";
import type { HelloResult, ParamsOf, ResultOf, Verb } from "../protocol/messages";
import { Bundles } from "./bundle";
import { type Connection, hostLabel } from "./connection";
import { type Agent, startAgent } from "./delivery";
import type { DialOptions, Line } from "./line";
import { openLocal } from "./local";
import { openOpenssh, sshFailed } from "./openssh";
import { dialSsh2 } from "./ssh2";
import type { AgentSession, CallOptions, OpenOptions, OpenSession } from "./session";

/** sshd and the operator's memory bear that many; a finished wave's sessions make room for the next one's. */
const LIVE_SESSIONS = 64;
const DIAL_ERROR_LIMIT = 10;
const DIAL_SECONDS = 15;

export class SessionPool {
  private readonly sessions = new Map<string, PooledSession>();
  /** Sessions that hold a connection, the longest unused first. */
  private readonly live = new Set<PooledSession>();
  private readonly waiting: (() => void)[] = [];
  private bundles: Promise<Bundles> | undefined;

  /** `bundleDirectory`: dist/agent, unless a test brings its own agent. */
  constructor(
    private readonly bundleDirectory?: string,
    private readonly limit = LIVE_SESSIONS,
  ) {}

  readonly open: OpenSession = async (connection, options = {}) => {
    if (options.anew === true) {
      const own = new PooledSession(this, connection, true);
      await own.ready(options);
      return own;
    }
    const key = JSON.stringify(canonical(connection));
    let session = this.sessions.get(key);
    if (session === undefined) this.sessions.set(key, (session = new PooledSession(this, connection)));
    await session.ready(options);
    return session;
  };

  /** Ends every session; calls under way fail. */
  closeAll(): void {
    for (const session of [...this.live]) session.close();
    this.sessions.clear();
  }

  loadBundles(): Promise<Bundles> {
    this.bundles ??= Bundles.load(this.bundleDirectory);
    return this.bundles;
  }

  /** Resolves when `session` may hold a connection. */
  async admit(session: PooledSession): Promise<void> {
    while (!session.anew && this.live.size >= this.limit && !this.live.has(session)) {
      const idle = [...this.live].find((other) => other.idle);
      if (idle !== undefined) idle.close();
      else await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    this.used(session);
  }

  used(session: PooledSession): void {
    this.live.delete(session);
    this.live.add(session);
    if (session.idle) this.waiting.shift()?.();
  }

  dropped(session: PooledSession): void {
    if (this.live.delete(session)) this.waiting.shift()?.();
  }
}

/** One dial and delivery that any number of callers wait for. */
interface Opening {
  agent: Promise<Agent>;
  /** Ended by the first failure to dial, after so many seconds. */
  singleDialSeconds: number | undefined;
  abort: AbortController;
  waiters: number;
  listeners: Set<(message: string) => void>;
}

class PooledSession implements AgentSession {
  readonly host: string;
  private greeting: HelloResult | undefined;
  private agent: Agent | undefined;
  private line: Line | undefined;
  private opening: Opening | undefined;
  private calls = 0;

  constructor(
    private readonly pool: SessionPool,
    private readonly connection: Connection,
    /** Not shared, at no hop. */
    readonly anew = false,
  ) {
    this.host = hostLabel(connection);
  }

  get hello(): HelloResult {
    if (this.greeting === undefined) throw new Error("a session is handed out after its hello");
    return this.greeting;
  }

  get idle(): boolean {
    return this.calls === 0 && this.opening === undefined;
  }

  async call<V extends Verb>(verb: V, params: ParamsOf<V>, options: CallOptions = {}): Promise<ResultOf<V>> {
    this.calls++;
    try {
      const { rpc } = await this.ready(options.signal === undefined ? {} : { signal: options.signal });
      return await rpc.call(verb, params, options);
    } finally {
      this.calls--;
      if (this.agent !== undefined) this.pool.used(this);
    }
  }

  /** The live agent; dials when there is none, and joins a dial that is under way. */
  async ready(options: OpenOptions): Promise<Agent> {
    for (;;) {
      if (this.agent?.rpc.over) await this.agent.rpc.closed;
      if (this.agent !== undefined && !this.agent.rpc.over) return this.agent;
      const opening = (this.opening ??= this.start(options.singleDialSeconds));
      try {
        return await this.join(opening, options);
      } catch (error) {
        // somebody else's single dial failed; this caller has more patience
        const impatient = opening.singleDialSeconds !== undefined && options.singleDialSeconds === undefined;
        if (!impatient || !EbpfError.is(error, "transport")) throw error;
      }
    }
  }

  release(): void {
    if (this.idle) this.close();
  }

  close(): void {
    this.opening?.abort.abort();
    this.agent?.rpc.close();
    this.drop();
  }

  private start(singleDialSeconds: number | undefined): Opening {
    const abort = new AbortController();
    const listeners = new Set<(message: string) => void>();
    const dial: DialOptions = {
      signal: abort.signal,
      dialErrorLimit: singleDialSeconds === undefined ? dialLimit(this.connection) : 1,
      dialTimeout: 1000 * (singleDialSeconds ?? this.connection.perDialTimeout ?? DIAL_SECONDS),
      anew: this.anew,
      // a host that many wait for is told of once
      onProgress: (message) => [...listeners][0]?.(message),
    };
    const opening: Opening = {
      agent: this.connect(dial).finally(() => {
        if (this.opening === opening) this.opening = undefined;
        // nobody may ever call it: who waits for room need not wait for that
        if (this.agent !== undefined) this.pool.used(this);
      }),
      singleDialSeconds,
      abort,
      waiters: 0,
      listeners,
    };
    return opening;
  }

  private async join(opening: Opening, { signal, onProgress }: OpenOptions): Promise<Agent> {
    opening.waiters++;
    if (onProgress !== undefined) opening.listeners.add(onProgress);
    let cancel = (): void => {};
    try {
      return await Promise.race([
        opening.agent,
        new Promise<never>((_, reject) => {
          cancel = () =>
            reject(new EbpfError("cancelled", "open the session: cancelled", {}, { host: this.host }));
          if (signal?.aborted) cancel();
          signal?.addEventListener("abort", cancel, { once: true });
        }),
      ]);
    } finally {
      signal?.removeEventListener("abort", cancel);
      if (onProgress !== undefined) opening.listeners.delete(onProgress);
      if (--opening.waiters === 0) opening.abort.abort();
    }
  }

  private async connect(dial: DialOptions): Promise<Agent> {
    await this.pool.admit(this);
    try {
      const bundles = await this.pool.loadBundles();
      const { transport = "ssh2" } = this.connection;
      const line = (this.line = await this.dial(transport, dial));
      const agent = await startAgent(line, bundles, {
        host: this.host,
        ...(dial.signal && { signal: dial.signal }),
        ...(dial.onProgress && { onProgress: dial.onProgress }),
        ...(transport === "openssh" && { unreached: (words: string) => sshFailed(this.host, words) }),
      });
      this.agent = agent;
      this.greeting = agent.hello;
      void agent.rpc.closed.then(() => {
        if (this.agent === agent) this.drop();
      });
      return agent;
    } catch (error) {
      this.drop();
      throw EbpfError.from(error).with({ host: this.host });
    }
  }

  private async dial(transport: NonNullable<Connection["transport"]>, options: DialOptions): Promise<Line> {
    if (transport === "local") return openLocal(this.host);
    if (transport === "openssh") return openOpenssh(this.connection, options);
    return dialSsh2(this.connection, options);
  }

  private drop(): void {
    this.agent = undefined;
    this.line?.close();
    this.line = undefined;
    this.pool.dropped(this);
  }
}

function dialLimit({ dialErrorLimit = DIAL_ERROR_LIMIT }: Connection): number {
  return dialErrorLimit < 0 ? Infinity : Math.max(1, dialErrorLimit);
}

/** Equal connections have equal JSON, whatever the order of their properties. */
function canonical(value: object): unknown {
  return Object.entries(value)
    .filter(([, entry]) => entry !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, entry]) => [name, typeof entry === "object" ? canonical(entry as object) : entry]);
}

const pool = new SessionPool();

export const openSession: OpenSession = pool.open;

/** Ends every session of this process. */
export function closeAll(): void {
  pool.closeAll();
}
