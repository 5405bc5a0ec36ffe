/**
 * The built-in SSH client. Owns: the dial through bastions, its timeouts, keep-alive, and what ssh2's errors mean.
 * Does not own: ~/.ssh/config (ssh-config.ts), host keys (known-hosts.ts), credentials (credentials.ts), how often to
 * dial (dial-limits.ts).
 */
import { randomUUID } from "node:crypto";
import type { Duplex } from "node:stream";
import type { Client, ServerHostKeyAlgorithm } from "ssh2";
import { EbpfError } from "../errors";
import { type Connection, hostLabel, type Proxy } from "./connection";
import { credentials } from "./credentials";
import { dialWithRetries, throwIfAborted } from "./dial-limits";
import { knownKeys } from "./known-hosts";
import type { DialOptions, Line, RemoteCommand } from "./line";
import { type HostConfig, parseJump, resolveHost } from "./ssh-config";

const KEEPALIVE_MS = 10_000;
/** Unanswered keep-alives after which the connection counts as lost. */
const KEEPALIVE_LIMIT = 3;
const GOODBYE_MS = 1_000;
const EXEC_TIMEOUT_MS = 30_000;
/** A ProxyJump that leads back to itself ends here. */
const LONGEST_CHAIN = 8;

/** One SSH server on the way, the target last. */
interface Hop {
  endpoint: Proxy;
  config: HostConfig;
  /** `dial`'s object in messages. */
  name: string;
}

export async function dialSsh2(connection: Connection, options: DialOptions): Promise<Line> {
  const host = hostLabel(connection);
  const hops = await route(connection, host);
  return dialWithRetries(host, options, async () => {
    const chain = new Chain();
    try {
      return line(host, chain, await chain.connect(hops, host, options));
    } catch (error) {
      chain.release();
      throw error;
    }
  });
}

/** The connection's own proxy comes before ProxyJump of ~/.ssh/config; a bastion's ProxyJump counts too. */
async function route(target: Connection, host: string): Promise<Hop[]> {
  const hops: Hop[] = [];
  const add = async (endpoint: Proxy, proxy: Proxy | undefined, name: string): Promise<void> => {
    const config = await resolveHost(endpoint);
    const jumps = proxy === undefined ? config.proxyJump.map(parseJump) : [proxy];
    if (hops.length > LONGEST_CHAIN) {
      throw new EbpfError(
        "transport",
        `resolve the way: more than ${LONGEST_CHAIN} bastions, the ProxyJump of ~/.ssh/config leads in a circle`,
        { phase: "config" },
        { host, remedy: "correct ProxyJump there, or state proxy in the connection" },
      );
    }
    hops.unshift({ endpoint, config, name });
    // of several jumps only the first has a way of its own; the next ones are reached from it
    for (const [index, jump] of [...jumps.entries()].reverse()) {
      const label = `bastion ${hostLabel(jump)}`;
      if (index > 0) hops.unshift({ endpoint: jump, config: await resolveHost(jump), name: label });
      else await add(jump, undefined, label);
    }
  };
  // the label of the host stands before the message already
  await add(target, target.proxy, "the host");
  return hops;
}

/** A bastion's connection, shared by the hosts behind it. */
interface Shared {
  client: Promise<Client>;
  users: number;
}

const bastions = new Map<string, Shared>();

/** The connections that one host's line stands on. */
class Chain {
  private readonly held: { key: string; shared: Shared }[] = [];
  private target: Client | undefined;

  async connect(hops: Hop[], host: string, options: DialOptions): Promise<Client> {
    let previous: Client | undefined;
    // what nobody else can name is shared with nobody
    const sharedBy = options.anew === true ? randomUUID() : "all";
    for (const [index, hop] of hops.entries()) {
      const through = previous;
      const connect = async (): Promise<Client> =>
        connectHop(hop, host, options, through && (await forward(through, hop, host)));
      if (index === hops.length - 1) {
        this.target = await connect();
        return this.target;
      }
      previous = await this.share(JSON.stringify([sharedBy, ...hops.slice(0, index + 1)]), connect);
    }
    throw new Error("a route has at least the target");
  }

