/** A host that does not answer: what refresh and destroy say, and that each of the ways out that they name is one. */
import assert from "node:assert/strict";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import { type Outcome, PulumiProject } from "../support/pulumi";
import { bpffsOf } from "./filter";

/** Two maps on two hosts. Config `connections`, `forget`. */
const program = `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const [here, gone] = config.requireObject<ebpf.ConnectionArgs[]>("connections");
const shape = { type: "hash", key: "u32", value: "u64", maxEntries: 8 } as const;
new ebpf.Map("here", { connection: here, ...shape });
new ebpf.Map("gone", { connection: gone, ...shape, ...config.requireObject<object>("forget") });
`;

for (const mode of modesUnderTest()) {
  describe(`Given a stack on two hosts in ${mode} mode, and one of them does not answer any more`, function () {
    this.timeout(180_000);
    let lab: Lab;
    let project: PulumiProject;
    let urn: string;

    before(async () => {
      lab = await Lab.create({ hosts: 2 });
      project = await PulumiProject.create({ program, mode });
      configure({});
      await project.up();
      const { resources = [] } = (await project.exportState()).deployment;
      urn = resources.find((resource) => resource.urn.endsWith("::gone"))!.urn;
      await lab.host(1).stop();
    });

    after(async () => {
      project?.dispose();
      await lab?.destroy();
    });

    function configure(forget: object): void {
      const connections = lab.hosts.map(({ connection }) => ({ ...connection, dialErrorLimit: 1 }));
      project.configure({ connections, forget });
    }

    function refused({ code, stdout, stderr }: Outcome): string {
      const text = stdout + stderr;
      assert.notEqual(code, 0, text);
      assert.doesNotMatch(text, /^\s+at .+[:(]\d+/m, "no stack trace");
      assert.match(text, new RegExp(`${lab.host(1).connection.host}.*(connection|ECONN)`));
      return text;
    }

    it("when refreshed, then it is an error that says how to go on without it, and so it does", async () => {
      const text = refused(await project.refresh({ check: false }));
      assert.match(text, /--exclude <urn>.*--target.*pulumi state delete <urn>/);
      const { changes } = await project.refresh({ args: ["--exclude", urn] });
      assert.deepEqual(changes, { same: 2 });
    });

    it("when destroyed, then the other host is clean, and the error says how to go on without it", async () => {
      const text = refused(await project.destroy({ check: false }));
      assert.match(text, /--exclude <urn>.*pulumi state delete <urn>.*onUnreachable: "forget".*stays/);
      assert.deepEqual(await bpffsOf(lab.host(0)), []);
      await project.destroy({ args: ["--exclude", urn] });
    });

    it("when dropped by `pulumi state delete`, as the error says, then destroy is done, and what runs there stays", async () => {
      const state = await project.exportState();
      await project.pulumi("state", "delete", urn, "--yes", "--stack", project.stack);
      await project.destroy();
      assert.deepEqual((await project.exportState()).deployment.resources ?? [], []);
      assert.notDeepEqual(await bpffsOf(lab.host(1)), []);
      await project.importState(state); // for the other way out
    });

    it('when it gets onUnreachable: "forget" now, then that is an update without the host', async () => {
      configure({ onUnreachable: "forget", onUnreachableReason: "the rack is gone" });
      const { steps } = await project.up();
      const ops = steps.filter((step) => step.urn === urn).map(({ op }) => op);
      assert.deepEqual(ops, ["update"]);
    });

    it("when then destroyed, then it is forgotten with a warning and its reason, and what ran there stays", async () => {
      const { stdout, stderr } = await project.destroy();
      assert.match(
        stdout + stderr,
        /gone: \S+ is unreachable \(.*\): forgotten, as onUnreachable says, because "the rack is gone"; what runs there stays/,
      );
      const { resources = [] } = (await project.exportState()).deployment;
      assert.deepEqual(
        resources.filter(({ type }) => type.includes("ebpf")),
        [],
      );
      assert.notDeepEqual(await bpffsOf(lab.host(1)), []);
    });
  });
}
