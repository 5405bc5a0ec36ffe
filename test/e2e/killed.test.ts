/**
 * The engine, or the provider, killed with a change half done on the host: `pulumi cancel` and `pulumi up` converge, and
 * nobody edits a state. The agent stops itself at the change's commit point, so that the kill always comes in the middle.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import { descendants, parents } from "../support/processes";
import { PulumiProject } from "../support/pulumi";
import { until } from "../support/until";
import { bpffsOf, filterProgram, programOnEth0 } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");

/** The provider of the engine with this pid: ours, not the language host's. */
function providerOf(engine: number): number {
  const found = descendants(engine).filter((pid) => {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return (
      /^(.*\/)?node$/.test(words[0] ?? "") &&
      words.some((word) => /dynamic-provider|resource-ebpf|adapters\/plugin/.test(word))
    );
  });
  assert.equal(found.length, 1, `providers ${found.join()}`);
  return found[0]!;
}

for (const mode of modesUnderTest()) {
  describe(`Given a change half done on the host, in ${mode} mode`, function () {
    this.timeout(240_000);
    let lab: Lab;
    let project: PulumiProject;

    before(async () => {
      lab = await Lab.create();
      const config = { connection: { ...lab.host().connection, dialErrorLimit: 1 }, source: fixture };
      project = await PulumiProject.create({ program: filterProgram({ ports: [9001] }), config, mode });
    });

    after(async () => {
      project?.dispose();
      await lab?.destroy();
    });

    const agents = async (state: string): Promise<string[]> => {
      const script = `for p in /proc/[0-9]*; do
        grep -qa 'agent\\.js' $p/cmdline 2>/dev/null && grep -q '^State:.*${state}' $p/status && echo \${p#/proc/}; done; true`;
      const { stdout } = await lab.host().exec(["sh", "-c", script]);
      return stdout.split("\n").filter((line) => line !== "");
    };

    /** Runs a verb until the agent has stopped, kills whom `whom` chooses, and lets the agent go on. */
    async function interrupted(
      verb: "up" | "destroy",
      fault: string,
      whom: (engine: number) => number,
    ): Promise<void> {
      await lab.host().injectFault(fault);
      const [file = "", ...args] = project.command(verb, "--yes", "--skip-preview", "--non-interactive");
      const child: ChildProcess = spawn(file, args, {
        cwd: project.directory,
        env: project.environment,
        stdio: "ignore",
      });
      const ended = new Promise((done) => child.once("exit", done));
      await until("the agent stops", async () => (await agents("stopped")).length > 0);
      const all = descendants(child.pid!);
      const provider = providerOf(child.pid!);
      process.kill(whom(child.pid!), "SIGKILL");
      await lab.host().injectFault();
      for (const pid of await agents("stopped")) await lab.host().exec(["kill", "-CONT", pid]);
      await ended;
      assert.notEqual(child.exitCode, 0);
      await until("the orphaned provider ends by itself", () => !parents().has(provider));
      for (const pid of all.filter((one) => parents().has(one))) {
        process.kill(pid, "SIGKILL"); // the language host does not
      }
      await until("the agent ends", async () => (await agents("")).length === 0);
      await project.pulumi("cancel", "--yes", project.stack);
    }

    async function assertConverged(): Promise<void> {
      assert.notEqual(await programOnEth0(lab.host()), undefined);
      const { code, stdout } = await project.preview({
        args: ["--refresh", "--expect-no-changes"],
        check: false,
      });
      assert.equal(code, 0, stdout);
    }

    it("when the engine is killed in a create, then cancel and up converge", async () => {
      await interrupted("up", "apply:store-record:stop", (engine) => engine);
      await project.up();
      await assertConverged();
    });

    it("then a create that is still pending in the state goes by a flag of refresh, not by hand", async () => {
      await project.refresh({ args: ["--clear-pending-creates"] });
      const { deployment } = await project.exportState();
      assert.deepEqual(deployment["pending_operations"] ?? [], []);
    });

    it("when the provider is killed in an update, then up converges", async () => {
      project.write("index.ts", filterProgram({ ports: [9001], version: 2 }));
      await interrupted("up", "apply:store-record:stop", providerOf);
      await project.up();
      await assertConverged();
    });

    it("when the engine is killed in a delete, then cancel and destroy leave nothing", async () => {
      await interrupted("destroy", "remove:0:stop", (engine) => engine);
      await project.destroy();
      assert.equal(await programOnEth0(lab.host()), undefined);
      assert.deepEqual(await bpffsOf(lab.host()), []);
      const { deployment } = await project.exportState();
      assert.deepEqual([deployment.resources ?? [], deployment["pending_operations"] ?? []], [[], []]);
    });
  });
}
