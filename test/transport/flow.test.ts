/** The TCP connections that a session runs over: which they are, and that a session of one's own has new ones. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CONFIG_FILE_VARIABLE } from "../../provider/transport/ssh-config";
import type { NetnsHost } from "../support/netns-host";
import { SessionSuite } from "./session-suite";

describe("flow", function () {
  this.timeout(60_000);
  const suite = new SessionSuite([{}, { behind: 0 }]);

  /** `address:port address:port` of every SSH connection that the host has from outside, as `ss` sees it. */
  async function connections(host: NetnsHost): Promise<string[]> {
    const { stdout } = await host.exec(["ss", "-Htn", "state", "established", "sport = :22"]);
    return stdout
      .trim()
      .split("\n")
      .map((line) => line.trim().split(/\s+/).slice(2, 4).join(" "))
      .sort();
  }

  for (const user of ["root", "deploy"] as const) {
    it(`is the connection that the host's kernel has, for ${user}`, async () => {
      const session = await suite.pool.open(suite.host.connectionAs(user));
      const { peer, local } = (await session.call("session.flow", {}))!;
      assert.deepEqual(await connections(suite.host), [
        `${local.address}:${local.port} ${peer.address}:${peer.port}`,
      ]);
      assert.equal(local.address, suite.host.connection.host);
    });
  }

  it("has the bastion as its peer, which is who the host's packets come from", async () => {
    const behind = suite.lab.host(1);
    const session = await suite.pool.open(behind.connection);
    const { peer } = (await session.call("session.flow", {}))!;
    const links = await suite.host.ip<{ addr_info: { local: string }[] }[]>("address");
    const addresses = links.flatMap(({ addr_info }) => addr_info.map(({ local }) => local));
    assert.ok(addresses.includes(peer.address), peer.address);
    assert.equal((await connections(behind))[0]!.split(" ")[1], `${peer.address}:${peer.port}`);
  });

  const transports = ["ssh2", "openssh"] as const;
  for (const transport of transports) {
    it(`of a session of one's own is new at every hop, by ${transport}`, async () => {
      const [bastion, behind] = [suite.host, suite.lab.host(1)];
      const config = join(suite.directory, "config");
      const keys = join(suite.directory, "known_hosts");
      const socket = join(suite.directory, "%h"); // short: a socket has 107 characters
      writeFileSync(
        keys,
        [bastion, behind].map(({ connection: { host, hostKey } }) => `${host} ${hostKey}\n`).join(""),
      );
      writeFileSync(
        config,
        `Host *\n  ControlMaster auto\n  ControlPath ${socket}\n  ControlPersist yes\n` +
          `  User root\n  IdentityFile ${bastion.identityFile}\n  UserKnownHostsFile ${keys}\n`,
      );
      const connection =
        transport === "ssh2"
          ? behind.connection
          : { host: behind.connection.host, transport, proxy: { host: bastion.connection.host } };
      const masters: string[] = [];
      process.env[CONFIG_FILE_VARIABLE] = config;
      try {
        const shared = await suite.pool.open(connection);
        masters.push(behind.connection.host, bastion.connection.host);
        const before = [await connections(bastion), await connections(behind)];
        assert.deepEqual(
          before.map(({ length }) => length),
          [1, 1],
        );
        const own = await suite.pool.open(connection, { anew: true });
        assert.notEqual(own.hello.pid, shared.hello.pid);
        const during = [await connections(bastion), await connections(behind)];
        for (const [hop, before_] of before.entries()) {
          assert.equal(during[hop]!.length, 2, `hop ${hop}`);
          assert.ok(during[hop]!.includes(before_[0]!), "the shared one stays");
        }
        const { peer, local } = (await own.call("session.flow", {}))!;
        const flow = `${local.address}:${local.port} ${peer.address}:${peer.port}`;
        assert.deepEqual(
          during[1]!.filter((line) => !before[1]!.includes(line)),
          [flow],
        );
        own.release();
        assert.deepEqual(
          await shared.call("blob.has", { digests: ["a"] }),
          ["a"],
          "the shared one serves on",
        );
      } finally {
        suite.pool.closeAll();
        for (const host of transport === "openssh" ? masters : [])
          execFileSync("ssh", ["-F", config, "-O", "exit", host], { stdio: "ignore" });
        delete process.env[CONFIG_FILE_VARIABLE];
        rmSync(config);
      }
    });
  }
});