  release(): void {
    if (this.target !== undefined) endClient(this.target);
    for (const { key, shared } of this.held.splice(0).reverse()) {
      if (--shared.users > 0) continue;
      if (bastions.get(key) === shared) bastions.delete(key);
      shared.client.then(endClient, () => {});
    }
  }

  private share(key: string, connect: () => Promise<Client>): Promise<Client> {
    let shared = bastions.get(key);
    if (shared === undefined) {
      shared = { client: connect(), users: 0 };
      bastions.set(key, shared);
      const forget = (): void => {
        if (bastions.get(key) === shared) bastions.delete(key);
      };
      shared.client.then((client) => client.once("close", forget), forget);
    }
    shared.users++;
    this.held.push({ key, shared });
    return shared.client;
  }
}

/** Says goodbye; a host that no longer answers must not keep the process alive. */
function endClient(client: Client): void {
  client.end();
  setTimeout(() => client.destroy(), GOODBYE_MS).unref();
}

function forward(bastion: Client, { config, name }: Hop, host: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    bastion.forwardOut("127.0.0.1", 0, config.host, config.port, (error, channel) => {
      if (error === undefined) resolve(channel);
      else reject(dialError(`dial ${name} through the bastion: ${error.message}`, host, error));
    });
  });
}

async function connectHop(
  { endpoint, config, name }: Hop,
  host: string,
  { dialTimeout, signal }: DialOptions,
  through: Duplex | undefined,
): Promise<Client> {
  const { default: ssh2 } = await import("ssh2"); // 0.1 s: not for a preview that dials nothing
  const known = await knownKeys(config, host, endpoint.hostKey);
  const login = await credentials(endpoint, config, host);
  throwIfAborted(signal, host);
  const client = new ssh2.Client();
  let refused: EbpfError | undefined;
  let shaken = false;

  return new Promise((resolve, reject) => {
    const fail = (error: EbpfError): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
      client.destroy();
      reject(error);
    };
    const timedOut = (): void =>
      fail(
        shaken
          ? loginError(
              `log in to ${name}: no answer in ${dialTimeout / 1000} s`,
              host,
              "look at sshd's log there",
            )
          : dialError(`dial ${name}: no answer in ${dialTimeout / 1000} s`, host),
      );
    const cancel = (): void => fail(new EbpfError("cancelled", `dial ${name}: cancelled`, {}, { host }));
    let timer = setTimeout(timedOut, dialTimeout);
    signal?.addEventListener("abort", cancel, { once: true });

    client.once("handshake", () => {
      shaken = true;
      clearTimeout(timer);
      timer = setTimeout(timedOut, dialTimeout);
    });
    // stays for the client's life: an error without a listener would end the process
    client.on("error", (error: Error & { level?: string }) => {
      if (refused !== undefined) return fail(refused);
      if (error.level === "client-authentication") {
        return fail(
          loginError(
            `log in to ${name} as ${config.user}: refused; ${login.refusal()}`,
            host,
            "set user and privateKey, password or agentSocketPath to what the host lets in",
            error,
          ),
        );
      }
      // an agent that fails is one attempt less: ssh2 goes on to the next
      if (error.level === "agent") return;
      if (error.level === "handshake") return fail(handshakeError(name, host, error));
      if (shaken && !error.level?.startsWith("client-"))
        return fail(loginEnded(name, host, error.message, error));
      fail(dialError(`dial ${name}: ${reason(error)}`, host, error));
    });
    client.once("close", () => {
      if (refused !== undefined) fail(refused);
      else if (shaken) fail(loginEnded(name, host, "the host closed the connection"));
      else fail(dialError(`dial ${name}: the host closed the connection`, host));
    });
    client.once("ready", () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
      client.setNoDelay(true);
      resolve(client);
    });
    client.connect({
      ...(through === undefined ? { host: config.host, port: config.port } : { sock: through as never }),
      username: config.user,
      authHandler: login.handler,
      algorithms: { serverHostKey: algorithms(known.types) },
      hostVerifier: (key: Buffer) => {
        refused = known.verify(key);
        return refused === undefined;
      },
      keepaliveInterval: KEEPALIVE_MS,
      keepaliveCountMax: KEEPALIVE_LIMIT,
      readyTimeout: 0,
    });
  });
}

