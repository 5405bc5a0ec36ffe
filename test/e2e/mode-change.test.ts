/** A live stack goes from one mode to the other and back: nothing is replaced, and no packet is lost. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { Lab } from "../support/lab";
import type { Mode } from "../support/modes";
import { PulumiProject } from "../support/pulumi";
import { Flood } from "../support/traffic";
import { bpffsOf, filterProgram, programOnEth0 } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");
const other: Record<Mode, Mode> = { dynamic: "plugin", plugin: "dynamic" };
const PACKETS_PER_SECOND = 20_000;

/** A shared map with a secret beside the filter: values that each mode must keep as such. */
const more = `
const tokens = new ebpf.Map("tokens", { connection, type: "hash", key: "u32", value: "text:16", maxEntries: 4 });
new ebpf.MapEntries("tokens", { map: tokens, entries: [{ key: 1, value: pulumi.secret("declared-token") }] });
`;

describe("Given a stack with a filter under traffic", function () {
  this.timeout(240_000);
  let lab: Lab;
  let project: PulumiProject;

  beforeEach(async () => {
    lab = await Lab.create();
  });

  afterEach(async () => {
    project?.dispose();
    await lab?.destroy();
  });

  const start = async (mode: Mode) => {
    const config = { connection: lab.host().connection, source: fixture };
    const program = filterProgram({ ports: [9001], more });
    project = await PulumiProject.create({ program, config, mode });
    await project.up();
  };

  /** All that a change of mode must leave as it is: links and programs by their kernel ids, pins by their paths. */
  async function kernelState() {
    const pins = (await bpffsOf(lab.host())).sort();
    const links = await Promise.all(
      pins
        .filter((pin) => pin.includes("/links/"))
        .map((pin) => lab.host().bpftool<{ id: number; prog_id: number }>("link", "show", "pinned", pin)),
    );
    assert.equal(links.length, 1);
    const program = await programOnEth0(lab.host());
    return { program, links: links.map(({ id, prog_id }) => [id, prog_id]), pins };
  }

  /** The move itself, and what must work after it without any further `up`. */
  async function moveTo(mode: Mode, resources = 5): Promise<void> {
    project.setMode(mode);
    const { changes, steps } = await project.up();
    assert.deepEqual(
      Object.keys(changes).filter((op) => !["same", "update"].includes(op)),
      [],
      JSON.stringify(changes),
    );
    assert.ok(steps.length > 0);
    await assertInMode(mode, resources);
    await project.refresh();
    const { code, stdout, stderr } = await project.preview({
      args: ["--refresh", "--expect-no-changes"],
      check: false,
    });
    assert.equal(code, 0, stdout + stderr);
  }

  async function assertInMode(mode: Mode, resources: number): Promise<void> {
    const exported = await project.exportState();
    const ours = (exported.deployment.resources ?? []).filter(({ type }) => /ebpf:(index:)?[A-Z]/.test(type));
    assert.equal(ours.length, resources);
    const prefix = mode === "plugin" ? "ebpf:index:" : "pulumi-nodejs:dynamic/ebpf:";
    for (const { type } of ours) assert.ok(type.startsWith(prefix), type);
    const text = JSON.stringify(ours);
    for (const secret of ["declared-token", "PRIVATE KEY"]) assert.ok(!text.includes(secret), secret);
  }

  async function assertGone(): Promise<void> {
    assert.equal(await programOnEth0(lab.host()), undefined);
    assert.deepEqual(await bpffsOf(lab.host()), []);
  }

  it("when it goes from dynamic to plugin mode and back, then kernel objects stay, and no packet gets a wrong verdict", async () => {
    await start("dynamic");
    const before = await kernelState();
    const load = { packetsPerSecond: PACKETS_PER_SECOND, seconds: 200 };
    const passing = await Flood.start(lab.client, lab.host(), { ...load, port: 9002 });
    const blocked = await Flood.start(lab.client, lab.host(), { ...load, port: 9001 });
    await passing.flowing(1000);
    await moveTo("plugin");
    assert.deepEqual(await kernelState(), before);
    await moveTo("dynamic");
    assert.deepEqual(await kernelState(), before);
    await passing.flowing(1000);
    const [passed, refused] = await Promise.all([passing.stop(), blocked.stop()]);
    assert.equal(passed.lost, 0, JSON.stringify(passed));
    assert.equal(refused.received, 0, JSON.stringify(refused));
    await project.destroy();
    await assertGone();
  });

  if (process.env["EBPF_TEST_ALL"]) {
    it("when a fleet goes from dynamic to plugin mode and back, then its hosts keep what they have", async () => {
      const fleet = "const hosts = ebpf.fleet({ hosts: [connection] });\n";
      const program = filterProgram({ ports: [9001] }).replace("const source", `${fleet}const source`);
      const config = { connection: lab.host().connection, source: fixture };
      project = await PulumiProject.create({
        program: program.replace('Program("filter", {\n  connection', 'Program("filter", {\n  hosts'),
        config,
      });
      await project.up();
      const { resources = [] } = (await project.exportState()).deployment;
      assert.equal(resources.filter(({ id }) => id?.startsWith("fleet/")).length, 3);
      const before = await kernelState();
      for (const mode of ["plugin", "dynamic"] as const) {
        await moveTo(mode, 3);
        assert.deepEqual(await kernelState(), before);
      }
      await project.destroy();
      await assertGone();
    });

    for (const first of ["dynamic", "plugin"] as const) {
      it(`when it is destroyed right after it went from ${first} to ${other[first]} mode, then nothing is left`, async () => {
        await start(first);
        project.setMode(other[first]);
        const { changes } = await project.up();
        assert.deepEqual(Object.keys(changes).sort(), first === "plugin" ? ["same", "update"] : ["same"]);
        await project.destroy();
        await assertGone();
      });
    }
  }
});
