/** run: one command of the operator's on the host, with a limit of time. */
import { spawn } from "node:child_process";
import type { RunParams, RunResult } from "../protocol/messages";

/** Of its output: what a message can hold. */
const OUTPUT_LIMIT = 2_000;

export function runCommand({ command, timeoutSeconds }: RunParams, signal: AbortSignal): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    // a group of its own, so that what it starts ends with it
    const child = spawn("sh", ["-c", command], {
      cwd: "/",
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    let timedOut = false;
    const keep = (chunk: string): void => {
      output = (output + chunk).slice(-OUTPUT_LIMIT);
    };
    child.stdout.setEncoding("utf8").on("data", keep);
    child.stderr.setEncoding("utf8").on("data", keep);
    const end = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // it ended by itself
      }
    };
    const timer = setTimeout(() => {
      timedOut = true;
      end();
    }, timeoutSeconds * 1000);
    signal.addEventListener("abort", end, { once: true });
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
    };
    child.once("error", (error) => {
      settle();
      reject(error);
    });
    // not `close`: a child that keeps the pipes open must not hold up the answer
    child.once("exit", (exitCode) => {
      settle();
      setImmediate(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        resolve({ exitCode, timedOut, output: output.trim() });
      });
    });
  });
}
