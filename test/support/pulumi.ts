/**
 * A Pulumi project in a temporary directory, run by the real CLI against a `file://` backend.
 *
 * Owns: the project's files, environment and state. Does not own: the engine (scripts/engine.mjs), the installed
 * package (package.ts).
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { bin } from "../../package.json";
import { type CommandResult, run } from "./command.js";
import { temporaryPrefix } from "./lab-network.js";
import { installPackage } from "./package.js";
import type { Mode } from "./modes.js";

export interface ProjectOptions {
  /** Text of index.ts, or a directory whose files are copied (its Pulumi.yaml is replaced). */
  program: string | { directory: string };
  /** Stack configuration: `{ "ebpf:preview": "offline" }`; a key without a colon is the project's own. */
  config?: Record<string, unknown>;
  /** Way to the provider. Default `dynamic`. */
  mode?: Mode;
  /** Of a directory with a program that is not Node's: its Pulumi.yaml is kept. */
  language?: "yaml" | "python" | "go";
  /** Name of the project. Default `test`. */
  name?: string;
  /** Name of the stack. Default `dev`. */
  stack?: string;
  /** Added to the environment of every command. */
  env?: NodeJS.ProcessEnv;
  /** Put first on PATH, such as a virtual environment's `bin`. */
  path?: string;
  /** State directory of another project, to share its backend. */
  backend?: string;
}

export interface VerbOptions {
  /** Throw when the exit status is not 0. Default true. */
  check?: boolean;
  /** More arguments for the CLI. */
  args?: string[];
  env?: NodeJS.ProcessEnv;
  /** Default 300. */
  timeoutSeconds?: number;
}

/** One step of the engine on one resource. */
export interface Step {
  /** `create`, `update`, `delete`, `same`, `replace`, `create-replacement`, `refresh` … */
  op: string;
  urn: string;
  /** Property paths that differ. */
  diffs: string[];
}

export interface Outcome extends CommandResult {
  steps: Step[];
  /** Number of resources per operation, as in the CLI's summary: `{ create: 2, same: 1 }`. */
  changes: Record<string, number>;
}

/** What `pulumi stack export` prints. */
export interface Checkpoint {
  version: number;
  deployment: { resources?: StateResource[]; [key: string]: unknown };
}

export interface StateResource {
  urn: string;
  id?: string;
  type: string;
  inputs?: Record<string, unknown>;
  outputs?: Record<string, unknown>;
  [key: string]: unknown;
}

type Verb = "up" | "preview" | "refresh" | "destroy";

export class PulumiProject {
  private steps = 0;
  private salt = "";
  private config: Record<string, unknown> = {};
  private mode: Mode = "dynamic";

  private constructor(
    /** Where the program is. */
    readonly directory: string,
    readonly environment: NodeJS.ProcessEnv,
    private readonly name: string,
    readonly stack: string,
    readonly backend: string,
  ) {}

  static async create(options: ProjectOptions): Promise<PulumiProject> {
    const { program, config = {}, name = "test", stack = "dev" } = options;
    const directory = mkdtempSync(join(tmpdir(), `${temporaryPrefix}project-`));
    const backend = options.backend ?? join(directory, ".state");
    const environment = { ...(await baseEnvironment(directory, backend)), ...options.env };
    if (options.path !== undefined) environment["PATH"] = `${options.path}${delimiter}${environment["PATH"]}`;
    const project = new PulumiProject(directory, environment, name, stack, backend);
    try {
      for (const folder of [backend, join(directory, ".home"), join(directory, ".tmp")]) {
        mkdirSync(folder, { recursive: true });
      }
      if (typeof program === "string") project.write("index.ts", program);
      else
        cpSync(program.directory, directory, {
          recursive: true,
          filter: (path) => !path.endsWith("node_modules"),
        });
      await installPackage(directory);
      if (options.language === undefined) {
        project.write("package.json", JSON.stringify({ name, private: true, main: "index.ts" }));
        project.write("tsconfig.json", JSON.stringify({ compilerOptions: compilerOptions }));
        project.mode = options.mode ?? "dynamic";
        project.writeProject();
      }
      await project.pulumi("stack", "init", stack, "--non-interactive");
      project.salt = readFileSync(project.configFile, "utf8");
      project.configure(config);
    } catch (error) {
      project.dispose();
      throw error;
    }
    return project;
  }

  /** Moves the stack to a mode: from the next command on. */
  setMode(mode: Mode): void {
    this.mode = mode;
    this.writeProject();
    this.configure(this.config);
  }

  /** Replaces the stack's configuration; `ebpf:mode` is added. */
  configure(config: Record<string, unknown>): void {
    this.config = config;
    const mode = this.mode === "plugin" ? { "ebpf:mode": "plugin" } : {};
    const own = Object.entries({ ...mode, ...config }).map(([key, value]) => [
      key.includes(":") ? key : `${this.name}:${key}`,
      value,
    ]);
    writeFileSync(this.configFile, `${this.salt}config: ${JSON.stringify(Object.fromEntries(own))}\n`);
  }

  /** Writes a file of the program: `write("index.ts", …)` replaces the program. */
  write(file: string, content: string | Buffer): void {
    mkdirSync(dirname(join(this.directory, file)), { recursive: true });
    writeFileSync(join(this.directory, file), content);
  }

