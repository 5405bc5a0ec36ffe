/** Each of examples/, deployed from its own directory by the real engine, and judged by what packets and processes meet. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { foreignObject } from "../demo/stage";
import { run } from "../support/command";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import type { NetnsHost } from "../support/netns-host";
import { PulumiProject } from "../support/pulumi";
import { Flood, ping } from "../support/traffic";
import { bpffsOf, programOnEth0 } from "./filter";

for (const mode of modesUnderTest()) {
  describe(`Given a host of its own for the examples, ${mode} mode`, function () {
    this.timeout(120_000);
    let lab: Lab;
    let host: NetnsHost;

    before(async () => {
      lab = await Lab.create();
      host = lab.host();
    });

    after(() => lab?.destroy());

    it("firewall: packets of a listed network are dropped and counted, and one rule changes alone", async () => {
      await host.addInterface("lan0");
      const { client } = lab;
      const config = (network: string) => ({
        hosts: [{ name: "edge", connection: host.connection, interface: "eth0", foreignInterface: "lan0" }],
        rules: [{ network, action: "DROP" }],
        foreignObject: foreignObject(),
        allowed: [client.address],
      });
      await deployed("firewall", config(`${client.address}/32`), async (project) => {
        const dropped = await send();
        assert.equal(dropped.received, 0);
        const verdicts = await dump<{ key: number; values: { value: { packets: number } }[] }>("verdicts");
        const packets = verdicts
          .filter(({ key }) => key === 1)
          .flatMap(({ values }) => values.map(({ value }) => value.packets));
        assert.equal(
          packets.reduce((sum, count) => sum + count, 0),
          dropped.sent,
        );
        const [lan0] = await host.ip<{ xdp?: { prog: { id: number } } }[]>("link", "show", "lan0");
        assert.equal((await programNamed(lan0?.xdp?.prog.id)).name, "xdpfilt_dny_ip");

        project.configure(config("203.0.113.0/24"));
        const before = await programOnEth0(host);
        const { changes, steps } = await project.up();
        const updated = steps.filter(({ op, urn }) => op !== "same" && !urn.includes("::pulumi:providers:"));
        assert.deepEqual({ ...changes }, { same: 6, update: 1 });
        assert.deepEqual(
          updated.map(({ urn }) => urn.split("::").at(-1)),
          ["rules-edge"],
        );
        assert.equal(await programOnEth0(host), before);
        assert.equal((await send()).lost, 0);
      });
      assert.equal(await programOnEth0(host), undefined);
      await host.removeInterface("lan0");
    });

    it("shared-map: both directions count into one map, by the tenants of the CSV file", async () => {
      const config = { connection: host.connection, interface: "eth0" };
      const tenants = `key,value.tenant\n${host.address},7\n198.51.100.10,8\n`;
      await deployed(
        "shared-map",
        config,
        async () => {
          assert.equal(await ping(lab.client, host.address, 5), 5);
          const traffic = await dump<{ key: number; values: { value: Record<string, number> }[] }>("traffic");
          assert.deepEqual(
            traffic.map(({ key }) => key),
            [7],
          );
          const sum = (member: string): number =>
            traffic[0]!.values.reduce((total, { value }) => total + value[member]!, 0);
          assert.deepEqual([sum("rx_packets"), sum("tx_packets")], [5, 5]);
          assert.ok(sum("rx_bytes") >= 5 * 84 && sum("tx_bytes") >= 5 * 84);
        },
        { "tenants.csv": tenants },
      );
      const [left] = await host.bpftool<{ tc: unknown[] }[]>("net", "show", "dev", "eth0");
      assert.deepEqual(left?.tc, []);
    });

    it("tracing-tracepoint: the programs that a cgroup starts are counted, nobody else's, no ignored ones", async () => {
      await inCgroup("watched", async (path) => {
        const { stdout } = await host.exec(["stat", "-c", "%i", path]);
        const config = { connection: host.connection, ignored: ["sleep"], onlyCgroup: stdout.trim() };
        await deployed("tracing-tracepoint", config, async () => {
          const starts = "for i in 1 2 3 4 5; do /bin/true; /bin/sleep 0; done; exec /bin/false";
          await host.exec(["sh", "-c", `echo $$ > ${path}/cgroup.procs; ${starts}`], { check: false });
          await host.exec(["sh", "-c", "for i in 1 2 3; do /bin/true; /bin/date; done"]);
          const executions = await dump<{ key: { comm: string }; value: { count: number } }>("executions");
          const counts = executions.map(({ key, value }) => [key.comm, value.count] as const);
          assert.deepEqual(Object.fromEntries(counts), { true: 5, false: 1 });
        });
      });
    });

    it("cgroup-guard: connect(2) to a denied network fails in the cgroup, and nowhere else", async () => {
      await inCgroup("guarded", async (path) => {
        const denied = [{ network: "127.0.0.0/8", port: 7777 }];
        await deployed("cgroup-guard", { connection: host.connection, cgroup: path, denied }, async () => {
          const inside = await connects(path);
          assert.equal(inside["slipped"], 0);
          assert.equal(inside["blocked"], 0);
          assert.ok(inside["refused"]! > 10 && inside["passed"]! > 10, JSON.stringify(inside));
          const refusals = await dump<{ value: number }>("refusals");
          assert.deepEqual(
            refusals.map(({ value }) => value),
            [inside["refused"]],
          );
          assert.equal((await connects(""))["refused"], 0);
        });
        assert.equal((await connects(path))["refused"], 0);
      });
    });

    it("all: their TypeScript is right by the types of the installed package", async () => {
      const directory = resolve(__dirname, "../../examples");
      const project = await PulumiProject.create({ program: { directory }, name: "examples", mode });
      try {
        const programs = readdirSync(directory)
          .map((example) => `${example}/index.ts`)
          .filter((program) => existsSync(join(directory, program)));
        const options = "--noEmit --strict --skipLibCheck --target ES2022 --module commonjs".split(" ");
        const compile = ["node_modules/.bin/tsc", ...options, "--moduleResolution", "node10", ...programs];
        const { code, stdout } = await run(compile, { cwd: project.directory, check: false });
        assert.equal(code, 0, stdout);
        assert.equal(programs.length, 8);
      } finally {
        project.dispose();
      }
    });

    /** Up, `verify`, a preview without changes, destroy, nothing left. */
    async function deployed(
      example: string,
      config: Record<string, unknown>,
      verify: (project: PulumiProject) => Promise<void>,
      files: Record<string, string> = {},
    ): Promise<void> {
      const directory = resolve(__dirname, "../../examples", example);
      const project = await PulumiProject.create({ program: { directory }, name: example, config, mode });
      try {
        for (const [file, text] of Object.entries(files)) project.write(file, text);
        await project.up();
        try {
          await verify(project);
          const again = await project.preview({ args: ["--expect-no-changes"], check: false });
          assert.equal(again.code, 0, again.stdout);
        } finally {
          await project.destroy();
        }
        assert.deepEqual(await bpffsOf(host), []);
        const records = ["find", "/var/lib/pulumi-ebpf/records", "-type", "f"];
        assert.equal((await host.exec(records)).stdout, "");
      } finally {
        project.dispose();
      }
    }

    async function send(): Promise<{ sent: number; received: number; lost: number }> {
      const flood = await Flood.start(lab.client, host, { port: 9001, packetsPerSecond: 10_000 });
      await flood.sending(2000);
      return flood.stop();
    }

    /** Rows of a pinned map, by bpftool and its BTF. */
    async function dump<Row>(map: string): Promise<Row[]> {
      const pins = (await bpffsOf(host)).filter((path) => path.endsWith(`/maps/${map}`));
      assert.equal(pins.length, 1, pins.join());
      const rows = await host.bpftool<{ formatted: Row }[]>("map", "dump", "pinned", pins[0]!);
      return rows.map(({ formatted }) => formatted);
    }

    async function programNamed(id: number | undefined): Promise<{ name: string }> {
      assert.ok(id !== undefined);
      return host.bpftool<{ name: string }>("prog", "show", "id", String(id));
    }

    async function inCgroup(name: string, work: (path: string) => Promise<void>): Promise<void> {
      const path = `/sys/fs/cgroup/${name}`;
      await host.exec(["mkdir", path]);
      try {
        await work(path);
      } finally {
        await host.exec(["rmdir", path]);
      }
    }

    /** What became of a second of connections to 127.0.0.1: port 7777 should be refused, 7778 should pass. */
    async function connects(cgroup: string): Promise<Record<string, number>> {
      const script = readFileSync(resolve(__dirname, "../fixtures/e2e/probe.pl"), "utf8");
      const probe = `sleep 1 | CGROUP=${cgroup} perl -e "$0" connect4 1`; // it ends with its stdin
      const { stdout } = await host.exec(["sh", "-c", probe, script]);
      return JSON.parse(stdout.trim().split("\n").at(-1)!) as Record<string, number>;
    }
  });
}
