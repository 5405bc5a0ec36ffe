/**
 * The operator's own `ssh`: for certificates, hardware keys, GSSAPI, ProxyCommand, ControlMaster. Host keys are checked
 * by ssh itself, strictly; it never asks anything.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { EbpfError, invalid, type Problem } from "../errors";
import { runChild } from "./child-process";
import { type Connection, hostLabel } from "./connection";
import { parseHostKey } from "./known-hosts";
import type { DialOptions, Line } from "./line";
import { CONFIG_FILE_VARIABLE, expandHome } from "./ssh-config";
import { makeTemporaryDirectory, removeTemporaryDirectory } from "./temporary-directory";

/** Name under which a stated `hostKey` stands in a known_hosts file of ours. */
const KEY_ALIAS = "pulumi-ebpf-host";

export function openOpenssh(connection: Connection, options: DialOptions): Line {
  const host = hostLabel(connection);
  refuseWhatSshCannotTake(connection, host);
  const directory = makeTemporaryDirectory();
  const running = new Set<() => void>();
  return {
    exec: async (command) => {
      const args = sshArguments(connection, directory, options);
      const child = await runChild("ssh", [...args, "--", connection.host, command], host);
      running.add(child.kill);
      void child.ended.then(() => running.delete(child.kill));
      return child;
    },
    close: () => {
      running.forEach((kill) => kill());
      removeTemporaryDirectory(directory);
    },
  };
}

function sshArguments(
  connection: Connection,
  directory: string,
  { dialTimeout, dialErrorLimit: limit, anew }: DialOptions,
): string[] {
  const { port, user, privateKey, agentSocketPath, hostKey, proxy } = connection;
  const options: Record<string, string | number> = {
    BatchMode: "yes",
    StrictHostKeyChecking: "yes",
    ConnectTimeout: Math.ceil(dialTimeout / 1000),
    // ssh waits a second between its attempts
    ConnectionAttempts: Number.isFinite(limit) ? Math.max(1, limit) : 1_000_000,
    ServerAliveInterval: 10,
    ServerAliveCountMax: 3,
    EscapeChar: "none",
  };
  if (agentSocketPath !== undefined) options["IdentityAgent"] = quote(expandHome(agentSocketPath));
  if (hostKey !== undefined) {
    const { type, blob } = parseHostKey(hostKey, hostLabel(connection));
    const file = join(directory, "known_hosts");
    writeFileSync(file, `${KEY_ALIAS} ${type} ${blob}\n`);
    options["HostKeyAlias"] = KEY_ALIAS;
    options["UserKnownHostsFile"] = quote(file);
    options["GlobalKnownHostsFile"] = "none";
  }
  const args = ["-T"];
  const given = process.env[CONFIG_FILE_VARIABLE];
  const config = anew === true ? unsharedConfig(directory, given) : given;
  if (config !== undefined) args.push("-F", config);
  for (const [name, value] of Object.entries(options)) args.push("-o", `${name}=${value}`);
  if (port !== undefined) args.push("-p", String(port));
  if (user !== undefined) args.push("-l", user);
  if (privateKey !== undefined) {
    let file = expandHome(privateKey);
    if (privateKey.includes("-----BEGIN")) {
      file = join(directory, "key");
      writeFileSync(file, privateKey.endsWith("\n") ? privateKey : `${privateKey}\n`, { mode: 0o600 });
    }
    args.push("-i", file, "-o", "IdentitiesOnly=yes");
  }
  if (proxy !== undefined) args.push("-J", hostLabel(proxy));
  return args;
}

/**
 * The user's configuration without ControlMaster. In a file and not by -o, because ssh hands only -F on to the ssh of a
 * ProxyJump; the first value of an option counts. A ProxyCommand that runs ssh by itself is out of reach.
 */
function unsharedConfig(directory: string, given = "~/.ssh/config"): string {
  const file = join(directory, "config");
  const lines = ["Host *", "ControlMaster no", "ControlPath none", `Include ${quote(given)}`];
  // -F also leaves out the system's
  if (given === "~/.ssh/config") lines.push("Include /etc/ssh/ssh_config");
  writeFileSync(file, `${lines.join("\n")}\n`, { mode: 0o600 });
  return file;
}

function refuseWhatSshCannotTake({ password, privateKeyPassword, proxy }: Connection, host: string): void {
  const reason = 'cannot be handed to ssh; use ssh-agent, or transport "ssh2"';
  const problems: Problem[] = [];
  if (password !== undefined) problems.push({ property: "connection.password", reason });
  if (privateKeyPassword !== undefined) problems.push({ property: "connection.privateKeyPassword", reason });
  for (const property of [
    "password",
    "privateKey",
    "privateKeyPassword",
    "agentSocketPath",
    "hostKey",
  ] as const) {
    if (proxy?.[property] === undefined) continue;
    problems.push({
      property: `connection.proxy.${property}`,
      reason: 'cannot be handed to ssh; put it into ~/.ssh/config or known_hosts, or use transport "ssh2"',
    });
  }
  if (problems.length > 0) {
    throw invalid('open the connection: transport "openssh" takes no such credentials', problems, { host });
  }
}

/** ssh splits values of -o at spaces. */
function quote(value: string): string {
  return `"${value}"`;
}

/** ssh tells only in words whether it was the way, the host key or the login that failed. */
export function sshFailed(host: string, lastWords: string): EbpfError {
  return new EbpfError(
    "transport",
    `reach the host by ssh: ${lastWords}`,
    { phase: "dial" },
    { host, remedy: `make \`ssh -o BatchMode=yes ${host} true\` work first` },
  );
}
