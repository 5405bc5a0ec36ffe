/** One resource on several hosts, by the real engine: waves, failures, roll-back, hosts that come and go, drift. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import type { NetnsHost } from "../support/netns-host";
import { type Outcome, PulumiProject } from "../support/pulumi";
import { Flood } from "../support/traffic";
import { bpffsOf, programOnEth0 } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");
const count = 5;

interface Options {
  /** Indexes of the hosts that are in the fleet. */
  members?: number[];
  version?: number;
  /** UDP ports to drop. */
  ports?: number[];
  rollout?: Record<string, unknown>;
}

/** index.ts of a stack; config `hosts` and `source`. */
function fleetProgram({
  members = [0, 1, 2, 3, 4],
  version = 1,
  ports = [9001],
  rollout = {},
}: Options): string {
  const rows = ports.map((port) => ({ key: port, value: { action: "DROP", note: 0 } }));
  return `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const all = config.requireObject<ebpf.ConnectionArgs[]>("hosts");
const fleet = ebpf.fleet({
  hosts: ${JSON.stringify(members)}.map((index) => ({ connection: all[index]!, labels: { index: String(index) } })),
  connection: { dialErrorLimit: 1 },
  rollout: ${JSON.stringify(rollout)},
});
const filter = new ebpf.Program("filter", {
  hosts: fleet,
  source: config.require("source"),
  globals: { version: ${version} },
});
const rows = new ebpf.MapEntries("ports", {
  map: filter.map("ports"),
  entries: ${JSON.stringify(rows)},
  mode: "authoritative",
});
new ebpf.Attachment("filter-eth0", { program: filter, xdp: { interface: "eth0" } }, { dependsOn: rows });
export const targets = filter.targets;
export const entrypoints = filter.entrypoints;
`;
}

