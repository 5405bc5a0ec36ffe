/** What the tests of sessions share: a lab, a bundle with an agent of the tests, and a pool for each test. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { EbpfError } from "../../provider/errors";
import { SessionPool } from "../../provider/transport/pool";
import { Lab } from "../support/lab";
import type { HostOptions, NetnsHost } from "../support/netns-host";

export interface Manifest {
  x64: { digest: string; files: { path: string; sha256: string; size: number }[] };
}

/** Where hosts keep bundles. */
export const AGENTS = "/var/lib/pulumi-ebpf/agent";
export const root = join(__dirname, "../..");

/** The error of `work`, after checking that it is a clear one that names the host. */
export async function failure(work: Promise<unknown>): Promise<EbpfError> {
  const error: unknown = await work.then(
    () => assert.fail("it succeeded"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof EbpfError, String(error));
  assert.ok(error.context.host !== undefined, "the error names the host");
  assert.doesNotMatch(error.render(), /\n\s+at |\[object|undefined/);
  return error;
}

export class SessionSuite {
  lab!: Lab;
  directory!: string;
  manifest!: Manifest;
  pool!: SessionPool;
  private readonly environment = { ...process.env };

  /** Registers the hooks of the suite that calls it. */
  constructor(hosts: HostOptions[]) {
    before(async () => {
      this.directory = mkdtempSync(join(tmpdir(), "pulumi-ebpf-session-"));
      const { bundleAgent } = (await import(pathToFileURL(join(root, "scripts/bundle.mjs")).href)) as {
        bundleAgent(options: { entry: string; directory: string }): Promise<Manifest>;
      };
      this.manifest = await bundleAgent({
        entry: join(root, "test/fixtures/transport-agent.ts"),
        directory: this.bundleDirectory,
      });
      this.lab = await Lab.create({ hosts });
    });
    beforeEach(() => {
      this.pool = this.newPool();
    });
    afterEach(() => this.pool.closeAll());
    after(async () => {
      process.env = this.environment;
      await this.lab?.destroy();
      if (this.directory) rmSync(this.directory, { recursive: true });
    });
  }

  get bundleDirectory(): string {
    return join(this.directory, "bundle");
  }

  get host(): NetnsHost {
    return this.lab.host();
  }

  newPool(limit?: number): SessionPool {
    return new SessionPool(this.bundleDirectory, limit);
  }

  async undeliver(from = this.host): Promise<void> {
    await from.exec(["rm", "-rf", AGENTS]);
  }
}
