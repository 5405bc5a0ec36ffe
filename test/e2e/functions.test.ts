/** Functions in a program, by the real engine, in each mode: what they say is held against ip and bpftool. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import type { GetMapEntriesResult } from "../../sdk/nodejs";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import { PulumiProject } from "../support/pulumi";
import { bpffsOf, filterProgram, programOnEth0 } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");

const questions = `
const tokens = new ebpf.Map("tokens", { connection, type: "hash", key: "u32", value: "text:16", maxEntries: 4 });
const secret = new ebpf.MapEntries("tokens", {
  map: tokens,
  entries: [{ key: 1, value: pulumi.secret("declared-token") }],
});
export const kernel = ebpf.getHostFeaturesOutput({ connection }).kernel;
export const program = ebpf.getProgramOutput({ program: filter });
export const map = ebpf.getMapOutput({ map: filter.map("ports") });
export const blocked = ebpf.getMapEntriesOutput({ map: filter.map("ports") }, { dependsOn: rows });
export const hidden = ebpf.getMapEntriesOutput({ map: tokens }, { dependsOn: secret });
export const onEth0 = ebpf.getAttachmentsOutput({ connection, interface: "eth0" }, { dependsOn: attachment });
export const object = ebpf.inspectObject({ source });
`;

interface Answers {
  kernel: string;
  program: { programId: number; spec: string };
  map: { keyType: string; valueType: string; mapId: number };
  blocked: GetMapEntriesResult;
  hidden: GetMapEntriesResult;
  onEth0: { attachments: { hook: string; programId: number; spec?: string }[] };
  object: { entrypoints: Record<string, { type: string }> };
}

for (const mode of modesUnderTest(["dynamic", "plugin"])) {
  describe(`Given a program that asks functions, ${mode} mode`, function () {
    this.timeout(120_000);
    let lab: Lab;
    let project: PulumiProject;

    before(async () => {
      lab = await Lab.create();
      const config = { connection: lab.host().connection, source: fixture };
      const program = filterProgram({ ports: [9001], more: questions });
      project = await PulumiProject.create({ program, config, mode });
    });

    after(async () => {
      project?.dispose();
      await lab?.destroy();
    });

    it("when nothing is there yet, then a preview does not know what they will say, and goes on", async () => {
      const { stdout, changes } = await project.preview();
      assert.equal(changes["create"], 6, stdout);
      assert.match(stdout, /kernel *: "\d+\.\d+/);
      assert.match(stdout, /xdp_filter/); // of inspectObject, which needs no host
      for (const name of ["program", "map", "blocked", "onEth0"]) {
        assert.match(stdout, new RegExp(`${name} *: .*(\\[unknown\\]|output<)`));
      }
    });

    it("when brought up, then they say what the kernel holds, and the program ends", async () => {
      await project.up();
      const answers = await project.outputs<Answers>();
      const { stdout: release } = await lab.host().exec(["uname", "-r"]);
      assert.equal(answers.kernel, release.trim());
      const running = await programOnEth0(lab.host());
      assert.equal(answers.program.programId, running);
      assert.equal(answers.program.spec, "test/dev/Program/filter");
      const pin = (await bpffsOf(lab.host())).find((path) => path.endsWith("maps/ports"))!;
      const shown = await lab.host().bpftool<{ id: number }>("map", "show", "pinned", pin);
      assert.equal(answers.map.mapId, shown.id);
      assert.deepEqual(answers.blocked.entries, [{ key: 9001, value: { action: "DROP", note: 0 } }]);
      assert.deepEqual(
        answers.onEth0.attachments.map(({ hook, programId, spec }) => [hook, programId, spec]),
        [["xdp", running, "test/dev/Attachment/filter-eth0"]],
      );
      assert.equal(answers.object.entrypoints["xdp_filter"]?.type, "xdp");
    });

    it("when a resource declares secret rows, then an answer with them is a secret", async () => {
      const { hidden } = await project.outputs<Answers>();
      assert.deepEqual(hidden.entries, [{ key: 1, value: "declared-token" }]);
      const { stdout } = await project.pulumi("stack", "output", "--json");
      assert.equal((JSON.parse(stdout) as Record<string, unknown>)["hidden"], "[secret]");
      assert.ok(!JSON.stringify(await project.exportState()).includes("declared-token"));
    });

    it("when what is asked for does not exist, then the error names it, without a stack trace", async () => {
      const more = 'export const bad = ebpf.getAttachmentsOutput({ connection, interface: "eth7" });';
      project.write("index.ts", filterProgram({ ports: [9001], more }));
      const { code, stdout, stderr } = await project.preview({ check: false });
      const text = stdout + stderr;
      assert.notEqual(code, 0);
      assert.match(text, /eth7/);
      assert.doesNotMatch(text, /^\s+at .+[:(]\d+/m, "no stack trace");
      await project.destroy();
      assert.deepEqual(await bpffsOf(lab.host()), []);
    });
  });
}
