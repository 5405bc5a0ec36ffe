import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { EbpfError } from "../../provider/errors";
import type { Connection } from "../../provider/transport/connection";
import { failure, root, SessionSuite } from "./session-suite";
import { eventually, freePort } from "./ssh-suite";

describe("session", function () {
  this.timeout(60_000);
  const suite = new SessionSuite([{}, {}, { behind: 0 }]);

  describe("call", () => {
    it("carries 16 MB unchanged", async () => {
      const session = await suite.pool.open(suite.host.connection);
      const data = randomBytes(16 << 20);
      const answer = await session.call("testRun", { spec: "", entrypoint: "", data, repeat: 1 });
      assert.ok(Buffer.compare(Buffer.from(answer.data), data) === 0);
    });

    it("is cancelled on the host, and the session goes on", async () => {
      const session = await suite.pool.open(suite.host.connection);
      const abort = new AbortController();
      const call = session.call(
        "observe",
        { ids: ["x"] },
        { signal: abort.signal, onProgress: () => abort.abort() },
      );
      await assert.rejects(call, { code: "cancelled", message: "observe x: cancelled" });
      assert.deepEqual(await session.call("blob.has", { digests: ["a"] }), ["a"]);
    });

    it("fails with the agent's last words when it dies; the next one meets a new agent", async () => {
      const session = await suite.pool.open(suite.host.connection);
      const { pid } = session.hello;
      const error = await failure(session.call("list", {}));
      assert.ok(EbpfError.is(error, "transport"));
      assert.equal(error.details.phase, "closed");
      assert.match(error.message, /signal KILL|signal SIGKILL|exit status 137/);
      assert.match(error.message, /segmentation fault, so to say/);
      assert.deepEqual(await session.call("blob.has", { digests: ["a"] }), ["a"]);
      assert.notEqual(session.hello.pid, pid);
    });

    it("fails when the connection is cut under it, and is not repeated; the next one dials again", async () => {
      const session = await suite.pool.open(suite.host.connection);
      const call = session.call(
        "observe",
        { ids: ["x"] },
        { onProgress: () => void suite.host.dropSessions() },
      );
      const error = await failure(call);
      assert.ok(EbpfError.is(error, "transport"));
      assert.equal(error.details.phase, "closed");
      assert.deepEqual(await session.call("blob.has", { digests: [] }), []);
    });

    it("fails when the host falls silent", async function () {
      const session = await suite.pool.open(suite.host.connection);
      const call = failure(
        session.call("observe", { ids: ["x"] }, { onProgress: () => void suite.host.partition() }),
      );
      const error = await call.finally(() => suite.host.heal());
      assert.ok(EbpfError.is(error, "transport"));
      assert.match(error.message, /[Kk]eep-?alive/);
    });

    it("ends the agent when the operator is gone", async () => {
      const session = await suite.pool.open(suite.host.connection);
      const { pid } = session.hello;
      assert.equal((await suite.host.exec(["test", "-d", `/proc/${pid}`], { check: false })).code, 0);
      suite.pool.closeAll();
      await eventually("the agent ends", async () => {
        return (await suite.host.exec(["test", "-d", `/proc/${pid}`], { check: false })).code !== 0;
      });
    });
  });

  describe("pool", () => {
    it("opens one connection for any number of callers", async () => {
      const logins = async (): Promise<number> => {
        const { stdout } = await suite.host.exec(["grep", "-c", "Accepted publickey", "/run/host/sshd.log"]);
        return Number(stdout);
      };
      const before = await logins();
      const sessions = await Promise.all(
        Array.from({ length: 50 }, () => suite.pool.open(suite.host.connection)),
      );
      assert.equal(new Set(sessions).size, 1);
      assert.equal(await logins(), before + 1);
    });

    it("takes connections with another host key or login for others", async () => {
      const first = await suite.pool.open(suite.host.connection);
      const error = await failure(
        suite.pool.open({ ...suite.host.connection, hostKey: suite.lab.host(1).connection.hostKey! }),
      );
      assert.ok(EbpfError.is(error, "transport") && error.details.phase === "host-key");
      assert.notEqual(await suite.pool.open(suite.host.connectionAs("deploy")), first);
    });

    it("reaches a host behind a bastion", async () => {
      const session = await suite.pool.open(suite.lab.host(2).connection);
      assert.deepEqual(await session.call("blob.has", { digests: ["a"] }), ["a"]);
    });

    it("dials once, for so many seconds, when asked; a patient caller dials on", async () => {
      await suite.host.stop();
      const impatient = failure(suite.pool.open(suite.host.connection, { singleDialSeconds: 1 }));
      const patient = suite.pool.open(suite.host.connection);
      try {
        const error = await impatient;
        assert.ok(EbpfError.is(error, "transport") && error.details.phase === "dial");
      } finally {
        await suite.host.start();
      }
      await patient;
    });

    it("opens more sessions than it keeps alive, all at once and without a call on any", async () => {
      const small = suite.newPool(2);
      try {
        const ways = [21, 22, 23, 24].map((perDialTimeout) => ({ ...suite.host.connection, perDialTimeout }));
        const sessions = await Promise.all(ways.map((connection) => small.open(connection)));
        const last = sessions[3]!;
        const { pid } = last.hello;
        last.release();
        assert.deepEqual(await last.call("blob.has", { digests: ["a"] }), ["a"]);
        assert.notEqual(last.hello.pid, pid, "what was released dials again");
      } finally {
        small.closeAll();
      }
    });

    it("keeps at most so many sessions alive; one that made room dials again when it is used", async () => {
      const small = suite.newPool(2);
      const alive = async (): Promise<number> => {
        const { stdout } = await suite.host.exec([
          "sh",
          "-c",
          "ls -d /proc/[0-9]*/exe | xargs -n1 readlink | grep -c node || true",
        ]);
        return Number(stdout);
      };
      try {
        await eventually("agents of earlier tests end", async () => (await alive()) === 0);
        const sessions = [];
        for (const perDialTimeout of [11, 12, 13]) {
          sessions.push(await small.open({ ...suite.host.connection, perDialTimeout }));
        }
        await eventually("the first agent ends", async () => (await alive()) === 2);
        const [first, , third] = sessions.map(({ hello }) => hello.pid);
        assert.deepEqual(await sessions[0]!.call("blob.has", { digests: ["a"] }), ["a"]);
        assert.notEqual(sessions[0]!.hello.pid, first);
        assert.equal(sessions[2]!.hello.pid, third);
        const busy = sessions.map((session) => session.call("blob.has", { digests: ["b"] }));
        assert.deepEqual(await Promise.all(busy), [["b"], ["b"], ["b"]]);
      } finally {
        small.closeAll();
      }
    });

    it("leaves one caller out who cancels, and stops when all have", async () => {
      const port = await freePort();
      const connection = { ...suite.host.connection, host: "127.0.0.1", port, dialErrorLimit: -1 };
      const aborts = [new AbortController(), new AbortController()];
      const opens = aborts.map(({ signal }) => suite.pool.open(connection, { signal }));
      const results = Promise.allSettled(opens);
      aborts[0]!.abort();
      await assert.rejects(opens[0]!, { code: "cancelled" });
      aborts[1]!.abort();
      for (const { status } of await results) assert.equal(status, "rejected");
    });
  });

  describe("other transports", () => {
    it("works through the operator's own ssh", async () => {
      const session = await suite.pool.open({ ...suite.host.connection, transport: "openssh" });
      assert.deepEqual(await session.call("probe", {}), { libbpf: "3.3.4" });
      const data = randomBytes(4 << 20);
      const answer = await session.call("testRun", { spec: "", entrypoint: "", data, repeat: 1 });
      assert.ok(Buffer.compare(Buffer.from(answer.data), data) === 0);
    });

    it("gives ssh's own words when it cannot reach the host", async () => {
      const port = await freePort();
      const connection: Connection = {
        ...suite.host.connection,
        host: "127.0.0.1",
        port,
        dialErrorLimit: 1,
        transport: "openssh",
      };
      const error = await failure(suite.pool.open(connection));
      assert.ok(EbpfError.is(error, "transport") && error.details.phase === "dial");
      assert.match(error.render(), /Connection refused.*; make `ssh -o BatchMode=yes/s);
    });

    it("starts the agent on this machine, without SSH; a login that is over is none", async () => {
      // in a mount namespace of its own: the bundle lies in /var/lib of the machine otherwise
      const script = `
        const { SessionPool } = require("./provider/transport/pool");
        const pool = new SessionPool(${JSON.stringify(suite.bundleDirectory)});
        pool.open({ host: "localhost", transport: "local" })
          .then(async (session) => console.log(session.hello.agent, JSON.stringify([
            await session.call("probe", {}),
            await session.call("session.flow", {}),
          ])))
          .finally(() => pool.closeAll());`;
      const mounts = "mkdir -p /var/lib/pulumi-ebpf && mount -t tmpfs none /var/lib/pulumi-ebpf";
      const { stdout } = await promisify(execFile)(
        "unshare",
        [
          "--mount",
          "--propagation",
          "private",
          "sh",
          "-c",
          `${mounts} && exec "$0" "$@"`,
          process.execPath,
          "--require",
          "tsx/cjs",
          "-e",
          script,
        ],
        { cwd: root, env: { ...process.env, SSH_CONNECTION: "192.0.2.9 50122 192.0.2.1 22" } },
      );
      assert.equal(stdout.trim(), `${suite.manifest.x64.digest} [{"libbpf":"3.3.4"},null]`);
    });
  });

  it("needs nothing native on the operator's side", () => {
    const connection = join(suite.directory, "connection.json");
    writeFileSync(connection, JSON.stringify(suite.host.connection), { mode: 0o600 });
    const script = `
      const { SessionPool } = require("./provider/transport/pool");
      const pool = new SessionPool(${JSON.stringify(suite.bundleDirectory)});
      const connection = JSON.parse(require("node:fs").readFileSync(${JSON.stringify(connection)}, "utf8"));
      pool.open(connection).then((session) => console.log(session.hello.agent)).finally(() => pool.closeAll());`;
    const output = execFileSync(process.execPath, ["--no-addons", "--require", "tsx/cjs", "-e", script], {
      cwd: root,
      encoding: "utf8",
    });
    assert.equal(output.trim(), suite.manifest.x64.digest);
  });
});
