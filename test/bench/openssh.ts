/**
 * The rival's tools: OpenSSH's own ssh and scp, one connection per command, as a script of an operator uses them.
 *
 * Owns: their command lines. Does not own: what runs on the host.
 */
import { type CommandOptions, run } from "../support/command.js";
import { type TestHost } from "../support/host.js";

function options(host: TestHost): string[] {
  const settings = {
    BatchMode: "yes",
    IdentitiesOnly: "yes",
    IdentityFile: host.identityFile,
    StrictHostKeyChecking: "yes",
    UserKnownHostsFile: host.knownHostsFile,
    LogLevel: "ERROR",
  };
  return ["-F", "none", ...Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`])];
}

/** Runs a command, or a script given as `input`, on the host; answers its stdout. */
export async function ssh(host: TestHost, command: string, more: CommandOptions = {}): Promise<string> {
  const { stdout } = await run(["ssh", ...options(host), `root@${host.connection.host}`, command], more);
  return stdout;
}

export async function scp(host: TestHost, file: string, to: string): Promise<void> {
  await run(["scp", "-q", ...options(host), file, `root@${host.connection.host}:${to}`]);
}