/** Best first; ssh-rsa with SHA-1 is not among them. */
const HOST_KEY_ALGORITHMS: ServerHostKeyAlgorithm[] = [
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "rsa-sha2-512",
  "rsa-sha2-256",
];

/** The known key's type first: a key of another type could not be checked. */
function algorithms(types: string[]): ServerHostKeyAlgorithm[] {
  const known = HOST_KEY_ALGORITHMS.filter((name) =>
    types.includes(name.startsWith("rsa-") ? "ssh-rsa" : name),
  );
  return [...new Set([...known, ...HOST_KEY_ALGORITHMS])];
}

function dialError(message: string, host: string, cause?: unknown): EbpfError {
  const remedy = "check host and port, that sshd runs there, and that no firewall is between";
  return new EbpfError("transport", message, { phase: "dial" }, { host, remedy, cause });
}

function handshakeError(name: string, host: string, cause: Error): EbpfError {
  const remedy = 'bring its sshd up to date, or set transport: "openssh" in the connection';
  return new EbpfError(
    "transport",
    `dial ${name}: ${cause.message}`,
    { phase: "protocol" },
    { host, remedy, cause },
  );
}

/** Mostly MaxAuthTries. */
function loginEnded(name: string, host: string, why: string, cause?: unknown): EbpfError {
  const remedy =
    "set privateKey in the connection, or IdentitiesOnly in ~/.ssh/config, so that fewer keys are tried";
  return loginError(`log in to ${name}: ${why}`, host, remedy, cause);
}

function loginError(message: string, host: string, remedy: string, cause?: unknown): EbpfError {
  return new EbpfError("transport", message, { phase: "auth" }, { host, remedy, cause });
}

/** Node joins the failures of several addresses under an empty message. */
function reason(error: Error): string {
  const errors = error instanceof AggregateError ? (error.errors as Error[]) : [error];
  return errors.map(({ message }) => message).join("; ");
}

function line(host: string, chain: Chain, client: Client): Line {
  let lost = "the connection ended";
  let open = true;
  client.on("error", (error) => (lost = `the connection was lost: ${error.message}`));
  const closed = new Promise<void>((resolve) => {
    client.once("close", () => {
      open = false;
      chain.release();
      resolve();
    });
  });
  return {
    close: () => chain.release(),
    exec: (command) =>
      new Promise((resolve, reject) => {
        const fail = (text: string, cause?: unknown): void => {
          clearTimeout(timer);
          const phase = open ? "exec" : "closed";
          const remedy = "make sure that the login may run commands (ForceCommand, MaxSessions of its sshd)";
          reject(new EbpfError("transport", `run a command: ${text}`, { phase }, { host, remedy, cause }));
        };
        const timer = setTimeout(() => fail(`no answer in ${EXEC_TIMEOUT_MS / 1000} s`), EXEC_TIMEOUT_MS);
        void closed.then(() => fail(lost));
        if (!open) return fail(lost);
        client.exec(command, (error, channel) => {
          if (error !== undefined) return fail(error.message, error);
          clearTimeout(timer);
          let ended: string | undefined;
          channel.on("exit", (code: number | null, signal?: string) => {
            ended = code === null ? `signal ${signal}` : `exit status ${code}`;
          });
          resolve({
            stdio: channel,
            stderr: channel.stderr,
            // a channel that nobody reads, as while the agent is sent, does not close when its connection does
            ended: Promise.race([
              closed,
              new Promise<void>((resolve) => channel.once("close", () => resolve())),
            ]).then(() => ended ?? lost),
          } satisfies RemoteCommand);
        });
      }),
  };
}
