/**
 * A process that outlives the session and runs `agent revert <spec id>` when the time of a change is over.
 *
 * Owns: its start, in a scope of systemd's own where that is, its clock, and its early end. Does not own: whether
 * anything goes back (reconcile/confirm.ts). It is a sleeping shell, started before the change and told when that is
 * made; an agent that dies in between tells it as well, by the end of the pipe.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { EbpfError } from "../errors";
import { systemCode } from "./durable-file";

/** Of a going back that fails, as when the host's lock is held for long. */
const ATTEMPTS = 5;
const PAUSE_SECONDS = 5;

/** $0: seconds; $@: the command. */
const script = `
echo armed
exec >/dev/null 2>&1
read -r told
sleep "$0"
attempt=0
until "$@"; do
  attempt=$((attempt + 1))
  [ $attempt -lt ${ATTEMPTS} ] || exit 1
  sleep ${PAUSE_SECONDS}
done
`;

export interface RevertTimer {
  /** Its process group. */
  readonly id: number;
  /** From now on the time runs. */
  start(): void;
  stop(): void;
}

/** Resolves when it stands. Fails with `limit` where no process can be started. */
export async function armRevertTimer(specId: string, withinSeconds: number): Promise<RevertTimer> {
  const agent = [process.execPath, ...process.execArgv, process.argv[1]!];
  const command = ["sh", "-c", script, String(withinSeconds), ...agent, "revert", specId];
  const scope = ["systemd-run", "--quiet", "--collect", "--scope", "--"];
  const systemd = fs.existsSync("/run/systemd/system") ? await arm([...scope, ...command]) : undefined;
  const timer = systemd ?? (await arm(command));
  if (timer !== undefined) return timer;
  throw new EbpfError(
    "limit",
    "start the process that takes the change back unless it is confirmed: it ended at once",
    { resource: "processes" },
    { remedy: "free processes or memory on the host, or leave confirm out" },
  );
}

/** Undefined: it did not come to stand. */
async function arm([file = "", ...args]: string[]): Promise<RevertTimer | undefined> {
  // detached: a session of its own, which no hangup reaches
  const child = spawn(file, args, { cwd: "/", detached: true, stdio: ["pipe", "pipe", "ignore"] });
  child.stdin.on("error", () => {}); // it was ended by somebody else
  const over = once(child, "exit").catch(() => undefined);
  const armed = await Promise.race([once(child.stdout, "data"), over.then(() => undefined)]);
  if (armed === undefined || child.pid === undefined) return undefined;
  const id = child.pid;
  child.unref();
  return {
    id,
    start: () => void child.stdin.end("\n"),
    stop: () => stopRevertTimer(id, args.at(-1)!),
  };
}

/** Also one that another agent started. Its number may be another process's by now, so its command line must fit. */
export function stopRevertTimer(id: number, specId: string): void {
  try {
    const words = fs.readFileSync(`/proc/${id}/cmdline`, "utf8").split("\0");
    if (words.includes("revert") && words.includes(specId)) process.kill(-id, "SIGKILL");
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
  }
}
