/**
 * A stack with a filter, whose next version the verifier rejects, by the real CLI in plugin mode: there a preview asks the
 * host's verifier, and an `up` without one meets it in the apply itself.
 *
 * Owns: the stack, and that each command failed for that reason. Does not own: the CLI (test/support/pulumi.ts).
 */
import { type TestHost } from "../support/host.js";
import { type Outcome, PulumiProject } from "../support/pulumi.js";

/** Config `connection`, `source`, `revision`, `port`. */
const program = `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const connection = config.requireObject<ebpf.ConnectionArgs>("connection");
const version = { load: ["drop_ports"], globals: { revision: config.requireNumber("revision") } };
const filter = new ebpf.Program("filter", { connection, source: config.require("source"), ...version });
new ebpf.MapEntries("ports", { map: filter.map("ports"), entries: [{ key: config.requireNumber("port"), value: 0 }] });
new ebpf.Attachment("filter", { program: filter, xdp: { interface: "eth0" } });
`;

/** Objects with the same entrypoint and maps: one that is loaded, one that the verifier rejects. */
export interface Sources {
  good: string;
  rejected: string;
}

export class RejectingStack {
  private constructor(
    private readonly project: PulumiProject,
    private readonly config: Record<string, unknown>,
  ) {}

  /** Calls `use` with the good object's stack up on the host: packets to `port` are dropped. Leaves nothing. */
  static async with<T>(
    host: TestHost,
    { good, rejected }: Sources,
    port: number,
    use: (stack: RejectingStack) => Promise<T>,
  ): Promise<T> {
    const config = { connection: host.connection, port, source: good, revision: 0 };
    const project = await PulumiProject.create({ program, config, name: "bench", mode: "plugin" });
    try {
      await project.up();
      try {
        return await use(new RejectingStack(project, { ...config, source: rejected }));
      } finally {
        project.configure(config);
        await project.destroy();
      }
    } finally {
      project.dispose();
    }
  }

  async preview(revision: number): Promise<void> {
    this.project.configure({ ...this.config, revision });
    assertRejected("preview", await this.project.preview({ check: false }));
  }

  /** An `up` that no preview came before. */
  async forcedUp(revision: number): Promise<void> {
    this.project.configure({ ...this.config, revision });
    assertRejected("up --skip-preview", await this.project.up({ check: false }));
  }
}

function assertRejected(command: string, { code, stdout, stderr }: Outcome): void {
  const text = stdout + stderr;
  if (code !== 0 && /verifier rejects drop_ports/.test(text)) return;
  throw new Error(`pulumi ${command} of an object that the verifier rejects: exit status ${code}\n${text}`);
}