for (const mode of modesUnderTest())
  describe(`Given a fleet of ${count} hosts, ${mode} mode`, function () {
    this.timeout(180_000);
    let lab: Lab;
    let project: PulumiProject;
    let present: Options = {};

    before(async () => {
      lab = await Lab.create({ hosts: count });
      const hosts = lab.hosts.map(({ connection }) => connection);
      project = await PulumiProject.create({
        program: fleetProgram({}),
        config: { hosts, source: fixture },
        mode,
      });
    });

    after(async () => {
      project?.dispose();
      await lab?.destroy();
    });

    /** The program of before, with something else in it. */
    function change(options: Options): void {
      present = { ...present, ...options };
      project.write("index.ts", fleetProgram(present));
    }

    const nameOf = (index: number): string => lab.host(index).connection.host;
    const said = ({ stdout, stderr }: Outcome): string => stdout + stderr;
    const failedUp = async (): Promise<string> => {
      const { code, stdout, stderr }: Outcome = await project.up({ check: false });
      const text = stdout + stderr;
      assert.notEqual(code, 0, text);
      assert.doesNotMatch(text, /^\s+at .+[:(]\d+/m, "no stack trace");
      return text;
    };
    const assertUnchanged = async (...args: string[]): Promise<void> => {
      const { code, stdout } = await project.preview({
        args: ["--expect-no-changes", ...args],
        check: false,
      });
      assert.equal(code, 0, stdout);
    };
    /** The global of the program that runs on eth0, as the kernel has it; undefined: none runs. */
    async function versionOn(host: NetnsHost): Promise<number | undefined> {
      const id = await programOnEth0(host);
      if (id === undefined) return undefined;
      const { map_ids: maps } = await host.bpftool<{ map_ids: number[] }>("prog", "show", "id", String(id));
      for (const map of maps) {
        const { name } = await host.bpftool<{ name: string }>("map", "show", "id", String(map));
        if (!name.endsWith(".rodata")) continue;
        const [row] = await host.bpftool<{ value: string[] }[]>("map", "dump", "id", String(map));
        return Buffer.from(row!.value.map((byte) => Number(byte))).readUInt32LE();
      }
      throw new Error(`program ${id} has no globals`);
    }
    const versions = () => Promise.all(lab.hosts.map(versionOn));
    /** Whether UDP to the port arrives. */
    async function passes(host: NetnsHost, port: number): Promise<boolean> {
      const flood = await Flood.start(lab.client, host, { port, packetsPerSecond: 5_000 });
      await flood.sending(500);
      const { received, lost } = await flood.stop();
      assert.ok(received === 0 || lost === 0, `${received} received, ${lost} lost`);
      return received > 0;
    }

    it("when it is created, then a preview asks one host of each kernel, and hosts change wave after wave", async () => {
      change({ rollout: { canary: 1, waveSize: 2 } });
      const preview = await project.preview();
      assert.match(said(preview), new RegExp(`filter: on ${nameOf(0)}, for 5 of 5 hosts with kernel \\d`));
      const { stdout } = await project.up();
      assert.match(stdout, new RegExp(`filter: wave 1 of 3: 1 of 5 hosts: ${nameOf(0)}\\b`));
      assert.match(stdout, new RegExp(`filter: wave 3 of 3: 2 of 5 hosts: ${nameOf(3)}, ${nameOf(4)}`));
      assert.deepEqual(await versions(), [1, 1, 1, 1, 1]);
      assert.deepEqual(await Promise.all([passes(lab.host(0), 9001), passes(lab.host(4), 9002)]), [
        false,
        true,
      ]);
      await assertUnchanged();
      const { targets, entrypoints } = await project.outputs<{
        targets: Record<string, { digest: string }>;
        entrypoints: { xdp_filter: Record<string, unknown> };
      }>();
      assert.deepEqual(
        Object.keys(targets),
        lab.hosts.map((_, index) => nameOf(index)),
      );
      assert.equal(new Set(Object.values(targets).map(({ digest }) => digest)).size, 1);
      assert.equal(entrypoints.xdp_filter["type"], "xdp");
      const { resources = [] } = (await project.exportState()).deployment;
      const ours = resources.filter(({ type }) => type.includes("ebpf:"));
      assert.equal(ours.length, 3);
      assert.doesNotMatch(JSON.stringify(ours), /PRIVATE KEY/);
    });

    it("when a host is down, then it is named, the others change, and the next up retries it alone", async () => {
      change({ version: 2 });
      await lab.host(2).stop();
      const text = await failedUp();
      assert.match(text, /apply filter: 1 of 5 hosts failed/);
      assert.match(text, new RegExp(`${nameOf(2)}.*ECONNREFUSED`));
      assert.deepEqual(await versions(), [2, 2, 1, 2, 2]);
      await lab.host(2).start();
      const preview = await project.preview();
      assert.match(
        said(preview),
        new RegExp(`1 of 5 hosts to change: ${nameOf(2)}|${nameOf(2)}: did not change`),
      );
      const { stdout } = await project.up();
      assert.match(
        stdout,
        new RegExp(`filter: 1 of 5 hosts: ${nameOf(2)}|filter: wave 1 of 1: 1 of 5 hosts: ${nameOf(2)}`),
      );
      assert.deepEqual(await versions(), [2, 2, 2, 2, 2]);
      await assertUnchanged();
    });

    it("when the canary's health check fails, then it has its earlier program again, and nobody else changed", async () => {
      const ids = await Promise.all(lab.hosts.map(programOnEth0));
      await lab.host(0).write("/run/host/sick", "yes");
      const health = [{ command: "test ! -e /run/host/sick || { echo it is sick; exit 4; }" }];
      change({ version: 3, rollout: { canary: 1, waveSize: 2, health, onFailure: "rollBack" } });
      const text = await failedUp();
      assert.match(text, new RegExp(`${nameOf(0)}: is not healthy: .*status 4: it is sick`));
      assert.match(text, /the canary was rolled back; 4 hosts keep what they have/);
      assert.deepEqual(await versions(), [2, 2, 2, 2, 2]);
      assert.deepEqual((await Promise.all(lab.hosts.map(programOnEth0))).slice(1), ids.slice(1));
      assert.equal(await passes(lab.host(0), 9001), false, "the earlier program judges");
      await lab.host(0).exec(["rm", "/run/host/sick"]);
      await project.refresh();
      const { stdout } = await project.up();
      assert.match(stdout, /filter: wave 1 of 3: 1 of 5 hosts/);
      assert.deepEqual(await versions(), [3, 3, 3, 3, 3]);
      await assertUnchanged();
    });

    it("when a counter grows too fast during the soak, then the wave gets its earlier rows back", async () => {
      const health = [{ counter: { map: "verdicts", key: 1 }, below: 100 }];
      change({ ports: [9001, 9002], rollout: { canary: 1, soakSeconds: 2, health, onFailure: "rollBack" } });
      const flood = await Flood.start(lab.client, lab.host(0), { port: 9002, packetsPerSecond: 1_000 });
      await flood.flowing(100);
      const text = await failedUp();
      assert.match(
        text,
        new RegExp(`${nameOf(0)}: is not healthy: verdicts\\[1\\] grew by \\d+, not below 100`),
      );
      await flood.flowing(100);
      const { received, lost } = await flood.stop();
      assert.ok(lost > 0 && received > 200, "it was dropped for a while");
      assert.deepEqual(await Promise.all([0, 1].map((index) => passes(lab.host(index), 9002))), [true, true]);
      change({ rollout: {} });
      await project.up();
      assert.deepEqual(await Promise.all([0, 4].map((index) => passes(lab.host(index), 9002))), [
        false,
        false,
      ]);
    });

    it("when hosts leave and join, then what was theirs goes, and they get it again", async () => {
      const before = await programOnEth0(lab.host(1));
      change({ members: [1, 2, 3, 4] });
      await project.up();
      assert.deepEqual(await bpffsOf(lab.host(0)), []);
      assert.equal(await passes(lab.host(0), 9001), true);
      assert.equal(await programOnEth0(lab.host(1)), before, "the others were not touched");
      await assertUnchanged();
      change({ members: [0, 1, 2, 3, 4] });
      const { changes } = await project.up();
      assert.deepEqual(changes, { same: 1, update: 3 });
      assert.deepEqual(await versions(), [3, 3, 3, 3, 3]);
      assert.equal(await passes(lab.host(0), 9001), false);
    });

    it("when a host drifts and another is unreachable, then a refresh tells both, and up repairs the one", async () => {
      const [map] = (await bpffsOf(lab.host(3))).filter((path) => path.endsWith("/maps/ports"));
      await lab.host(3).bpftool("map", "delete", "pinned", map!, "key", "hex", "23", "29");
      assert.equal(await passes(lab.host(3), 9001), true);
      await lab.host(1).stop();
      const drifted = await project.preview({ args: ["--refresh", "--expect-no-changes"], check: false });
      assert.notEqual(drifted.code, 0);
      assert.match(said(drifted), new RegExp(`${nameOf(3)}: an entry of map .*ports.* is gone: key 9001`));
      assert.match(said(drifted), new RegExp(`1 host is unreachable, .*: ${nameOf(1)}`));
      const { stdout } = await project.up({ args: ["--refresh"] });
      assert.match(stdout, new RegExp(`ports: 1 of 5 hosts: ${nameOf(3)}`));
      assert.equal(await passes(lab.host(3), 9001), false);
      const { targets } = await project.outputs<{ targets: Record<string, { reachable: boolean }> }>();
      assert.deepEqual(
        Object.values(targets).map(({ reachable }) => reachable),
        [true, false, true, true, true],
      );
      await lab.host(1).start();
      await project.refresh();
      await assertUnchanged();
    });

    it("when it is destroyed with a host down, then that one is left, and the next destroy finishes it", async () => {
      await lab.host(4).stop();
      const { code, stdout, stderr } = await project.destroy({ check: false });
      assert.notEqual(code, 0);
      assert.match(stdout + stderr, new RegExp(`1 of 5 hosts failed[^]*${nameOf(4)}`));
      await lab.host(4).start();
      await project.destroy();
      for (const host of lab.hosts) {
        assert.deepEqual(await bpffsOf(host), []);
        assert.equal((await host.exec(["find", "/var/lib/pulumi-ebpf/records", "-type", "f"])).stdout, "");
      }
    });
  });

/** The example's README promises 20. */
const exampleHosts = process.env["EBPF_TEST_ALL"] ? 20 : 4;

describe(`Given the example fleet on ${exampleHosts} hosts`, function () {
  this.timeout(300_000);
  let lab: Lab;
  let project: PulumiProject;

  before(async () => {
    lab = await Lab.create({ hosts: exampleHosts + 1 });
  });

  after(async () => {
    project?.dispose();
    await lab?.destroy();
  });

  it("when a change would drop what it should not, then one host shows it, and has its earlier program again", async () => {
    const inventory = lab.hosts.map(({ connection }, index) => ({
      connection,
      labels: { role: index === exampleHosts ? "core" : "edge" },
    }));
    const config = { inventory, soakSeconds: 1, mostDrops: 200 };
    const directory = resolve(__dirname, "../../examples/fleet");
    project = await PulumiProject.create({ program: { directory }, name: "fleet", config });
    const edge = lab.hosts.slice(0, exampleHosts);
    const core = lab.host(exampleHosts);

    await project.up();
    const running = await Promise.all(edge.map(programOnEth0));
    assert.ok(running.every((id) => id !== undefined));
    assert.equal(await programOnEth0(core), undefined, "it is not selected");

    const flood = await Flood.start(lab.client, lab.host(0), { packetsPerSecond: 2_000 });
    await flood.flowing(100);
    project.configure({ ...config, dropOthers: true });
    const { code, stdout, stderr } = await project.up({ check: false });
    assert.notEqual(code, 0);
    assert.match(stdout + stderr, /is not healthy: verdicts\[1\] grew by \d+, not below 200/);
    await flood.flowing(100);
    const { lost } = await flood.stop();
    assert.ok(lost > 200, "the canary dropped for as long as it was watched");
    const after = await Promise.all(edge.map(programOnEth0));
    assert.deepEqual(after.slice(1), running.slice(1), "nobody else changed");

    project.configure(config);
    await project.refresh();
    await project.up();
    const again = await project.preview({ args: ["--expect-no-changes"], check: false });
    assert.equal(again.code, 0, again.stdout);
    const { hosts } = await project.outputs<{ hosts: Record<string, { digest: string }> }>();
    assert.equal(Object.keys(hosts).length, exampleHosts);
    assert.equal(new Set(Object.values(hosts).map(({ digest }) => digest)).size, 1);
    await project.destroy();
    for (const host of lab.hosts) assert.deepEqual(await bpffsOf(host), []);
  });
});
