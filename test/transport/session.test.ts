import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect as dial, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { EbpfError } from "../../provider/errors";
import type { Connection } from "../../provider/transport/connection";
import { dialSsh2 } from "../../provider/transport/ssh2";
import { SessionPool } from "../../provider/transport/pool";
import { Lab } from "../support/lab";
import type { NetnsHost } from "../support/netns-host";

interface Manifest {
  x64: { digest: string; files: { path: string; sha256: string; size: number }[] };
}

const AGENTS = "/var/lib/pulumi-ebpf/agent";
const root = join(__dirname, "../..");

/** The error of `work`, after checking that it is a clear one that names the host. */
async function failure(work: Promise<unknown>): Promise<EbpfError> {
  const error: unknown = await work.then(
    () => assert.fail("it succeeded"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof EbpfError, String(error));
  assert.ok(error.context.host !== undefined, "the error names the host");
  assert.doesNotMatch(error.render(), /\n\s+at |\[object|undefined/);
  return error;
}

describe("session", function () {
  this.timeout(60_000);
  let lab: Lab;
  let directory: string;
  let manifest: Manifest;
  let pool: SessionPool;
  let host: NetnsHost;
  /** A host without Node. */
  let bare: NetnsHost;
  const environment = { ...process.env };

  before(async function () {
    this.timeout(120_000);
    directory = mkdtempSync(join(tmpdir(), "pulumi-ebpf-session-"));
    const { bundleAgent } = (await import(pathToFileURL(join(root, "scripts/bundle.mjs")).href)) as {
      bundleAgent(options: { entry: string; directory: string }): Promise<Manifest>;
    };
    manifest = await bundleAgent({
      entry: join(root, "test/fixtures/transport-agent.ts"),
      directory: join(directory, "bundle"),
    });
    lab = await Lab.create({ hosts: [{}, { node: false }, { behind: 0 }, { disk: "1m" }] });
    [host, bare] = [lab.host(0), lab.host(1)];
  });

  beforeEach(() => {
    pool = new SessionPool(join(directory, "bundle"));
  });

  afterEach(() => pool.closeAll());

  after(async () => {
    process.env = environment;
    await lab?.destroy();
    if (directory) rmSync(directory, { recursive: true });
  });

  const undeliver = (from: NetnsHost): Promise<unknown> => from.exec(["rm", "-rf", AGENTS]);

  /** Files of the delivered bundles, `<digest>/<path>`, seen by the host's own sha256sum. */
  async function delivered(from: NetnsHost): Promise<Record<string, string>> {
    const script = `cd ${AGENTS} && find . -type f -exec sha256sum {} +`;
    const { stdout } = await from.exec(["sh", "-c", script]);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => line.split("  ./") as [string, string]);
    return Object.fromEntries(lines.map(([sha256, path]) => [path, sha256]));
  }

  function bundle(): Record<string, string> {
    const { digest, files } = manifest.x64;
    return Object.fromEntries(files.map(({ path, sha256 }) => [`${digest}/${path}`, sha256]));
  }

  describe("delivery", () => {
    it("puts exactly the bundle there, for root alone, and starts the agent from it", async () => {
      await undeliver(host);
      const { hello } = await pool.open(host.connection);
      assert.equal(hello.agent, manifest.x64.digest);
      assert.deepEqual(await delivered(host), bundle());
      const { stdout } = await host.exec(["find", AGENTS, "-perm", "/077"]);
      assert.equal(stdout, "");
    });

    it("names the bundle by the sha256 of what sha256sum prints of it", () => {
      const lines = manifest.x64.files.map(({ sha256, path }) => `${sha256}  ${path}\n`).join("");
      assert.equal(createHash("sha256").update(lines).digest("hex"), manifest.x64.digest);
    });

    it("loads koffi's native library from the bundle", async () => {
      const session = await pool.open(host.connection);
      assert.deepEqual(await session.call("probe", {}), { libbpf: "3.3.4" });
    });

    it("sends nothing to a host that has it", async () => {
      await pool.open(host.connection);
      pool.closeAll();
      const stamp = async (): Promise<string> =>
        (await host.exec(["sh", "-c", `find ${AGENTS} -printf '%p %i %T@\\n' | sort`])).stdout;
      const before = await stamp();
      await pool.open(host.connection);
      assert.equal(await stamp(), before);
    });

    it("brings Node to a host that has none", async () => {
      await undeliver(bare);
      assert.notEqual((await bare.exec(["sh", "-c", "command -v node"], { check: false })).code, 0);
      const told: string[] = [];
      const session = await pool.open(bare.connection, { onProgress: (message) => told.push(message) });
      assert.match(session.hello.bootId, /^node v22\.\d+\.\d+ as uid 0$/);
      assert.deepEqual(await session.call("probe", {}), { libbpf: "3.3.4" });
      for (const message of told) assert.match(message, /^(preparing|delivering) the agent/);
    });

    it("goes on by sudo from a login that may", async () => {
      await undeliver(host);
      const { hello } = await pool.open(host.connectionAs("deploy"));
      assert.match(hello.bootId, /as uid 0$/);
      assert.deepEqual(await delivered(host), bundle());
    });

    it("is refused from a login that may not, naming it and the remedy", async () => {
      const error = await failure(pool.open(host.connectionAs("guest")));
      assert.equal(error.code, "permission");
      assert.match(
        error.render(),
        /^guest@\S+: start the agent as root from login guest: .*; log in as root, or let guest run `sudo -n`/,
      );
    });

    it("works with a login shell that prints of its own accord", async () => {
      await host.write(
        "/run/home/deploy/.bashrc",
        "echo Welcome to the machine; echo 'no newline at the end\\c'\n",
      );
      await host.exec(["usermod", "-s", "/bin/bash", "deploy"]);
      try {
        const line = await dialSsh2(host.connectionAs("deploy"), { dialErrorLimit: 1, dialTimeout: 10_000 });
        const { stdio } = await line.exec("true");
        assert.match(await text(stdio), /^Welcome/);
        line.close();
        assert.match((await pool.open(host.connectionAs("deploy"))).hello.bootId, /uid 0$/);
      } finally {
        await host.exec(["usermod", "-s", "/bin/sh", "deploy"]);
        await host.exec(["rm", "/run/home/deploy/.bashrc"]);
      }
    });

    it("replaces what is damaged: changed, cut, emptied, missing", async () => {
      const dir = `${AGENTS}/${manifest.x64.digest}`;
      const koffi = `${dir}/node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node`;
      for (const damage of [
        `printf x | dd of=${koffi} bs=1 seek=5000 conv=notrunc`,
        `truncate -s 1000 ${dir}/agent.js`,
        `: > ${koffi}`,
        `rm ${dir}/agent.js`,
      ]) {
        await pool.open(host.connection);
        pool.closeAll();
        await host.exec(["sh", "-c", damage]);
        assert.notDeepEqual(await delivered(host), bundle(), damage);
        const session = await pool.open(host.connection);
        assert.deepEqual(await session.call("probe", {}), { libbpf: "3.3.4" });
        assert.deepEqual(await delivered(host), bundle(), damage);
        pool.closeAll();
      }
    });

    it("replaces a Node that is cut", async () => {
      await pool.open(bare.connection);
      pool.closeAll();
      await bare.exec(["sh", "-c", `truncate -s 5000000 ${AGENTS}/*/node`]);
      assert.match((await pool.open(bare.connection)).hello.bootId, /^node v22/);
    });

    it("ends in one whole bundle when 20 deliver at once", async () => {
      await undeliver(host);
      const pools = Array.from({ length: 20 }, () => new SessionPool(join(directory, "bundle")));
      try {
        const sessions = await Promise.all(pools.map((each) => each.open(host.connection)));
        for (const session of sessions) {
          assert.equal(session.hello.agent, manifest.x64.digest);
          assert.deepEqual(await session.call("probe", {}), { libbpf: "3.3.4" });
        }
        assert.equal(new Set(sessions.map(({ hello }) => hello.pid)).size, 20);
        assert.deepEqual(await delivered(host), bundle());
        assert.deepEqual((await host.exec(["ls", "-A", AGENTS])).stdout.trim(), manifest.x64.digest);
      } finally {
        for (const each of pools) each.closeAll();
      }
    });

    it("says that the disk is full, and leaves nothing half-done", async () => {
      const error = await failure(pool.open(lab.host(3).connection));
      assert.ok(EbpfError.is(error, "transport"));
      assert.equal(error.details.phase, "deliver");
      assert.match(error.render(), /No space left on device.*has room/s);
      for (let i = 0; (await lab.host(3).exec(["ls", "-A", AGENTS])).stdout !== ""; i++) {
        assert.ok(i < 20, "a partial delivery is left over");
        await new Promise((done) => setTimeout(done, 100));
      }
    });

    it("says so when our own bundle is missing", async () => {
      const error = await failure(new SessionPool(join(directory, "none")).open(host.connection));
      assert.match(error.render(), /read the agent's bundle .*npm run build/);
    });

    it("fetches and checks packages again when the cache is damaged", async () => {
      process.env["XDG_CACHE_HOME"] = join(directory, "cache");
      const cache = join(directory, "cache/pulumi-ebpf/packages");
      await undeliver(host);
      await pool.open(host.connection);
      pool.closeAll();
      const files = readdirSync(cache);
      assert.equal(files.length, manifest.x64.files.length);
      for (const file of files) writeFileSync(join(cache, file), "damaged");
      await undeliver(host);
      await pool.open(host.connection);
      assert.deepEqual(await delivered(host), bundle());
    });
  });

  describe("call", () => {
    it("needs under 3 ms for a round trip through SSH, and carries 16 MB unchanged", async () => {
      const session = await pool.open(host.connection);
      const times: number[] = [];
      for (let i = 0; i < 200; i++) {
        const start = performance.now();
        await session.call("blob.has", { digests: [] });
        times.push(performance.now() - start);
      }
      const median = times.sort((a, b) => a - b)[100]!;
      assert.ok(median < 3, `median ${median} ms`); // 0.3 ms on a quiet machine
      const data = randomBytes(16 << 20);
      const answer = await session.call("testRun", { spec: "", entrypoint: "", data, repeat: 1 });
      assert.ok(Buffer.compare(Buffer.from(answer.data), data) === 0);
    });

    it("is cancelled on the host, and the session goes on", async () => {
      const session = await pool.open(host.connection);
      const abort = new AbortController();
      const call = session.call(
        "observe",
        { id: "x" },
        { signal: abort.signal, onProgress: () => abort.abort() },
      );
      await assert.rejects(call, { code: "cancelled", message: "observe x: cancelled" });
      assert.deepEqual(await session.call("blob.has", { digests: ["a"] }), ["a"]);
    });

    it("fails with the agent's last words when it dies; the next one meets a new agent", async () => {
      const session = await pool.open(host.connection);
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
      const session = await pool.open(host.connection);
      const call = session.call("observe", { id: "x" }, { onProgress: () => void host.dropSessions() });
      const error = await failure(call);
      assert.ok(EbpfError.is(error, "transport"));
      assert.equal(error.details.phase, "closed");
      assert.deepEqual(await session.call("blob.has", { digests: [] }), []);
    });

    it("fails when the host falls silent", async function () {
      const session = await pool.open(host.connection);
      const call = failure(session.call("observe", { id: "x" }, { onProgress: () => void host.partition() }));
      const error = await call.finally(() => host.heal());
      assert.ok(EbpfError.is(error, "transport"));
      assert.match(error.message, /[Kk]eep-?alive/);
    });

    it("ends the agent when the operator is gone", async () => {
      const session = await pool.open(host.connection);
      const { pid } = session.hello;
      assert.equal((await host.exec(["test", "-d", `/proc/${pid}`], { check: false })).code, 0);
      pool.closeAll();
      for (let i = 0; (await host.exec(["test", "-d", `/proc/${pid}`], { check: false })).code === 0; i++) {
        assert.ok(i < 50, "the agent still runs");
        await new Promise((done) => setTimeout(done, 50));
      }
    });
  });

  describe("pool", () => {
    it("opens one connection for any number of callers", async () => {
      const logins = async (): Promise<number> => {
        const { stdout } = await host.exec(["grep", "-c", "Accepted publickey", "/run/host/sshd.log"]);
        return Number(stdout);
      };
      const before = await logins();
      const sessions = await Promise.all(Array.from({ length: 50 }, () => pool.open(host.connection)));
      assert.equal(new Set(sessions).size, 1);
      assert.equal(await logins(), before + 1);
    });

    it("takes connections with another host key or login for others", async () => {
      const first = await pool.open(host.connection);
      const error = await failure(
        pool.open({ ...host.connection, hostKey: lab.host(1).connection.hostKey! }),
      );
      assert.ok(EbpfError.is(error, "transport") && error.details.phase === "host-key");
      assert.notEqual(await pool.open(host.connectionAs("deploy")), first);
    });

    it("reaches a host behind a bastion", async () => {
      const session = await pool.open(lab.host(2).connection);
      assert.deepEqual(await session.call("blob.has", { digests: ["a"] }), ["a"]);
    });

    it("dials once, for so many seconds, when asked; a patient caller dials on", async () => {
      await host.stop();
      try {
        const impatient = failure(pool.open(host.connection, { singleDialSeconds: 1 }));
        const patient = pool.open(host.connection);
        const error = await impatient;
        assert.ok(EbpfError.is(error, "transport") && error.details.phase === "dial");
        await host.start();
        await patient;
      } finally {
        await host.start().catch(() => {});
      }
    });

    it("keeps at most so many sessions alive; one that made room dials again when it is used", async () => {
      const small = new SessionPool(join(directory, "bundle"), 2);
      const alive = async (): Promise<number> => {
        const { stdout } = await host.exec([
          "sh",
          "-c",
          "ls -d /proc/[0-9]*/exe | xargs -n1 readlink | grep -c node",
        ]);
        return Number(stdout);
      };
      try {
        for (let i = 0; (await alive().catch(() => 0)) > 0; i++) {
          assert.ok(i < 50, "agents of earlier tests still run");
          await new Promise((done) => setTimeout(done, 50));
        }
        const sessions = [];
        for (const perDialTimeout of [11, 12, 13]) {
          sessions.push(await small.open({ ...host.connection, perDialTimeout }));
        }
        await new Promise((done) => setTimeout(done, 500));
        assert.equal(await alive(), 2);
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
      const { port } = await unused();
      const connection = { ...host.connection, host: "127.0.0.1", port, dialErrorLimit: -1 };
      const aborts = [new AbortController(), new AbortController()];
      const opens = aborts.map(({ signal }) => pool.open(connection, { signal }));
      const results = Promise.allSettled(opens);
      aborts[0]!.abort();
      await assert.rejects(opens[0]!, { code: "cancelled" });
      aborts[1]!.abort();
      for (const { status } of await results) assert.equal(status, "rejected");
    });
  });

  describe("other transports", () => {
    it("works through the operator's own ssh", async () => {
      const session = await pool.open({ ...host.connection, transport: "openssh" });
      assert.deepEqual(await session.call("probe", {}), { libbpf: "3.3.4" });
      const data = randomBytes(4 << 20);
      const answer = await session.call("testRun", { spec: "", entrypoint: "", data, repeat: 1 });
      assert.ok(Buffer.compare(Buffer.from(answer.data), data) === 0);
    });

    it("gives ssh's own words when it cannot reach the host", async () => {
      const { port } = await unused();
      const connection: Connection = {
        ...host.connection,
        host: "127.0.0.1",
        port,
        dialErrorLimit: 1,
        transport: "openssh",
      };
      const error = await failure(pool.open(connection));
      assert.ok(EbpfError.is(error, "transport") && error.details.phase === "dial");
      assert.match(error.render(), /Connection refused.*; make `ssh -o BatchMode=yes/s);
    });

    it("starts the agent on this machine, without SSH", async () => {
      // in a mount namespace of its own: the bundle lies in /var/lib of the machine otherwise
      const script = `
        const { SessionPool } = require("./provider/transport/pool");
        const pool = new SessionPool(${JSON.stringify(join(directory, "bundle"))});
        pool.open({ host: "localhost", transport: "local" })
          .then(async (session) => console.log(session.hello.agent, JSON.stringify(await session.call("probe", {}))))
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
        { cwd: root },
      );
      assert.equal(stdout.trim(), `${manifest.x64.digest} {"libbpf":"3.3.4"}`);
    });
  });

  it("needs nothing native on the operator's side", () => {
    const connection = join(directory, "connection.json");
    writeFileSync(connection, JSON.stringify(host.connection), { mode: 0o600 });
    const script = `
      const { SessionPool } = require("./provider/transport/pool");
      const pool = new SessionPool(${JSON.stringify(join(directory, "bundle"))});
      const connection = JSON.parse(require("node:fs").readFileSync(${JSON.stringify(connection)}, "utf8"));
      pool.open(connection).then((session) => console.log(session.hello.agent)).finally(() => pool.closeAll());`;
    const output = execFileSync(process.execPath, ["--no-addons", "--require", "tsx/cjs", "-e", script], {
      cwd: root,
      encoding: "utf8",
    });
    assert.equal(output.trim(), manifest.x64.digest);
  });

  describe("connection cut after so many bytes", () => {
    let proxy: CuttingProxy;
    before(async () => {
      proxy = await CuttingProxy.start(host.connection.host);
    });
    after(() => proxy?.end());

    it("is a clear error at every stage of dial, delivery and call, and leaves nothing half-done", async function () {
      this.timeout(180_000);
      const connection: Connection = {
        ...host.connection,
        host: "127.0.0.1",
        port: proxy.port,
        dialErrorLimit: 1,
      };
      await undeliver(host);
      proxy.cutAfter = Infinity;
      await run(connection);
      const whole = proxy.passed;
      const phases = new Set<string>();
      for (let cut = 1; cut < whole; cut = Math.ceil(cut * 1.25)) {
        await undeliver(host);
        proxy.cutAfter = cut;
        const error = await failure(run(connection));
        assert.ok(EbpfError.is(error, "transport"), `cut after ${cut} bytes: ${error.render()}`);
        phases.add(error.details.phase);
      }
      for (const phase of ["dial", "deliver"])
        assert.ok(phases.has(phase), `${[...phases].join()} has ${phase}`);
      proxy.cutAfter = Infinity;
      await run(connection);
      for (let i = 0; ; i++) {
        const left = (await host.exec(["ls", "-A", AGENTS])).stdout.trim();
        if (left === manifest.x64.digest) break;
        assert.ok(i < 50, `left over: ${left}`);
        await new Promise((done) => setTimeout(done, 100));
      }
    });

    async function run(connection: Connection): Promise<void> {
      const each = new SessionPool(join(directory, "bundle"));
      proxy.passed = 0;
      try {
        const session = await each.open(connection);
        await session.call("blob.put", { blobs: { a: randomBytes(100_000) } });
      } finally {
        each.closeAll();
      }
    }
  });
});

/** Passes TCP on to port 22 of a host, until so many bytes have gone towards the host. */
class CuttingProxy {
  cutAfter = Infinity;
  passed = 0;
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async start(host: string): Promise<CuttingProxy> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const proxy = new CuttingProxy(server, (server.address() as { port: number }).port);
    server.on("connection", (near: Socket) => proxy.pass(near, dial(22, host)));
    return proxy;
  }

  end(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private pass(near: Socket, far: Socket): void {
    for (const socket of [near, far]) {
      this.sockets.add(socket);
      socket
        .on("error", () => {})
        .on("close", () => {
          near.destroy();
          far.destroy();
        });
    }
    far.pipe(near);
    near.on("data", (chunk: Buffer) => {
      const rest = this.cutAfter - this.passed;
      this.passed += chunk.length;
      far.write(chunk.subarray(0, Math.max(0, Math.min(chunk.length, rest))), () => {
        if (this.passed >= this.cutAfter) near.destroy();
      });
    });
  }
}

async function unused(): Promise<{ port: number }> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return address;
}
