// What the set-up scripts share: one line per step with its time, child processes, the cache outside the clone.
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "pulumi-ebpf");

/** Something the reader can act on; printed as one line, without a stack. */
export class SetupError extends Error {}

/** Runs `work` and prints `title … 1.2 s`. Call it only when there is something to do. */
export async function step(title, work) {
  const start = performance.now();
  process.stdout.write(`${title} … `);
  try {
    const result = await work();
    process.stdout.write(`${((performance.now() - start) / 1000).toFixed(1)} s\n`);
    return result;
  } catch (error) {
    process.stdout.write("failed\n");
    throw error;
  }
}

/** Runs a command quietly; resolves to its stdout. Rejects with the end of what it printed. */
export function run(command, args, { cwd = root, env = {}, timeoutSeconds = 1800 } = {}) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      // not `timeout`: its timer goes on, and this process with it, after a command that is not there
      signal: AbortSignal.timeout(timeoutSeconds * 1000),
    });
    let stdout = "";
    let all = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
      all += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => (all += text));
    child.once("error", (error) => {
      const reason =
        error.name === "AbortError" ? `still runs after ${timeoutSeconds} s, ended` : error.message;
      fail(new SetupError(`${command}: ${reason}`));
    });
    child.once("close", (code, signal) => {
      if (code === 0) return done(stdout);
      const tail = all.trimEnd().split("\n").slice(-30).join("\n");
      fail(new SetupError(`${command} ${args.join(" ")}: ${signal ?? `exit status ${code}`}\n${tail}`));
    });
  });
}

/** Whether the command runs and exits with 0. */
export async function succeeds(command, args, options) {
  return run(command, args, options).then(
    () => true,
    () => false,
  );
}

/** One set-up at a time on this machine; the kernel lets go when this process ends, however it ends. */
export async function lock() {
  mkdirSync(cache, { recursive: true });
  const child = spawn("flock", [join(cache, "setup.lock"), "sh", "-c", "echo; exec cat"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await new Promise((done, fail) => {
    child.stdout.once("data", done);
    child.once("error", fail);
    child.once("close", () => fail(new SetupError(`no lock on ${cache}/setup.lock`)));
  });
  return () =>
    new Promise((done) => {
      child.removeAllListeners("close");
      child.once("close", done);
      child.stdin.end();
    });
}
