/**
 * Several stacks of examples/firewall on one PostgreSQL, each with hosts of its own, run by the scripts of
 * examples/gitops as CI jobs would run them.
 *
 * Owns: their making, and running a script. Does not own: what is measured or asserted.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type CommandResult, run } from "./command.js";
import { Lab } from "./lab.js";
import type { NetnsHost } from "./netns-host.js";
import { Postgres } from "./postgres.js";
import { PulumiProject } from "./pulumi.js";

const root = resolve(__dirname, "../..");

/** Seconds: of the clock, of all processors in programs and in the kernel. */
export interface Times {
  real: number;
  user: number;
  system: number;
}

export class Stacks {
  private constructor(
    readonly names: readonly string[],
    /** Hosts of each stack. */
    readonly hosts: Readonly<Record<string, NetnsHost[]>>,
    readonly project: PulumiProject,
    readonly postgres: Postgres,
    private readonly lab: Lab,
    /** What each stack's file must keep. */
    private readonly salts: Readonly<Record<string, string>>,
  ) {}

  /** `{ a: 5, b: 5 }`: how many hosts each stack has. */
  static async create(sizes: Readonly<Record<string, number>>): Promise<Stacks> {
    const names = Object.keys(sizes);
    const lab = await Lab.create({ hosts: Object.values(sizes).reduce((sum, size) => sum + size, 0) });
    let postgres: Postgres | undefined;
    let project: PulumiProject | undefined;
    try {
      postgres = await Postgres.start();
      let next = 0;
      const hosts = Object.fromEntries(
        Object.entries(sizes).map(([name, size]) => [name, lab.hosts.slice(next, (next += size))]),
      );
      const [first = "", ...others] = names;
      const program = { directory: join(root, "examples/firewall") };
      const env = { PULUMI_BACKEND_URL: postgres.url, LOCK_SECONDS: "1" };
      const made = await PulumiProject.create({ program, name: "firewall", stack: first, env });
      project = made;
      for (const name of others) await project.pulumi("stack", "init", name, "--non-interactive");
      const salts = Object.fromEntries(names.map((name) => [name, saltIn(made, name)]));
      const stacks = new Stacks(names, hosts, project, postgres, lab, salts);
      for (const name of names) stacks.configure(name);
      return stacks;
    } catch (error) {
      await end(lab, project, postgres);
      throw error;
    }
  }

  /** Another sample rate is another program on every host. */
  configure(stack: string, sampleRate = 100): void {
    const hosts = this.hosts[stack]!.map(({ connection }, index) => ({
      name: `${stack}-${index}`,
      connection,
      interface: "eth0",
    }));
    const rules = [{ network: "203.0.113.0/24", action: "DROP" }];
    const config = { "firewall:hosts": hosts, "firewall:rules": rules, "firewall:sampleRate": sampleRate };
    const file = `Pulumi.${stack}.yaml`;
    this.project.write(file, `${this.salts[stack]}config: ${JSON.stringify(config)}\n`);
  }

  /** A script of examples/gitops, or `pulumi` itself; its exit status is not looked at. */
  run(script: "stacks" | "stack-job" | "pulumi", ...words: string[]): Promise<CommandResult> {
    const { directory: cwd, environment: env } = this.project;
    return run([this.file(script), ...words], { cwd, env, check: false, timeoutSeconds: 600 });
  }

  /** The same in the background; its id is the process's own. */
  spawn(script: "stacks" | "stack-job" | "pulumi", ...words: string[]): ChildProcess {
    const { directory: cwd, environment: env } = this.project;
    return spawn(this.file(script), words, { cwd, env, stdio: "ignore" });
  }

  /** In the background, with the seconds it took. Fails unless it ends well. */
  spawnTimed(script: "stacks", ...words: string[]): { pid: number; ended: Promise<Times> } {
    const { directory: cwd, environment: env } = this.project;
    // `time` counts all descendants that were waited for
    const timed = `TIMEFORMAT='%R %U %S'; time "$@" > /dev/null 2>&1`;
    const child = spawn("bash", ["-c", timed, "bash", this.file(script), ...words], {
      cwd,
      env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let text = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    const ended = new Promise<Times>((done, fail) => {
      child.once("error", fail);
      child.once("close", (code) => {
        const [real, user, system] = text.trim().split(" ").map(Number);
        if (code === 0) done({ real: real!, user: user!, system: system! });
        else fail(new Error(`${script} ${words.join(" ")}: exit status ${code}`));
      });
    });
    return { pid: child.pid!, ended };
  }

  /** Keys of the locks that a stack has in the database. */
  locksOf(stack: string): Promise<string[]> {
    return this.postgres.query(`select key from pulumi_state where key like '%/locks/%/${stack}/%'`);
  }

  destroy(): Promise<void> {
    return end(this.lab, this.project, this.postgres);
  }

  private file(script: string): string {
    return script === "pulumi" ? script : join(root, "examples/gitops", script);
  }
}

async function end(lab: Lab, project?: PulumiProject, postgres?: Postgres): Promise<void> {
  await lab.destroy();
  project?.dispose();
  await postgres?.stop();
}

/** What the engine needs to read a stack's secrets: it wrote that line itself. */
function saltIn({ directory }: PulumiProject, stack: string): string {
  const text = readFileSync(join(directory, `Pulumi.${stack}.yaml`), "utf8");
  return /^encryptionsalt: .*\n/m.exec(text)![0];
}
