/** `ebpf:autoRefresh`: drift is seen and repaired without --refresh. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { Lab } from "../../support/lab";
import { PulumiProject } from "../../support/pulumi";
import { bpffsOf, filterProgram, programOnEth0 } from "../filter";

const fixture = resolve(__dirname, "../../fixtures/e2e/filter.bpf.c");
const run = process.env["EBPF_TEST_ALL"] ? describe : () => undefined;

run("Given a stack in plugin mode with autoRefresh", function () {
  this.timeout(180_000);
  let lab: Lab;
  let project: PulumiProject;

  before(async () => {
    lab = await Lab.create();
    const connection = { ...lab.host().connection, dialErrorLimit: 1 };
    const config = { connection, source: fixture, "ebpf:autoRefresh": "true" };
    project = await PulumiProject.create({
      program: filterProgram({ ports: [9001] }),
      config,
      mode: "plugin",
    });
    await project.up();
  });

  after(async () => {
    project?.dispose();
    await lab?.destroy();
  });

  it("when a link is detached by hand, then a plain preview says so, and a plain up repairs it", async () => {
    const link = (await bpffsOf(lab.host())).find((path) => path.endsWith("/links/link"))!;
    await lab.host().bpftool("link", "detach", "pinned", link);
    assert.equal(await programOnEth0(lab.host()), undefined);
    const { code, stdout } = await project.preview({ args: ["--expect-no-changes"], check: false });
    assert.equal(code, 7, stdout);
    assert.match(stdout, /~ ebpf:index:Attachment: \(update\)[^]*- \[0\]: ".*detached from eth0/);
    assert.equal((await project.up()).changes["update"], 1);
    assert.notEqual(await programOnEth0(lab.host()), undefined);
  });

  it("when the host is unreachable, then a preview warns and goes on with what is recorded", async () => {
    await lab.host().stopListener();
    const { code, stdout, stderr } = await project.preview({ args: ["--expect-no-changes"], check: false });
    await lab.host().start();
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout + stderr, /warning: .*not refreshed, autoRefresh goes on without/);
    await project.destroy();
    assert.deepEqual(await bpffsOf(lab.host()), []);
  });
});
