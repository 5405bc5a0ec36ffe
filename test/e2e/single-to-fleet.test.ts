/** A resource on one host becomes one on a fleet, and back, under traffic: both are replacements that adopt what runs. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import type { NetnsHost } from "../support/netns-host";
import { PulumiProject } from "../support/pulumi";
import { Flood } from "../support/traffic";
import { bpffsOf, filterProgram, programOnEth0 } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");
const load = { packetsPerSecond: 10_000, seconds: 200 };
const single = filterProgram({ ports: [9001] });

/** The same on the first `count` hosts of the configuration's `all`. */
function fleetProgram(count: number): string {
  const fleet =
    'const all = config.requireObject<ebpf.ConnectionArgs[]>("all");\n' +
    `const hosts = ebpf.fleet({ hosts: all.slice(0, ${count}) });\n`;
  return single
    .replace("const source", `${fleet}const source`)
    .replace('Program("filter", {\n  connection', 'Program("filter", {\n  hosts');
}

for (const mode of modesUnderTest()) {
  describe(`Given a filter on one host under traffic, ${mode} mode`, function () {
    this.timeout(240_000);
    let lab: Lab;
    let project: PulumiProject;
    let passing: Flood;
    let blocked: Flood;
    let atFirst: unknown;

    before(async () => {
      lab = await Lab.create({ hosts: 2 });
      const all = lab.hosts.map(({ connection }) => connection);
      const config = { connection: all[0], all, source: fixture };
      project = await PulumiProject.create({ program: single, config, mode });
      await project.up();
      atFirst = await kernelState();
      passing = await Flood.start(lab.client, lab.host(), { ...load, port: 9002 });
      blocked = await Flood.start(lab.client, lab.host(), { ...load, port: 9001 });
      await passing.flowing(1000);
    });

    after(async () => {
      project?.dispose();
      await lab?.destroy();
    });

    /** Program and link of the first host by their kernel ids. */
    async function kernelState(host: NetnsHost = lab.host()): Promise<unknown> {
      const pins = (await bpffsOf(host)).filter((pin) => pin.includes("/links/"));
      assert.equal(pins.length, 1, pins.join());
      const { id, prog_id } = await host.bpftool<{ id: number; prog_id: number }>(
        "link",
        "show",
        "pinned",
        pins[0]!,
      );
      assert.equal(await programOnEth0(host), prog_id);
      return { id, prog_id };
    }

    async function become(program: string): Promise<Record<string, number>> {
      project.write("index.ts", program);
      const { changes } = await project.up();
      assert.deepEqual(await kernelState(), atFirst, "what ran is what runs");
      const args = ["--refresh", "--expect-no-changes"];
      const { code, stdout, stderr } = await project.preview({ args, check: false });
      assert.equal(code, 0, stdout + stderr);
      return changes;
    }

    it("when it becomes one of a fleet, then the fleet's resources take over what runs there", async () => {
      assert.deepEqual(await become(fleetProgram(1)), { same: 1, replace: 3 });
      const { resources = [] } = (await project.exportState()).deployment;
      const ids = resources.flatMap(({ id }) => (id?.includes("test/dev/") === true ? [id] : []));
      assert.deepEqual(
        ids.map((id) => id.split("/")[0]),
        ["fleet", "fleet", "fleet"],
        ids.join(),
      );
    });

    it("when the fleet grows, then the new host judges too", async () => {
      assert.deepEqual(await become(fleetProgram(2)), { same: 1, update: 3 });
      await kernelState(lab.host(1));
    });

    it("when it is on one host again, then that one keeps it and the other is clean", async () => {
      assert.deepEqual(await become(single), { same: 1, replace: 3 });
      assert.equal(await programOnEth0(lab.host(1)), undefined);
      assert.deepEqual(await bpffsOf(lab.host(1)), []);
    });

    it("and no packet got a wrong verdict meanwhile, and nothing is left after destroy", async () => {
      await passing.flowing(1000);
      const [passed, refused] = await Promise.all([passing.stop(), blocked.stop()]);
      assert.equal(passed.lost, 0, JSON.stringify(passed));
      assert.equal(refused.received, 0, JSON.stringify(refused));
      await project.destroy();
      for (const host of lab.hosts) {
        assert.deepEqual(await bpffsOf(host), []);
        assert.equal((await host.exec(["find", "/var/lib/pulumi-ebpf/records", "-type", "f"])).stdout, "");
      }
    });
  });
}
