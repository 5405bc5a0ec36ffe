/**
 * One Pulumi stack of the bench: project/ with the product, or with the empty provider in its place.
 *
 * Owns: the two stacks of a row, and that each operation did what it was timed for. Does not own: the CLI
 * (test/support/pulumi.ts), the program (project/index.ts), the empty provider (empty/).
 */
import { cpSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Connection } from "../support/host.js";
import { type Mode } from "../support/modes.js";
import { type Outcome, PulumiProject, type VerbOptions } from "../support/pulumi.js";
import { seconds } from "./row.js";

/** How many of what the program makes. */
export interface Plan {
  /**
   * One private key lets in to all. It reaches the provider by the environment: as an input it would be a secret,
   * which the engine encrypts in our stack and, since no SDK says so, not in the empty one.
   */
  hosts: Connection[];
  /** Path of filter.bpf.c's object. */
  object: string;
  entrypoint: "drop_ports" | "count_packets";
  /** Of each host; the Attachments are spread over them. */
  interfaces: string[];
  /** Programs with an Attachment each, per host. */
  programs: number;
  /** Maps with a MapEntries each, per host. */
  maps: number;
  /** Entries in a map of each Program; 0 is none, and no MapEntries. */
  rows: number;
}

export interface OperationOptions {
  /** Whether the engine writes its whole state after each step, as it does for users. Default true. */
  checkpoints?: boolean;
}

export class Deployment {
  private constructor(
    private readonly project: PulumiProject,
    private readonly resources: number,
  ) {}

  /** Calls `use` with two stacks of one plan, and removes both afterwards; what they deployed is for `use` to destroy. */
  static async pair(
    plan: Plan,
    use: (ours: Deployment, empty: Deployment) => Promise<void>,
    mode: Mode = "dynamic",
  ): Promise<void> {
    const ours = await Deployment.create(plan, "pulumi-ebpf", mode);
    try {
      const empty = await Deployment.create(plan, "empty", mode);
      try {
        await use(ours, empty);
      } finally {
        empty.project.dispose();
      }
    } finally {
      ours.project.dispose();
    }
  }

  private static async create(plan: Plan, name: "pulumi-ebpf" | "empty", mode: Mode): Promise<Deployment> {
    const hosts = plan.hosts.map(({ privateKey: _key, ...connection }) => connection);
    const project = await PulumiProject.create({
      program: { directory: resolve(__dirname, "project") },
      name: "bench",
      mode,
      env: { PULUMI_EBPF_PRIVATE_KEY: plan.hosts[0]?.privateKey },
    });
    project.write("bench.json", JSON.stringify({ ...plan, hosts, package: name }));
    if (name === "empty") {
      cpSync(resolve(__dirname, "empty"), join(project.directory, "node_modules/empty"), { recursive: true });
      const providers = [{ name: "empty", path: "./node_modules/empty/plugin" }];
      const plugins = mode === "plugin" ? { plugins: { providers } } : {};
      project.write(
        "Pulumi.yaml",
        JSON.stringify({ name: "bench", runtime: "nodejs", main: ".", ...plugins }),
      );
    }
    const perHost = plan.programs * (plan.rows > 0 ? 3 : 2) + plan.maps * 2;
    return new Deployment(project, plan.hosts.length * perHost);
  }

  /** Seconds of an up, without a preview before it, that creates everything. */
  up(options?: OperationOptions): Promise<number> {
    return this.timed("create", () => this.project.up(verbOptions(options)));
  }

  destroy(options?: OperationOptions): Promise<number> {
    return this.timed("delete", () => this.project.destroy(verbOptions(options)));
  }

  /** Seconds of a preview that finds nothing to do. */
  previewUnchanged(): Promise<number> {
    return this.timed("same", () => this.project.preview(verbOptions()));
  }

  /** Seconds of a refresh that finds all as it was. */
  refreshUnchanged(): Promise<number> {
    return this.timed("same", () => this.project.refresh(verbOptions({ checkpoints: false })));
  }

  private async timed(operation: string, run: () => Promise<Outcome>): Promise<number> {
    let changes: Record<string, number> = {};
    const time = await seconds(async () => ({ changes } = await run()));
    // the stack itself is a resource too
    const counted = (changes[operation] ?? 0) - 1;
    if (counted !== this.resources) {
      throw new Error(
        `${operation} of ${this.resources} resources expected, the engine says ${JSON.stringify(changes)}`,
      );
    }
    return time;
  }
}

function verbOptions({ checkpoints = true }: OperationOptions = {}): VerbOptions {
  const env = checkpoints ? {} : { PULUMI_SKIP_CHECKPOINTS: "true" };
  return { env, timeoutSeconds: 900 };
}
