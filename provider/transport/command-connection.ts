/**
 * A connection as @pulumi/command can take it: that reads no ~/.ssh, and without `hostKey` would trust any host.
 * Owns: what of ~/.ssh/config, known_hosts and key files it is told. Does not own: its dial.
 */
import { readFile } from "node:fs/promises";
import { EbpfError, invalid, type Problem } from "../errors";
import { type Connection, hostLabel, type Proxy } from "./connection";
import { knownHostKey } from "./known-hosts";
import { expandHome, parseJump, resolveHost } from "./ssh-config";

/** Its `hostKey` is always there. */
export type CommandConnection = Omit<Connection, "transport">;

/** Fails with `transport` or `invalid`, naming what to give. */
export async function commandConnection(connection: Connection): Promise<CommandConnection> {
  const { transport = "ssh2", proxy, ...endpoint } = connection;
  if (transport !== "ssh2") {
    const reason = "ebpf.Host works over @pulumi/command, which has its own SSH client: leave it out";
    throw invalid(`reach ${hostLabel(connection)} by @pulumi/command: it takes no transport`, [
      { property: "connection.transport", reason },
    ]);
  }
  const { resolved, jumps } = await resolve(endpoint, "connection");
  const way = proxy ?? (jumps.length === 1 ? parseJump(jumps[0]!) : undefined);
  if (proxy === undefined && jumps.length > 1) {
    throw new EbpfError(
      "transport",
      `reach ${hostLabel(connection)} by @pulumi/command: ~/.ssh/config has ${jumps.length} jumps, it takes one`,
      { phase: "config" },
      { remedy: "give the connection a `proxy` that reaches the host" },
    );
  }
  return {
    ...resolved,
    ...(way === undefined ? {} : { proxy: (await resolve(way, "connection.proxy")).resolved }),
  };
}

async function resolve(endpoint: Proxy, property: string): Promise<{ resolved: Proxy; jumps: string[] }> {
  const config = await resolveHost(endpoint);
  const { host, port, user } = config;
  const { privateKey, password, agentSocketPath = process.env["SSH_AUTH_SOCK"] } = endpoint;
  const problems: Problem[] = [];
  if (privateKey === undefined && password === undefined && agentSocketPath === undefined) {
    const reason = `is missing: @pulumi/command looks at no key file by itself; give \`privateKey: "~/.ssh/id_ed25519"\`, or start ssh-agent`;
    problems.push({ property: `${property}.privateKey`, reason });
  }
  const hostKey = endpoint.hostKey ?? (await knownHostKey(config));
  if (hostKey === undefined) {
    const files = [...new Set(config.knownHostsFiles)].join(", ");
    const reason = `is missing, and ${files} has none: @pulumi/command would trust any host`;
    problems.push({ property: `${property}.hostKey`, reason });
  }
  if (problems.length > 0) {
    throw invalid(`reach ${hostLabel(endpoint)} by @pulumi/command`, problems);
  }
  return {
    resolved: {
      ...endpoint,
      host,
      port,
      user,
      hostKey: hostKey!,
      ...(privateKey === undefined ? {} : { privateKey: await keyText(privateKey, property) }),
    },
    jumps: config.proxyJump,
  };
}

async function keyText(privateKey: string, property: string): Promise<string> {
  if (privateKey.includes("-----BEGIN")) return privateKey;
  const file = expandHome(privateKey);
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const reason = `cannot read the key file ${file}: ${(error as Error).message}`;
    throw invalid("read the private key", [{ property: `${property}.privateKey`, reason }]);
  }
}
