/**
 * The main job, by the real engine: create, change, replace under traffic, drift, repair, destroy. One text of it
 * for every kind of host: network namespaces (main-job.test.ts) and virtual machines (../vm/kernel.ts).
 */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import type { TestHost, TestSite } from "../support/host";
import type { Mode } from "../support/modes";
import { PulumiProject } from "../support/pulumi";
import { Flood } from "../support/traffic";
import { bpffsOf, filterProgram, programOnEth0 } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");

export interface Load {
  /** Of each of the two floods while the program is replaced: what the site carries without loss. */
  packetsPerSecond: number;
  /** Way to the provider. Default `dynamic`. */
  mode?: Mode;
}

/** Suite of the main job on a site that is up, and untouched, when its first test runs. */
export function mainJob(site: () => TestSite, { packetsPerSecond, mode = "dynamic" }: Load): void {
  describe("Given a stack with a filter, its entries and its attachment", () => {
    let project: PulumiProject;
    const host = (): TestHost => site().host();
    const write = (options: Parameters<typeof filterProgram>[0]): void =>
      project.write("index.ts", filterProgram(options));

    before(async () => {
      const config = { connection: host().connection, source: fixture };
      project = await PulumiProject.create({ program: filterProgram({ ports: [9001] }), config, mode });
    });

    after(() => project?.dispose());

    it("when previewed, then nothing is on the host but the agent", async () => {
      const { changes, stdout } = await project.preview();
      assert.equal(changes["create"], 4, stdout); // the stack too
      assert.equal(await programOnEth0(host()), undefined);
      assert.deepEqual(await bpffsOf(host()), []);
      const { stdout: files } = await host().exec(["find", "/var/lib/pulumi-ebpf", "-maxdepth", "1"]);
      assert.deepEqual(files.trim().split("\n").sort(), [
        "/var/lib/pulumi-ebpf",
        "/var/lib/pulumi-ebpf/agent",
      ]);
    });

    it("when brought up, then packets are filtered and the outputs say what the kernel runs", async () => {
      await project.up();
      const { entrypoints } = await project.outputs<{ entrypoints: { xdp_filter: { programId: number } } }>();
      assert.equal(await programOnEth0(host()), entrypoints.xdp_filter.programId);
      const { refused, passed } = await judge(9001, 9002);
      assert.equal(refused.received, 0);
      assert.equal(passed.lost, 0);
    });

    it("when previewed again, then there is nothing to do", async () => {
      const { code, stdout } = await project.preview({ args: ["--expect-no-changes"], check: false });
      assert.equal(code, 0, stdout);
    });

    it("when one entry changes, then only that does, and the kernel shows it", async () => {
      write({ ports: [9003] });
      const { changes, steps } = await project.up();
      assert.deepEqual({ ...changes }, { same: 3, update: 1 });
      assert.match(steps.find(({ op }) => op === "update")!.urn, /MapEntries/);
      const { refused, passed } = await judge(9003, 9001);
      assert.equal(refused.received, 0);
      assert.equal(passed.lost, 0);
    });

    it("when the program is replaced under a flood, then no packet gets a wrong verdict and counters go on", async () => {
      const before = await programOnEth0(host());
      const flood = await Flood.start(site().client, host(), { port: 9002, packetsPerSecond, seconds: 300 });
      const blocked = await Flood.start(site().client, host(), {
        port: 9003,
        packetsPerSecond,
        seconds: 300,
      });
      await flood.flowing(packetsPerSecond / 50);
      write({ ports: [9003], version: 2 });
      const { changes } = await project.up();
      await flood.flowing(packetsPerSecond / 50);
      const [passed, refused] = await Promise.all([flood.stop(), blocked.stop()]);
      assert.deepEqual({ ...changes }, { same: 3, update: 1 });
      assert.notEqual(await programOnEth0(host()), before);
      const { swappedLinks } = await project.outputs();
      assert.deepEqual(swappedLinks, ["xdp on eth0 of test/dev/Attachment/filter-eth0"]);
      assert.equal(passed.lost, 0, JSON.stringify(passed));
      assert.equal(refused.received, 0, JSON.stringify(refused));
      assert.ok(Math.min(passed.sent, refused.sent) > packetsPerSecond / 5);
    });

    it("when it is detached by hand, then refresh says so, a drift check exits with 7, and up repairs it", async () => {
      await host().bpftool("link", "detach", "pinned", await pinOf("links/link"));
      assert.equal(await programOnEth0(host()), undefined);
      const check = await project.preview({ args: ["--refresh", "--expect-no-changes"], check: false });
      assert.equal(check.code, 7, check.stdout);
      const { stdout } = await project.refresh({ args: ["--diff"] });
      assert.match(stdout, /drift.*detached/s);
      const { stdout: plan } = await project.preview();
      assert.match(plan, /detached/);
      await project.up();
      assert.notEqual(await programOnEth0(host()), undefined);
      const { code } = await project.preview({ args: ["--refresh", "--expect-no-changes"], check: false });
      assert.equal(code, 0);
    });

    it("when an entry is changed by hand, then refresh names it with both values, and up repairs it", async () => {
      const map = await pinOf("maps/ports");
      await host().exec(
        `bpftool map update pinned ${map} key hex 23 2b value hex 00 00 00 00 00 00 00 00`.split(" "),
      );
      await project.refresh();
      const { stdout } = await project.preview();
      assert.match(stdout, /9003/);
      assert.match(stdout, /DROP/);
      assert.match(stdout, /PASS/);
      await project.up();
      const { refused } = await judge(9003, 9001);
      assert.equal(refused.received, 0);
    });

    it("when destroyed, then nothing is left", async () => {
      await project.destroy();
      assert.equal(await programOnEth0(host()), undefined);
      assert.deepEqual(await bpffsOf(host()), []);
      const { stdout } = await host().exec(["find", "/var/lib/pulumi-ebpf/records", "-type", "f"], {
        check: false,
      });
      assert.equal(stdout, "");
    });

    async function judge(bad: number, good: number) {
      const [refused, passed] = await Promise.all(
        [bad, good].map((port) =>
          Flood.start(site().client, host(), { port, packetsPerSecond: packetsPerSecond / 10 }),
        ),
      );
      await passed!.flowing(packetsPerSecond / 25);
      return { refused: await refused!.stop(), passed: await passed!.stop() };
    }

    async function pinOf(end: string): Promise<string> {
      const found = (await bpffsOf(host())).filter((path) => path.endsWith(end));
      assert.equal(found.length, 1, found.join());
      return found[0]!;
    }
  });
}
