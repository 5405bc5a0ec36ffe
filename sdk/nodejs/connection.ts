/** ConnectionArgs: how a host is reached, and the protection of its credentials. */
import * as pulumi from "@pulumi/pulumi";

interface EndpointArgs {
  /** Address, host name, or an alias of ~/.ssh/config. Example: `"edge-1"`. */
  host: pulumi.Input<string>;
  /** SSH port. Default: ~/.ssh/config, else 22. */
  port?: pulumi.Input<number>;
  /** Login name. Default: ~/.ssh/config, else `"root"`. Others than root need `sudo -n`. */
  user?: pulumi.Input<string>;
  /** Password of the login. Always a secret. */
  password?: pulumi.Input<string>;
  /** Private key as PEM text, or the path of a key file. Always a secret. */
  privateKey?: pulumi.Input<string>;
  /** Passphrase of the private key. Always a secret. */
  privateKeyPassword?: pulumi.Input<string>;
  /** Socket of ssh-agent. Default: `$SSH_AUTH_SOCK`. */
  agentSocketPath?: pulumi.Input<string>;
  /** Dials before giving up; -1 is no limit. Default 10. */
  dialErrorLimit?: pulumi.Input<number>;
  /** Seconds per dial. Default 15. */
  perDialTimeout?: pulumi.Input<number>;
  /** The host's public key as in authorized_keys (`"ssh-ed25519 AAAA…"`). Default: known_hosts. Never unchecked. */
  hostKey?: pulumi.Input<string>;
}

/** A bastion. */
export type ProxyConnectionArgs = EndpointArgs;

/**
 * How a host is reached. The shape of @pulumi/command's `connection`: one object serves both packages.
 *
 * Credentials given here are kept encrypted in the state, because destroy and refresh run no program. Without them
 * nothing is in the state, and ssh-agent and ~/.ssh serve. Config `ebpf:privateKey` (`ebpf:password`,
 * `ebpf:privateKeyPassword`; for the bastion `ebpf:proxyPrivateKey` …) or the environment's `PULUMI_EBPF_PRIVATE_KEY`
 * … override both, as after a rotation of keys.
 */
export interface ConnectionArgs extends EndpointArgs {
  /** A bastion to go through. */
  proxy?: pulumi.Input<ProxyConnectionArgs>;
  /**
   * `ssh2`: built in. `openssh`: the operator's own ssh command, with certificates, hardware keys, ProxyCommand.
   * `local`: this machine, without SSH. Default `"ssh2"`.
   */
  transport?: pulumi.Input<"ssh2" | "openssh" | "local">;
}

const CREDENTIALS = ["password", "privateKey", "privateKeyPassword"] as const;

/** Makes secrets of the credentials, those of the bastion too; what else it holds stays readable in a preview. */
export function protectCredentials(connection: pulumi.Input<ConnectionArgs>): pulumi.Input<ConnectionArgs> {
  const protect = (endpoint: EndpointArgs) => withEachCredential(endpoint, (value) => pulumi.secret(value));
  return plainOrApply(connection, ({ proxy, ...endpoint }) => ({
    ...protect(endpoint),
    ...(proxy === undefined ? {} : { proxy: plainOrApply(proxy, protect) }),
  }));
}

/** As `protectCredentials` undone, where it can be seen: of a connection, and a bastion, that are no Output. */
export function exposeCredentials(connection: pulumi.Input<ConnectionArgs>): pulumi.Input<ConnectionArgs> {
  const expose = (endpoint: EndpointArgs) =>
    withEachCredential(endpoint, (value) => pulumi.unsecret(pulumi.output(value)));
  if (isLater(connection) || !isObject(connection)) return connection;
  const { proxy } = connection;
  return {
    ...expose(connection),
    ...(isLater(proxy) || !isObject(proxy) ? {} : { proxy: expose(proxy) }),
  };
}

function withEachCredential<T extends EndpointArgs>(
  endpoint: T,
  change: (value: pulumi.Input<string>) => pulumi.Input<string>,
): T {
  const result = { ...endpoint };
  for (const name of CREDENTIALS) {
    const value = result[name];
    if (value !== undefined) result[name] = change(value);
  }
  return result;
}

function isLater<T>(value: pulumi.Input<T>): value is pulumi.OutputInstance<T> | Promise<T> {
  return pulumi.Output.isInstance(value) || value instanceof Promise;
}

/**
 * Keeps what is known readable: only an Output or a promise becomes an Output. What is no object goes on as it is, for
 * check to say what should stand there.
 */
export function plainOrApply<T extends object, R = T>(
  value: pulumi.Input<T>,
  change: (value: T) => R,
): pulumi.Input<R> {
  const changed = (inner: unknown) => (isObject(inner) ? change(inner as T) : (inner as R));
  if (!isLater(value)) return changed(value);
  return pulumi.output(value).apply(changed) as pulumi.Output<R>;
}

/** As `plainOrApply`, for each item of a list. */
export function eachPlainOrApply<T extends object, R = T>(
  list: pulumi.Input<pulumi.Input<T>[]>,
  change: (item: T) => R,
): pulumi.Input<pulumi.Input<R>[]> {
  const changed = (items: pulumi.Input<T>[]) =>
    (Array.isArray(items) ? items.map((item) => plainOrApply(item, change)) : items) as pulumi.Input<R>[];
  return plainOrApply(list, changed);
}

export function isObject(value: unknown): value is object {
  return value !== null && typeof value === "object";
}

/** Arguments, of which a program in JavaScript may give none at all: check says what is missing. */
export function given<T extends object>(args: T): T {
  return isObject(args) ? args : ({} as T);
}

/** `ebpf:connection` of the stack's configuration. */
export function configuredConnection(): pulumi.Unwrap<ConnectionArgs> | undefined {
  return new pulumi.Config("ebpf").getObject<pulumi.Unwrap<ConnectionArgs>>("connection");
}
