/** What can go wrong between a state and a host: lost answers, failed deletes, changed keys, renames, lost files. */
import assert from "node:assert/strict";
import { copyFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import { type Outcome, PulumiProject } from "../support/pulumi";
import { bpffsOf, filterProgram, programOnEth0 } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");
const nothing = "export {};";
/** The agent dies when the change is done, before it can say so. */
const lostReply = "apply:store-record:kill:after";

for (const mode of modesUnderTest()) {
  describe(`Given a stack and a host that disagree, ${mode} mode`, function () {
    this.timeout(180_000);
    let lab: Lab;
    let project: PulumiProject;

    beforeEach(async () => {
      lab = await Lab.create();
      const config = { connection: { ...lab.host().connection, dialErrorLimit: 1 }, source: fixture };
      project = await PulumiProject.create({ program: filterProgram({ ports: [9001] }), config, mode });
    });

    afterEach(async () => {
      project?.dispose();
      await lab?.destroy();
    });

    async function assertClean(): Promise<void> {
      assert.equal(await programOnEth0(lab.host()), undefined);
      assert.deepEqual(await bpffsOf(lab.host()), []);
    }

    it("when the answer to an update is lost and the change reverted, then destroy leaves nothing", async () => {
      await project.up();
      await lab.host().injectFault(lostReply);
      project.write("index.ts", filterProgram({ ports: [9001], version: 2 }));
      assertFailed(await project.up({ check: false }));
      await lab.host().injectFault();
      project.write("index.ts", filterProgram({ ports: [9001] }));
      await project.up();
      const { code, stdout } = await project.preview({
        args: ["--refresh", "--expect-no-changes"],
        check: false,
      });
      assert.equal(code, 0, stdout);
      await project.destroy();
      await assertClean();
    });

    it("when the answer to an update is lost, then destroy leaves nothing", async () => {
      await project.up();
      await lab.host().injectFault(lostReply);
      project.write("index.ts", filterProgram({ ports: [9001], version: 2 }));
      assertFailed(await project.up({ check: false }));
      await lab.host().injectFault();
      await project.destroy();
      await assertClean();
    });

    it("when the answer to a create is lost and the resource given up, then nothing stays on the host", async () => {
      await lab.host().injectFault(lostReply);
      assertFailed(await project.up({ check: false }));
      await lab.host().injectFault();
      assert.notDeepEqual(await bpffsOf(lab.host()), []);
      project.write("index.ts", nothing);
      await project.up();
      await assertClean();
    });

    it("when a refresh follows a partial create, then the next up still finishes it", async () => {
      await lab.host().injectFault(lostReply);
      assertFailed(await project.up({ check: false }));
      await lab.host().injectFault();
      await project.refresh();
      await project.up();
      assert.notEqual(await programOnEth0(lab.host()), undefined);
      const { code, stdout } = await project.preview({
        args: ["--refresh", "--expect-no-changes"],
        check: false,
      });
      assert.equal(code, 0, stdout);
      await project.destroy();
      await assertClean();
    });

    it("when the old side of a replacement could not be deleted, then refresh and up keep the live one", async () => {
      const host = lab.host();
      await host.listenOn(2222);
      await project.up();
      await host.stopListener();
      project.configure({
        connection: { ...host.connection, port: 2222, dialErrorLimit: 1 },
        source: fixture,
      });
      assertFailed(await project.up({ check: false }));
      const live = await programOnEth0(host);
      assert.notEqual(live, undefined);
      await host.start();
      await project.refresh();
      await project.up();
      assert.equal(await programOnEth0(host), live);
      const { code, stdout } = await project.preview({
        args: ["--refresh", "--expect-no-changes"],
        check: false,
      });
      assert.equal(code, 0, stdout);
      await project.destroy();
      await assertClean();
    });

    it("when the key is only in the state, then destroy works; when it was rotated, then the environment's does", async () => {
      await project.up();
      // the engine copies this stack's plain configuration into the default provider
      const { resources = [] } = (await project.exportState()).deployment;
      const ours = resources.filter(({ type }) => type.includes("ebpf:"));
      assert.equal(ours.length, 3);
      assert.ok(!JSON.stringify(ours).includes("PRIVATE KEY"), "the key is encrypted in the state");
      project.configure({});
      project.write("index.ts", nothing);
      await lab.host().rotateLoginKey();
      const refused = await project.destroy({ check: false });
      assertFailed(refused);
      assert.match(refused.stdout + refused.stderr, /log in .*refused.*PULUMI_EBPF_PRIVATE_KEY/);
      const { privateKey } = lab.host().connection;
      await project.destroy({ env: { PULUMI_EBPF_PRIVATE_KEY: privateKey } });
      await assertClean();
    });

    it("when a resource is renamed by an alias, then no kernel object changes", async () => {
      await project.up();
      const before = [await programOnEth0(lab.host()), await bpffsOf(lab.host())];
      const renamed = filterProgram({ ports: [9001] })
        .replace('new ebpf.Program("filter"', 'new ebpf.Program("renamed"')
        .replace(/(mapDataPolicy: "fail",\n\})/, '$1, { aliases: [{ name: "filter" }] }');
      project.write("index.ts", renamed);
      const { changes } = await project.up();
      assert.deepEqual(changes, { same: 4 });
      assert.deepEqual([await programOnEth0(lab.host()), await bpffsOf(lab.host())], before);
      await project.destroy();
      await assertClean();
    });

    it("when the checkout has no source file any more, then refresh and destroy work", async () => {
      const source = join(project.directory, "filter.bpf.c");
      copyFileSync(fixture, source);
      project.configure({ connection: lab.host().connection, source: "./filter.bpf.c" });
      await project.up();
      rmSync(source);
      await project.refresh();
      await project.destroy();
      await assertClean();
    });
  });
}

function assertFailed(outcome: Outcome): void {
  const text = outcome.stdout + outcome.stderr;
  assert.notEqual(outcome.code, 0, text);
  assert.doesNotMatch(text, /^\s+at .+[:(]\d+/m, "no stack trace");
}
