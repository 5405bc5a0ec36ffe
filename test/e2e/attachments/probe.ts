/** Traffic for the contract suite: what must be refused and what must pass, over and over, with counts. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { TestSite } from "../../support/host";
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

export interface Probe {
  stop(): Promise<ProbeCount>;
}

export interface ProbeLoad {
  /** Of each of the two floods. Default 20,000. */
  packetsPerSecond?: number;
}

/** Traffic ends by itself after this long. */
const seconds = 120;

/** Resolves when the traffic flows. */
export async function startProbe(site: TestSite, action: string, load: ProbeLoad = {}): Promise<Probe> {
  return action.startsWith("packets ") ? packets(site, action, load) : processes(site, action);
}

const script = readFileSync(resolve(__dirname, "../../fixtures/e2e/probe.pl"), "utf8");

async function packets(site: TestSite, action: string, load: ProbeLoad): Promise<Probe> {
  const [from, to] = action === "packets in" ? [site.client, site.host()] : [site.host(), site.client];
  const options = { packetsPerSecond: load.packetsPerSecond ?? 20_000, seconds };
  const bad = await Flood.start(from, to, { port: blockedPort, ...options });
  const good = await Flood.start(from, to, { port: openPort, ...options });
  await good.flowing(100);
  return {
    async stop() {
      await good.flowing(100);
      const [refused, passed] = await Promise.all([bad.stop(), good.stop()]);
      return {
        refused: refused.lost,
        slipped: refused.received,
        passed: passed.received,
        blocked: passed.lost,
      };
    },
  };
}

async function processes(site: TestSite, action: string): Promise<Probe> {
  const host = site.host();
  const command = host.command(["env", `CGROUP=${guarded}`, "perl", "-e", script, action, String(seconds)]);
  const child = spawn(command[0]!, command.slice(1), { stdio: ["pipe", "pipe", "pipe"] });
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
  return {
    async stop() {
      await new Promise((done) => setTimeout(done, 500));
      child.stdin.end();
      await ended;
      return JSON.parse(stdout.trim().split("\n").at(-1)!) as ProbeCount;
    },
  };
}
