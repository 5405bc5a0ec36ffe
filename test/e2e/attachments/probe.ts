/** Traffic for the contract suite: what must be refused and what must pass, over and over, with counts. */
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import type { Lab } from "../../support/lab";
import { Flood } from "../../support/traffic";
import { guarded } from "./kinds";

export interface ProbeCount {
  /** What had to be refused, and was. */
  refused: number;
  /** What had to be refused, and was not. */
  slipped: number;
  passed: number;
  blocked: number;
}

const blockedPort = 7777;
const openPort = 7778;

/** Resolves when the traffic flows; `result` when it has ended, after `seconds`. */
export async function startProbe(
  lab: Lab,
  action: string,
  seconds: number,
): Promise<{ result: Promise<ProbeCount> }> {
  return action.startsWith("packets ") ? packets(lab, action, seconds) : processes(lab, action, seconds);
}

async function packets(lab: Lab, action: string, seconds: number): Promise<{ result: Promise<ProbeCount> }> {
  const [from, to] = action === "packets in" ? [lab.client, lab.host()] : [lab.host(), lab.client];
  const [bad, good] = await Promise.all(
    [blockedPort, openPort].map((port) => Flood.start(from, to, { port, packetsPerSecond: 20_000 })),
  );
  await good!.flowing();
  const result = new Promise((done) => setTimeout(done, seconds * 1000)).then(async () => {
    const [refused, passed] = await Promise.all([bad!.stop(), good!.stop()]);
    return {
      refused: refused.lost,
      slipped: refused.received,
      passed: passed.received,
      blocked: passed.lost,
    };
  });
  return { result };
}

async function processes(
  lab: Lab,
  action: string,
  seconds: number,
): Promise<{ result: Promise<ProbeCount> }> {
  const script = resolve(__dirname, "../../fixtures/e2e/probe.pl");
  const host = lab.host();
  const command = host.command(["env", `CGROUP=${guarded}`, "perl", script, action, String(seconds)]);
  const child = spawn(command[0]!, command.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<void>((done, fail) => {
    child.once("error", fail);
    child.once("close", (code) =>
      code === 0 ? done() : fail(new Error(`probe ${action}: ${code}: ${stderr}`)),
    );
  });
  ended.catch(() => undefined); // whoever waits gets it
  const started = new Promise<void>((done) =>
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
      if (stdout.includes("\n")) done();
    }),
  );
  await Promise.race([started, ended]);
  return { result: ended.then(() => JSON.parse(stdout.trim().split("\n").at(-1)!) as ProbeCount) };
}
