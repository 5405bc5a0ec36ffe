/**
 * Stacks of every released version, as test/upgrade recorded them, under today's code: the state previews clean, the host's
 * Records restore, a refresh finds no drift, and destroy leaves nothing. And a state of tomorrow's version is refused.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { closeAll, openSession } from "../../provider/transport/pool";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import { type Checkpoint, PulumiProject } from "../support/pulumi";
import { configOf, program, readState, recordings } from "../upgrade/recording";
import { bpffsOf, programOnEth0 } from "./filter";

for (const { version, mode, directory } of recordings()) {
  if (!modesUnderTest().includes(mode)) continue;
  describe(`Given a stack of version ${version} in ${mode} mode, and its host after a boot`, function () {
    this.timeout(180_000);
    let lab: Lab;
    let project: PulumiProject;
    let state: Checkpoint;

    before(async () => {
      lab = await Lab.create();
      const host = lab.host();
      const config = configOf(host);
      project = await PulumiProject.create({ program: { directory: program }, config, mode });
      state = readState(join(directory, "state.json"), host);
      await project.importState(state);
      for (const part of ["records", "blobs"]) await host.copy(join(directory, part), "/var/lib/pulumi-ebpf");
    });

    after(async () => {
      closeAll();
      project?.dispose();
      await lab?.destroy();
    });

    it("when previewed, then there is nothing to do", async () => {
      const { code, stdout, stderr } = await project.preview({ args: ["--expect-no-changes"], check: false });
      assert.equal(code, 0, stdout + stderr);
    });

    it("when its Records are restored, then the programs run and a refresh finds no drift", async () => {
      const session = await openSession(lab.host().connection);
      const results = await session.call("restore", {});
      assert.deepEqual(
        results.filter(({ restored }) => !restored),
        [],
      );
      assert.ok(results.length >= 6, `${results.length} Records`);
      assert.notEqual(await programOnEth0(lab.host()), undefined);
      const args = ["--refresh", "--expect-no-changes"];
      const { code, stdout, stderr } = await project.preview({ args, check: false });
      assert.equal(code, 0, stdout + stderr);
    });

    it("when a newer version has written its state, then each command says so, and nothing happens", async () => {
      const newer = structuredClone(state);
      for (const { type, outputs } of newer.deployment.resources ?? []) {
        if (type.includes("ebpf:") && outputs !== undefined) outputs["stateFormat"] = 2;
      }
      await project.importState(newer);
      for (const verb of ["up", "refresh", "destroy"] as const) {
        const { code, stdout, stderr } = await project[verb]({ check: false });
        const text = stdout + stderr;
        assert.notEqual(code, 0, text);
        assert.match(text, /a newer pulumi-ebpf wrote it.*install the version of pulumi-ebpf/);
        assert.doesNotMatch(text, /^\s+at .+[:(]\d+/m, "no stack trace");
      }
      assert.notEqual(await programOnEth0(lab.host()), undefined);
      await project.importState(state);
    });

    it("when destroyed, then nothing is left", async () => {
      await project.destroy();
      assert.equal(await programOnEth0(lab.host()), undefined);
      assert.deepEqual(await bpffsOf(lab.host()), []);
    });
  });
}
