/**
 * Settings of a stack, and the credentials of a moment: what the environment or the stack's configuration says wins
 * over the state, because destroy and refresh run with a state that may hold a rotated key.
 */
import { EbpfError } from "../errors";
import { CREDENTIALS, type Connection, hostLabel } from "../transport/connection";

export interface Settings {
  /** `host`: check asks the host what an apply would do. `offline`: it dials nobody. */
  preview: "host" | "offline";
  /** Override those of every connection. */
  credentials: Credentials;
  /** Override those of every bastion. */
  proxyCredentials: Credentials;
  /** Lends its credentials to connections of the same host, which need not repeat them in the state. */
  connection?: Connection | undefined;
}

export type Credentials = Partial<Record<(typeof CREDENTIALS)[number], string>>;

/**
 * Reads `ebpf:preview`, `ebpf:privateKey`, `ebpf:privateKeyPassword`, `ebpf:password` (and `ebpf:proxyPrivateKey`, …);
 * the environment's PULUMI_EBPF_PRIVATE_KEY, … come first. Fails with `invalid`.
 */
export function readSettings(
  config: (key: string) => string | undefined,
  environment: NodeJS.ProcessEnv,
): Settings {
  const read = (prefix: string): Credentials => {
    const found: Credentials = {};
    for (const name of CREDENTIALS) {
      const key = prefix === "" ? name : `${prefix}${name[0]!.toUpperCase()}${name.slice(1)}`;
      const variable = `PULUMI_EBPF_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
      const value = environment[variable] ?? config(`ebpf:${key}`);
      if (value !== undefined && value !== "") found[name] = value;
    }
    return found;
  };
  const preview = config("ebpf:preview") ?? "host";
  if (preview !== "host" && preview !== "offline") {
    throw new EbpfError(
      "invalid",
      `read the configuration ebpf:preview: "${preview}" is neither "host" nor "offline"`,
      {},
      { remedy: "run `pulumi config set ebpf:preview host`" },
    );
  }
  return {
    preview,
    credentials: read(""),
    proxyCredentials: read("proxy"),
  };
}

export function withCredentials(given: Connection, settings: Settings): Connection {
  const { proxy, ...rest } = lent(given, settings.connection);
  return {
    ...overridden(rest, settings.credentials),
    ...(proxy === undefined ? {} : { proxy: overridden(proxy, settings.proxyCredentials) }),
  };
}

/** The way to a host alone, as the state of a resource keeps it where the provider's configuration has the rest. */
export function withoutCredentials(connection: Connection): Connection {
  const strip = <T extends Credentials>(endpoint: T): T => {
    const rest = { ...endpoint };
    for (const name of CREDENTIALS) delete rest[name];
    return rest;
  };
  const { proxy, ...rest } = connection;
  return { ...strip(rest), ...(proxy === undefined ? {} : { proxy: strip(proxy) }) };
}

/** A connection that brings credentials of its own takes none, nor does its bastion. */
function lent(connection: Connection, lender: Connection | undefined): Connection {
  if (lender === undefined || hostLabel(lender) !== hostLabel(connection)) return connection;
  const { proxy, ...rest } = connection;
  return {
    ...borrow(rest, lender),
    ...(proxy === undefined
      ? {}
      : {
          proxy:
            lender.proxy !== undefined && hostLabel(lender.proxy) === hostLabel(proxy)
              ? borrow(proxy, lender.proxy)
              : proxy,
        }),
  };
}

function borrow<T extends Credentials>(endpoint: T, lender: Credentials): T {
  if (CREDENTIALS.some((name) => endpoint[name] !== undefined)) return endpoint;
  const result: T = { ...endpoint };
  for (const name of CREDENTIALS) if (lender[name] !== undefined) result[name] = lender[name];
  return result;
}

/** A passphrase belongs to its key: it goes when another key comes. */
function overridden<T extends Credentials>(endpoint: T, credentials: Credentials): T {
  const { privateKeyPassword: _passphrase, ...withoutPassphrase } = endpoint;
  return { ...(credentials.privateKey === undefined ? endpoint : withoutPassphrase), ...credentials } as T;
}
