/** A command that this machine runs, as a RemoteCommand: what local.ts and openssh.ts share. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { EbpfError } from "../errors";
import type { RemoteCommand } from "./line";

/** Fails with phase `exec` if the program cannot be started. */
export async function runChild(
  file: string,
  args: string[],
  host: string,
): Promise<RemoteCommand & { kill: () => void }> {
  // a process group of its own: an interrupt at the terminal reaches the engine, which lets verbs finish
  const child: ChildProcess = spawn(file, args, { stdio: "pipe", detached: process.platform !== "win32" });
  const ended = new Promise<string>((resolve) => {
    child.once("close", (code, signal) =>
      resolve(code === null ? `signal ${signal}` : `exit status ${code}`),
    );
  });
  try {
    await once(child, "spawn");
  } catch (error) {
    throw new EbpfError(
      "transport",
      `start ${file}: ${(error as Error).message}`,
      { phase: "exec" },
      { host, cause: error, remedy: `make sure that ${file} is on PATH` },
    );
  }
  child.on("error", () => {}); // a failed kill; `ended` tells what became of it
  const stdio = Duplex.from({ readable: child.stdout!, writable: child.stdin! });
  stdio.on("error", () => {}); // EPIPE after its end, which `ended` reports
  return { stdio, stderr: child.stderr!, ended, kill: () => void child.kill() };
}
