/**
 * Records what this version leaves in states and on hosts, into test/upgrade/<version>: before each release, as root,
 *   npx tsx test/upgrade/record.ts
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../package.json";
import { run } from "../support/command";
import { Lab } from "../support/lab";
import { PulumiProject } from "../support/pulumi";
import { configOf, program, writeState } from "./recording";

async function record(mode: "dynamic" | "plugin", directory: string): Promise<void> {
  const lab = await Lab.create();
  try {
    const host = lab.host();
    const project = await PulumiProject.create({
      program: { directory: program },
      config: configOf(host),
      mode,
    });
    try {
      await project.up();
      const state = await project.exportState({ secrets: true });
      writeState(join(directory, "state.json"), state, host);
      const pack = "tar -C /var/lib/pulumi-ebpf -cz records blobs | base64";
      const { stdout } = await host.exec(["sh", "-c", pack]);
      await run(["tar", "-C", directory, "-xz"], { input: Buffer.from(stdout, "base64") });
      await project.destroy();
    } finally {
      project.dispose();
    }
  } finally {
    await lab.destroy();
  }
}

async function main(): Promise<void> {
  for (const mode of ["dynamic", "plugin"] as const) {
    const directory = join(__dirname, version, mode);
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    await record(mode, directory);
    console.log(`recorded ${version} in ${mode} mode`);
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
