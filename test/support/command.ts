/**
 * Runs one command of the machine and waits for it. All of test/support goes through this.
 *
 * Owns: spawning, time limits, and an error that shows what the command said.
 * Does not own: where the command runs (see host.ts).
 */
import { spawn } from "node:child_process";

export interface CommandResult {
  /** Exit status; 128 + signal number when a signal ended the command. */
  code: number;
  stdout: string;
  stderr: string;
}

export interface CommandOptions {
  /** Throw when the exit status is not 0. Default true. */
  check?: boolean;
  /** Written to the command's stdin, which is empty without it. */
  input?: string | Buffer;
  /** Seconds until the command is killed and the call rejects. Default 60. */
  timeoutSeconds?: number;
  /** What else the error shall say of an exit status. */
  remark?: (code: number) => string;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

const signalNumbers: Record<string, number> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGPIPE: 13, SIGTERM: 15 };

/** @throws Error naming the command, its status and its stderr, unless `check` is false. */
export async function run(command: string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { check = true, input = "", timeoutSeconds = 60, remark, env = process.env, cwd } = options;
  const [file, ...args] = command;
  if (file === undefined) throw new Error("run: empty command");
  const child = spawn(file, args, { env, cwd, stdio: ["pipe", "pipe", "pipe"] });
  const text = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text.stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (text.stderr += chunk));
  child.stdin.on("error", () => undefined).end(input); // a command may end before it reads its stdin
  let expired = false;
  const timer = setTimeout(() => {
    expired = true;
    child.kill("SIGKILL");
  }, timeoutSeconds * 1000);
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, signal) => resolve(status ?? 128 + (signalNumbers[signal ?? ""] ?? 0)));
  }).finally(() => clearTimeout(timer));
  if (expired || (check && code !== 0)) {
    const what = expired ? `killed after ${timeoutSeconds} s` : `exit status ${code}`;
    throw new Error(`${command.join(" ")}: ${what}\n${text.stderr}${text.stdout}${remark?.(code) ?? ""}`);
  }
  return { code, ...text };
}
