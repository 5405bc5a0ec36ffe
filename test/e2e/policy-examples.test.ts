/** The examples of network policies, deployed from their own directories by the real engine, and judged by connections. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import type { NetnsHost } from "../support/netns-host";
import { PulumiProject } from "../support/pulumi";
import { connect, connectAll, NetworkService } from "../support/network-service";
import { bpffsOf } from "./filter";

const examples = resolve(__dirname, "../../examples");
const PORTS = [443, 5432, 8080];
const open = { 443: "open", 5432: "open", 8080: "open" };

for (const mode of modesUnderTest()) {
  describe(`Given hosts for the examples of network policies, ${mode} mode`, function () {
    this.timeout(180_000);
    let lab: Lab;
    let web: NetnsHost;
    let app: NetnsHost;
    let db: NetnsHost;
    const services: NetworkService[] = [];

    before(async () => {
      lab = await Lab.create({ hosts: 3 });
      [web, app, db] = lab.hosts as [NetnsHost, NetnsHost, NetnsHost];
      for (const host of lab.hosts) services.push(await NetworkService.start(host, { tcp: PORTS }));
    });

    after(async () => {
      for (const service of services) await service.stop();
      await lab?.destroy();
    });

    /** Up, `verify`, a preview without changes, destroy, nothing left. */
    async function deployed(
      example: string,
      config: Record<string, unknown>,
      verify: (project: PulumiProject) => Promise<void>,
      files: Record<string, string> = {},
    ): Promise<void> {
      const directory = resolve(examples, example);
      const project = await PulumiProject.create({ program: { directory }, name: example, config, mode });
      try {
        for (const [file, text] of Object.entries(files)) project.write(file, text);
        await project.up();
        try {
          await verify(project);
          await project.preview({ args: ["--expect-no-changes"] });
        } finally {
          await project.destroy();
        }
        for (const host of lab.hosts) {
          assert.deepEqual(await bpffsOf(host), []);
          assert.deepEqual(await connectAll(lab.client, host.address, PORTS), open);
        }
      } finally {
        project.dispose();
      }
    }

    it("network-policy: everyone reaches web, web app, and app db, and nothing else gets through", async () => {
      const tier = ({ connection, address, address6 }: NetnsHost) => {
        return { connection, interface: "eth0", networks: [`${address}/32`, `${address6}/128`] };
      };
      const config = { web: tier(web), app: tier(app), db: tier(db), offices: ["198.51.100.0/24"] };
      await deployed("network-policy", config, async (project) => {
        const from = async (source: Pick<NetnsHost, "command">) =>
          Promise.all(lab.hosts.map(({ address }) => connectAll(source, address, PORTS)));
        const drops = { 443: "dropped", 5432: "dropped", 8080: "dropped" };
        const [toWeb, toApp, toDb] = await from(lab.client);
        assert.deepEqual([toWeb, toApp, toDb], [{ ...drops, 443: "open" }, drops, drops]);
        assert.deepEqual((await from(web))[1], { ...drops, 8080: "open" });
        assert.deepEqual((await from(web))[2], drops);
        assert.deepEqual((await from(app))[2], { ...drops, 5432: "open" });
        assert.equal(await connect(app, db.address6, 5432), "open");
        assert.equal(await connect(web, db.address6, 5432), "dropped");
        assert.deepEqual(await project.outputs(), { judged: [["eth0"], ["eth0"], ["eth0"]] });
      });
    });

    it("blocklist: who is in a file of 100,000 networks is dropped, and a line more or less is one update", async () => {
      const script = resolve(examples, "blocklist/make-list.mjs");
      const list = execFileSync(process.execPath, [script], { encoding: "utf8", maxBuffer: 8 << 20 });
      const listed = `${list}${lab.client.address}/32\n`;
      const config = { connection: web.connection, interface: "eth0" };
      await deployed(
        "blocklist",
        config,
        async (project) => {
          assert.deepEqual(await project.outputs(), { networks: 100_001 });
          assert.equal(await connect(lab.client, web.address, 443), "dropped");
          assert.equal(await connect(app, web.address, 443), "open");
          project.write("blocklist.txt", list);
          const { changes } = await project.up();
          assert.equal(changes["update"], 1);
          assert.equal(await connect(lab.client, web.address, 443), "open");
        },
        { "blocklist.txt": listed },
      );
    });

    it("policy-audit-then-enforce: nothing is dropped until it is enforced, and what was missing can be added", async () => {
      const config = {
        connection: db.connection,
        interface: "eth0",
        clients: [`${app.address}/32`],
        port: 5432,
      };
      await deployed("policy-audit-then-enforce", config, async (project) => {
        assert.deepEqual(await connectAll(lab.client, db.address, PORTS), open);
        const more = [{ name: "metrics", ports: [{ protocol: "TCP", port: 8080 }] }];
        project.configure({ ...config, more, enforce: true });
        await project.up();
        assert.deepEqual(await connectAll(lab.client, db.address, PORTS), {
          ...{ 443: "dropped", 5432: "dropped", 8080: "open" },
        });
        assert.equal(await connect(app, db.address, 5432), "open");
      });
    });
  });
}