  /** Applies without a preview; `preview` is a verb of its own. */
  up(options: VerbOptions = {}): Promise<Outcome> {
    return this.act("up", ["--yes", "--skip-preview"], options);
  }

  preview(options: VerbOptions = {}): Promise<Outcome> {
    return this.act("preview", ["--diff"], options);
  }

  refresh(options: VerbOptions = {}): Promise<Outcome> {
    return this.act("refresh", ["--yes", "--skip-preview"], options);
  }

  destroy(options: VerbOptions = {}): Promise<Outcome> {
    return this.act("destroy", ["--yes", "--skip-preview"], options);
  }

  /** The stack's outputs, secrets in clear. */
  async outputs<T = Record<string, unknown>>(): Promise<T> {
    const { stdout } = await this.pulumi("stack", "output", "--json", "--show-secrets");
    return JSON.parse(stdout) as T;
  }

  /** The stack's state; with `secrets` in clear. */
  async exportState({ secrets = false } = {}): Promise<Checkpoint> {
    const { stdout } = await this.pulumi("stack", "export", ...(secrets ? ["--show-secrets"] : []));
    return JSON.parse(stdout) as Checkpoint;
  }

  async importState(checkpoint: Checkpoint): Promise<void> {
    this.write(".import.json", JSON.stringify(checkpoint));
    await this.pulumi("stack", "import", "--file", ".import.json");
  }

  /** Any command of the CLI in the project. */
  async pulumi(...args: string[]): Promise<CommandResult> {
    return run(this.command(...args), { cwd: this.directory, env: this.environment });
  }

  /** The command line of `pulumi …`, for a caller that spawns it to kill it. Use with `environment`. */
  command(...args: string[]): string[] {
    return ["pulumi", ...args, "--color", "never"];
  }

  /** Removes the project and its state. It destroys nothing: call `destroy` first. */
  dispose(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A project in dynamic mode knows nothing of a plugin. */
  private writeProject(): void {
    const { name } = this;
    const providers = [{ name: "ebpf", path: `./node_modules/pulumi-ebpf/${pluginDirectory}` }];
    const plugins = this.mode === "plugin" ? { plugins: { providers } } : {};
    this.write("Pulumi.yaml", JSON.stringify({ name, runtime: "nodejs", main: ".", ...plugins }));
  }

  private get configFile(): string {
    return join(this.directory, `Pulumi.${this.stack}.yaml`);
  }

  private async act(verb: Verb, args: string[], options: VerbOptions): Promise<Outcome> {
    const log = join(this.directory, `.events-${this.steps++}`);
    const words = [verb, ...args, "--stack", this.stack, "--non-interactive", "--event-log", log];
    const result = await run(this.command(...words, ...(options.args ?? [])), {
      cwd: this.directory,
      env: { ...this.environment, ...options.env },
      check: options.check ?? true,
      timeoutSeconds: options.timeoutSeconds ?? 300,
    });
    return { ...result, ...readEvents(log) };
  }
}

/** In the installed package. */
const pluginDirectory = dirname(bin["pulumi-resource-ebpf"]);

const compilerOptions = {
  target: "ES2022",
  module: "commonjs",
  moduleResolution: "node",
  strict: true,
  esModuleInterop: true,
};

async function baseEnvironment(directory: string, backend: string): Promise<NodeJS.ProcessEnv> {
  const { engineDirectory } = await import("../../scripts/engine.mjs");
  const { languageDirectory } = await import("../../scripts/languages.mjs");
  const engine = [...new Set([engineDirectory(), languageDirectory()])];
  const path = [...engine, dirname(process.execPath), process.env["PATH"]].join(delimiter);
  const { SSH_AUTH_SOCK: _, ...inherited } = process.env;
  return {
    ...inherited,
    PATH: path,
    // the operator's own ~/.ssh must not decide a test; caches and npm's settings stay
    HOME: join(directory, ".home"),
    TMPDIR: join(directory, ".tmp"), // the language host leaves its pipes there
    XDG_CACHE_HOME: process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
    NPM_CONFIG_USERCONFIG: process.env["NPM_CONFIG_USERCONFIG"] ?? join(homedir(), ".npmrc"),
    PULUMI_HOME: join(directory, ".pulumi-home"),
    PULUMI_BACKEND_URL: `file://${backend}`,
    PULUMI_CONFIG_PASSPHRASE: "x",
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    PULUMI_NODEJS_TRANSPILE_ONLY: "true",
    PULUMI_DEBUG_COMMANDS: "true", // for --event-log
    NO_COLOR: "1",
    CI: "1",
  };
}

interface EngineEvent {
  resourcePreEvent?: { metadata: { op: string; urn: string; diffs?: string[] } };
  summaryEvent?: { resourceChanges?: Record<string, number> };
}

function readEvents(log: string): { steps: Step[]; changes: Record<string, number> } {
  const steps: Step[] = [];
  let changes: Record<string, number> = {};
  for (const line of readLines(log)) {
    const { resourcePreEvent, summaryEvent } = JSON.parse(line) as EngineEvent;
    if (resourcePreEvent !== undefined) {
      const { op, urn, diffs } = resourcePreEvent.metadata;
      steps.push({ op, urn, diffs: diffs ?? [] });
    }
    changes = summaryEvent?.resourceChanges ?? changes;
  }
  return { steps, changes };
}

/** Empty when the CLI gave up before its first event. */
function readLines(file: string): string[] {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
