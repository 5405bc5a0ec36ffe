/** Many hosts, and many stacks, at the same time. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { closeAll } from "../../provider/transport/pool";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import { ManagedResource } from "../support/managed-resource";
import { PulumiProject } from "../support/pulumi";
import { bpffsOf, filterProgram, programOnEth0 } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");

const twentyHosts = `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const source = config.require("source");
for (const [index, connection] of config.requireObject<ebpf.ConnectionArgs[]>("hosts").entries()) {
  const filter = new ebpf.Program(\`filter-\${index}\`, { connection, source });
  new ebpf.MapEntries(\`ports-\${index}\`, {
    map: filter.map("ports"),
    entries: Array.from({ length: 100 }, (_, row) => ({ key: 10_000 + row, value: { action: "DROP", note: index } })),
  });
  new ebpf.Attachment(\`eth0-\${index}\`, { program: filter, xdp: { interface: "eth0" } });
}
`;

for (const mode of modesUnderTest()) {
  describe(`Given 20 hosts in one stack, ${mode} mode`, function () {
    this.timeout(240_000);
    let lab: Lab;
    let project: PulumiProject;

    before(async () => {
      lab = await Lab.create({ hosts: 20 });
      const config = { hosts: lab.hosts.map(({ connection }) => connection), source: fixture };
      project = await PulumiProject.create({ program: twentyHosts, config, mode });
    });

    after(async () => {
      project?.dispose();
      await lab?.destroy();
    });

    it("when brought up, then the agent is delivered and the filter runs on every one", async () => {
      await project.up();
      for (const host of lab.hosts) {
        assert.notEqual(await programOnEth0(host), undefined, host.name);
        const map = (await bpffsOf(host)).find((path) => path.endsWith("maps/ports"));
        const dump = await host.bpftool<unknown[]>("map", "dump", "pinned", map!);
        assert.equal(dump.length, 100, host.name);
      }
    });

    it("when one of them is unreachable, then preview plans the others and says so", async () => {
      await lab.host(7).stop();
      project.write("index.ts", twentyHosts.replace("note: index", "note: 1000 + index"));
      const { stdout, stderr } = await project.preview();
      assert.match(
        stdout + stderr,
        new RegExp(`${lab.host(7).connection.host}.* is unreachable: not planned there`),
      );
      await lab.host(7).start();
    });

    it("when destroyed, then nothing is left on any", async () => {
      await project.destroy();
      for (const host of lab.hosts) assert.deepEqual(await bpffsOf(host), [], host.name);
    });
  });
}

for (const mode of modesUnderTest()) {
  describe(`Given two stacks on one host, ${mode} mode`, function () {
    this.timeout(180_000);
    let lab: Lab;
    const projects: PulumiProject[] = [];
    const devices = ["eth0", "dev1"];

    before(async () => {
      lab = await Lab.create();
      await lab.host().addInterface("dev1");
      for (const [index, device] of devices.entries()) {
        const program = filterProgram({ ports: [9001 + index] }).replace(
          'interface: "eth0"',
          `interface: "${device}"`,
        );
        const config = { connection: lab.host().connection, source: fixture };
        projects.push(await PulumiProject.create({ program, config, stack: `stack${index}`, mode }));
      }
    });

    after(async () => {
      for (const project of projects) project.dispose();
      await lab?.destroy();
    });

    it("when both are brought up at once, then each has its own program, map and attachment", async () => {
      await Promise.all(projects.map((project) => project.up()));
      const links = await lab.host().ip<{ ifname: string; xdp?: { prog?: { id: number } } }[]>("link");
      const ids = devices.map((device) => links.find(({ ifname }) => ifname === device)?.xdp?.prog?.id);
      assert.ok(ids.every((id) => id !== undefined));
      assert.notEqual(ids[0], ids[1]);
    });

    it("when one is destroyed, then the other is untouched", async () => {
      const before = await bpffsOf(lab.host());
      await projects[1]!.destroy();
      const after = await bpffsOf(lab.host());
      assert.deepEqual(
        after,
        before.filter((path) => !path.includes("stack1")),
      );
      assert.notEqual(await programOnEth0(lab.host()), undefined);
      await projects[0]!.destroy();
      assert.deepEqual(await bpffsOf(lab.host()), []);
    });
  });
}

for (const mode of modesUnderTest()) {
  describe(`Given one host and ten Programs of one object, ${mode} mode`, function () {
    this.timeout(60_000);
    let lab: Lab;

    before(async () => {
      ManagedResource.useMode(mode);
      lab = await Lab.create();
    });

    after(async () => {
      ManagedResource.useMode("dynamic");
      closeAll();
      await lab?.destroy();
    });

    it("when all are created, changed and deleted at once, then each has its own, and nothing is left", async () => {
      const { connection } = lab.host();
      const args = (version: number) => ({ connection, source: fixture, globals: { version } });
      const names = Array.from({ length: 10 }, (_, index) => `filter-${index}`);
      const programs = await Promise.all(
        names.map((name) => ManagedResource.create("Program", name, args(1))),
      );
      const pins = await bpffsOf(lab.host());
      assert.equal(pins.filter((path) => path.endsWith("/programs/xdp_filter")).length, 10);
      await Promise.all(programs.map((program) => program.update(args(2))));
      for (const program of programs) assert.deepEqual(await program.refresh(), []);
      await Promise.all(programs.map((program) => program.delete()));
      assert.deepEqual(await bpffsOf(lab.host()), []);
    });
  });
}
