/**
 * A git repository of examples/firewall with the hook and the drift job of examples/gitops, as a team would have it: a
 * bare one on the CI machine, and a developer's clone.
 *
 * Owns: both repositories, the CI machine's settings. Does not own: the engine and hosts (stage.ts).
 */
import { appendFileSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { run } from "../support/command.js";
import type { Connection } from "../support/host.js";
import type { Screen } from "./screen.js";
import { engineLog } from "./engine.js";
import type { Settings, Stage } from "./stage.js";

const example = resolve(__dirname, "../../examples/gitops");
/** Where the example's unit expects its scripts. */
const scripts = "/opt/ebpf-ci";

export interface Job {
  code: number;
  lines: string[];
}

export class Repository {
  private readonly bare: string;
  /** ci.env. */
  private readonly settings: Record<string, string>;

  private constructor(
    private readonly stage: Stage,
    private readonly screen: Screen,
  ) {
    const { project, edge1 } = stage;
    this.bare = join(project.directory, ".ci/ebpf.git");
    this.settings = {
      STACKS: project.stack,
      REPAIR: "yes",
      PULUMI_BACKEND_URL: `file://${project.backend}`,
      PULUMI_CONFIG_PASSPHRASE: "x",
      PULUMI_EBPF_PRIVATE_KEY: edge1.identityFile,
      // the packages as npm ci would bring them
      INSTALL: `ln -s ${project.directory}/node_modules .`,
    };
  }

  static async create(stage: Stage, screen: Screen): Promise<Repository> {
    const repository = new Repository(stage, screen);
    await repository.createBare();
    await repository.createClone();
    return repository;
  }

  /** Writes the stack's file, on a branch of that name, and commits it. No credential is in it. */
  async commit(branch: string, message: string, { rules, sampleRate }: Settings): Promise<void> {
    const { stdout: current } = await this.git("branch", "--show-current");
    if (current.trim() !== branch) await this.git("switch", "--quiet", "--create", branch);
    const { edge1, project } = this.stage;
    const { privateKey: _, ...connection } = edge1.connection as Connection & { privateKey: string };
    project.configure({ hosts: [{ name: "edge-1", connection, interface: "eth0" }], rules, sampleRate });
    await this.git("add", "--all");
    await this.git("commit", "--quiet", "--message", message);
  }

  async merge(branch: string): Promise<void> {
    await this.git("switch", "--quiet", "main");
    await this.git("merge", "--quiet", "--ff-only", branch);
  }

  /** `git push`, shown; the lines that the hook printed. */
  async push(branch: string): Promise<Job> {
    const done = this.screen.command(`git push origin ${branch}`);
    const { code, stderr } = await this.git("push", "--quiet", "origin", branch);
    const lines = stderr.split("\n").flatMap((line) => (line.startsWith("remote: ") ? [line.slice(8)] : []));
    appendFileSync(engineLog, `$ git push origin ${branch}\n${lines.join("\n")}\n`);
    done(lines.at(-1)?.trim() ?? "");
    return { code, lines };
  }

  /** What the timer's unit runs, as its ExecStart says. */
  async driftJob(): Promise<Job> {
    const unit = readFileSync(join(example, "systemd/ebpf-drift.service"), "utf8");
    return this.job(/^ExecStart=(.*)$/m.exec(unit)![1]!);
  }

  /** Runs a script of the CI machine with its settings. */
  async job(line: string): Promise<Job> {
    const words = line.split(" ").map((word) => word.replace(scripts, example));
    const settings = Object.entries(this.settings).map(([key, value]) => `${key}=${value}`);
    const done = this.screen.command(line.replaceAll(`${scripts}/`, ""));
    const { environment: env, directory: cwd } = this.stage.project;
    const command = ["env", `GIT_DIR=${this.bare}`, ...settings, ...words];
    const { code, stdout, stderr } = await run(command, { cwd, env, check: false, timeoutSeconds: 300 });
    appendFileSync(engineLog, `$ ${line}\n${stdout}${stderr}\n`);
    done(`exit status ${code}`);
    return { code, lines: `${stdout}${stderr}`.split("\n") };
  }

  private async createBare(): Promise<void> {
    await this.git("init", "--quiet", "--bare", "--initial-branch", "main", this.bare);
    symlinkSync(join(example, "hooks/post-receive"), join(this.bare, "hooks/post-receive"));
    const lines = Object.entries(this.settings).map(([key, value]) => `${key}='${value}'\n`);
    writeFileSync(join(this.bare, "ci.env"), lines.join(""));
  }

  private async createClone(): Promise<void> {
    const { project } = this.stage;
    await this.git("init", "--quiet", "--initial-branch", "main");
    await this.git("remote", "add", "origin", this.bare);
    await this.git("config", "user.name", "Developer");
    await this.git("config", "user.email", "developer@example.net");
    project.write(".gitignore", "node_modules/\n.*\n!.gitignore\n");
  }

  private git(...words: string[]) {
    const { directory: cwd, environment: env } = this.stage.project;
    return run(["git", ...words], { cwd, env, timeoutSeconds: 300 });
  }
}
