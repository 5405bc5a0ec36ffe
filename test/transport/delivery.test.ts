import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { EbpfError } from "../../provider/errors";
import { SessionPool } from "../../provider/transport/pool";
import { dialSsh2 } from "../../provider/transport/ssh2";
import type { NetnsHost } from "../support/netns-host";
import { AGENTS, failure, SessionSuite } from "./session-suite";
import { eventually } from "./ssh-suite";

describe("delivery", function () {
  this.timeout(60_000);
  const suite = new SessionSuite([{}, { node: false }, { disk: "1m" }]);
  /** A host without Node. */
  let bare: NetnsHost;

  before(() => {
    bare = suite.lab.host(1);
  });

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
    const { digest, files } = suite.manifest.x64;
    return Object.fromEntries(files.map(({ path, sha256 }) => [`${digest}/${path}`, sha256]));
  }

  it("puts exactly the bundle there, for root alone, and starts the agent from it", async () => {
    await suite.undeliver();
    const { hello } = await suite.pool.open(suite.host.connection);
    assert.equal(hello.agent, suite.manifest.x64.digest);
    assert.deepEqual(await delivered(suite.host), bundle());
    const { stdout } = await suite.host.exec(["find", AGENTS, "-perm", "/077"]);
    assert.equal(stdout, "");
  });

  it("names the bundle by the sha256 of what sha256sum prints of it", () => {
    const lines = suite.manifest.x64.files.map(({ sha256, path }) => `${sha256}  ${path}\n`).join("");
    assert.equal(createHash("sha256").update(lines).digest("hex"), suite.manifest.x64.digest);
  });

  it("loads koffi's native library from the bundle", async () => {
    const session = await suite.pool.open(suite.host.connection);
    assert.deepEqual(await session.call("probe", {}), { libbpf: "3.3.4" });
  });

  it("sends nothing to a host that has it", async () => {
    await suite.pool.open(suite.host.connection);
    suite.pool.closeAll();
    const stamp = async (): Promise<string> =>
      (await suite.host.exec(["sh", "-c", `find ${AGENTS} -mindepth 2 -printf '%p %i %T@\\n' | sort`]))
        .stdout;
    const before = await stamp();
    await suite.pool.open(suite.host.connection);
    assert.equal(await stamp(), before);
    // what the next start compares instead of hashing it all again
    const noted = `/run/pulumi-ebpf/verified-${suite.manifest.x64.digest}`;
    const lines = (await suite.host.exec(["cat", noted])).stdout.trim().split("\n");
    assert.deepEqual(
      lines.map((line) => line.split(" ")[0]),
      [process.execPath, ...suite.manifest.x64.files.map(({ path }) => path)],
    );
  });

  it("keeps the agent's compiled code for the next start, and makes it anew when it is damaged", async () => {
    const file = `/run/pulumi-ebpf/code-${suite.manifest.x64.digest}`;
    const code = async (): Promise<string> => {
      const script = `stat -c '%a %i' ${file} && head -c 32 ${file} | od -An -v -tx1 | tr -d ' \\n' && tail -c +33 ${file} | sha256sum`;
      return (await suite.host.exec(["sh", "-c", script], { check: false })).stdout;
    };
    const whole = async (): Promise<boolean> => {
      const [, sha256, actual] = /^600 \d+\n([0-9a-f]{64})([0-9a-f]{64}) /.exec(await code()) ?? [];
      return sha256 !== undefined && sha256 === actual;
    };
    const start = async (): Promise<void> => {
      const session = await suite.pool.open(suite.host.connection);
      assert.deepEqual(await session.call("probe", {}), { libbpf: "3.3.4" });
      suite.pool.closeAll();
    };
    await start();
    await eventually("compiled code", whole);
    const made = await code();
    for (const damage of [`printf x | dd of=${file} bs=1 seek=5000 conv=notrunc`, `truncate -s 20 ${file}`]) {
      await suite.host.exec(["sh", "-c", damage]);
      assert.equal(await whole(), false, damage);
      await start();
      await eventually(`compiled code after ${damage}`, whole);
    }
    assert.notEqual(await code(), made);
  });

  it("leaves nothing when its host is taken down before it ends", async () => {
    const takenDown = ["rm", "-rf", AGENTS, "/run/pulumi-ebpf"];
    await suite.host.exec(takenDown);
    const session = await suite.pool.open(suite.host.connection);
    await session.call("probe", {});
    await suite.host.exec(takenDown);
    suite.pool.closeAll();
    const running = ["pgrep", "-f", `${AGENTS}/`];
    await eventually("no agent", async () => (await suite.host.exec(running, { check: false })).code === 1);
    const { stdout } = await suite.host.exec(["find", "/run", "-name", "pulumi-ebpf"]);
    assert.equal(stdout, "");
  });

  it("brings Node to a host that has none", async () => {
    await suite.undeliver(bare);
    assert.notEqual((await bare.exec(["sh", "-c", "command -v node"], { check: false })).code, 0);
    const told: string[] = [];
    const alsoTold: string[] = [];
    const open = (lines: string[]) =>
      suite.pool.open(bare.connection, { onProgress: (message) => lines.push(message) });
    const [session] = await Promise.all([open(told), open(alsoTold)]);
    assert.match(session.hello.bootId, /^node v22\.\d+\.\d+ as uid 0$/);
    assert.deepEqual(await session.call("probe", {}), { libbpf: "3.3.4" });
    for (const message of told) assert.match(message, /^(preparing|sending) the agent|verifies the agent$/);
    assert.deepEqual(alsoTold, [], "one of those who wait for a host is told");
  });

  it("removes what has not been started for a month, except what a unit starts at boot", async () => {
    const [unused, ofUnit, recent] = ["a", "b", "c"].map((letter) => letter.repeat(64));
    const made = [unused, ofUnit, recent, "other"].map((name) => `${AGENTS}/${name}`).join(" ");
    await suite.undeliver();
    await suite.host.exec(["sh", "-ec", `mkdir -p ${made}; touch -d '40 days ago' ${made}`]);
    await suite.host.exec([
      "sh",
      "-ec",
      `touch -d '20 days ago' ${AGENTS}/${recent}; mkdir -p /run/pulumi-ebpf; touch /run/pulumi-ebpf/code-${unused}`,
    ]);
    await suite.host.write(
      "/etc/systemd/system/bpf.service",
      `ExecStart=${AGENTS}/${ofUnit}/agent.js restore\n`,
    );
    try {
      await suite.pool.open(suite.host.connection);
      const { stdout } = await suite.host.exec(
        ["sh", "-c", `ls ${AGENTS}; ls /run/pulumi-ebpf | grep code-aa`],
        { check: false },
      );
      const expected = [suite.manifest.x64.digest, ofUnit, recent, "other"];
      assert.deepEqual(stdout.trim().split("\n").sort(), expected.sort());
    } finally {
      await suite.host.exec(["rm", "-r", "/etc/systemd/system/bpf.service"]);
    }
    await suite.undeliver();
  });

  it("asks a host's Node for its version again when it is another one", async () => {
    await suite.undeliver();
    const { host } = suite;
    const found = (await host.exec(["sh", "-c", "command -v node"])).stdout.trim();
    const variant = async (): Promise<string> => {
      const { hello } = await suite.pool.open(host.connection);
      suite.pool.closeAll();
      return hello.bootId;
    };
    for (let start = 0; start < 3; start++) assert.equal(await variant(), `node ${process.version} as uid 0`);
    await host.exec(["mv", found, `${found}.kept`]);
    await host.write(found, "#!/bin/sh\necho v16.20.2\n", "755");
    try {
      assert.match(await variant(), /^node v22/);
    } finally {
      await host.exec(["mv", `${found}.kept`, found]);
    }
    await suite.undeliver();
    assert.equal(await variant(), `node ${process.version} as uid 0`);
  });

  it("brings Node to a host whose own is too old, each time", async () => {
    await bare.write("/usr/local/bin/node", "#!/bin/sh\necho v16.20.2\n", "755");
    try {
      for (let start = 0; start < 2; start++) {
        const { hello } = await suite.pool.open(bare.connection);
        assert.match(hello.bootId, /^node v22/);
        suite.pool.closeAll();
      }
    } finally {
      await bare.exec(["rm", "/usr/local/bin/node"]);
    }
  });

  it("notes each start at the bundle's directory", async () => {
    await suite.pool.open(suite.host.connection);
    suite.pool.closeAll();
    const directory = `${AGENTS}/${suite.manifest.x64.digest}`;
    await suite.host.exec(["touch", "-d", "40 days ago", directory]);
    await suite.pool.open(suite.host.connection);
    const { stdout } = await suite.host.exec(["find", directory, "-maxdepth", "0", "-mmin", "-5"]);
    assert.equal(stdout.trim(), directory);
  });

  it("goes on by sudo from a login that may", async () => {
    await suite.undeliver();
    const { hello } = await suite.pool.open(suite.host.connectionAs("deploy"));
    assert.match(hello.bootId, /as uid 0$/);
    assert.deepEqual(await delivered(suite.host), bundle());
  });

  it("goes on by sudo where sudo gives each command a terminal of its own", async () => {
    await suite.host.write("/etc/sudoers.d/terminal", "Defaults use_pty\n", "440");
    try {
      const session = await suite.pool.open(suite.host.connectionAs("deploy"));
      const data = randomBytes(1 << 20);
      const answer = await session.call("testRun", { spec: "", entrypoint: "", data, repeat: 1 });
      assert.ok(Buffer.compare(Buffer.from(answer.data), data) === 0);
    } finally {
      await suite.host.exec(["rm", "/etc/sudoers.d/terminal"]);
    }
  });

  it("is refused from a login that may not, naming it and the remedy", async () => {
    const error = await failure(suite.pool.open(suite.host.connectionAs("guest")));
    assert.equal(error.code, "permission");
    assert.match(
      error.render(),
      /^guest@\S+: start the agent as root from login guest: .*; log in as root, or let guest run `sudo -n`/,
    );
  });

  it("works with a login shell that prints of its own accord", async () => {
    await suite.host.write(
      "/run/home/deploy/.bashrc",
      "echo Welcome to the machine; echo 'no newline at the end\\c'\n",
    );
    await suite.host.exec(["usermod", "-s", "/bin/bash", "deploy"]);
    try {
      const line = await dialSsh2(suite.host.connectionAs("deploy"), {
        dialErrorLimit: 1,
        dialTimeout: 10_000,
      });
      const { stdio } = await line.exec("true");
      assert.match(await text(stdio), /^Welcome/);
      line.close();
      assert.match((await suite.pool.open(suite.host.connectionAs("deploy"))).hello.bootId, /uid 0$/);
    } finally {
      await suite.host.exec(["usermod", "-s", "/bin/sh", "deploy"]);
      await suite.host.exec(["rm", "/run/home/deploy/.bashrc"]);
    }
  });

  it("replaces what is damaged: changed, cut, emptied, missing", async () => {
    const dir = `${AGENTS}/${suite.manifest.x64.digest}`;
    const koffi = `${dir}/node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node`;
    for (const damage of [
      `printf x | dd of=${koffi} bs=1 seek=5000 conv=notrunc`,
      `truncate -s 1000 ${dir}/agent.js`,
      `: > ${koffi}`,
      `rm ${dir}/agent.js`,
    ]) {
      await suite.pool.open(suite.host.connection);
      suite.pool.closeAll();
      await suite.host.exec(["sh", "-c", damage]);
      assert.notDeepEqual(await delivered(suite.host), bundle(), damage);
      const session = await suite.pool.open(suite.host.connection);
      assert.deepEqual(await session.call("probe", {}), { libbpf: "3.3.4" });
      assert.deepEqual(await delivered(suite.host), bundle(), damage);
      suite.pool.closeAll();
    }
  });

  it("replaces a Node that is cut", async () => {
    await suite.pool.open(bare.connection);
    suite.pool.closeAll();
    await bare.exec(["sh", "-c", `truncate -s 5000000 ${AGENTS}/*/node`]);
    assert.match((await suite.pool.open(bare.connection)).hello.bootId, /^node v22/);
  });

  it("ends in one whole bundle when 20 deliver at once", async () => {
    await suite.undeliver();
    const pools = Array.from({ length: 20 }, () => suite.newPool());
    try {
      const sessions = await Promise.all(pools.map((each) => each.open(suite.host.connection)));
      for (const session of sessions) {
        assert.equal(session.hello.agent, suite.manifest.x64.digest);
        assert.deepEqual(await session.call("probe", {}), { libbpf: "3.3.4" });
      }
      assert.equal(new Set(sessions.map(({ hello }) => hello.pid)).size, 20);
      assert.deepEqual(await delivered(suite.host), bundle());
      assert.deepEqual(
        (await suite.host.exec(["ls", "-A", AGENTS])).stdout.trim(),
        suite.manifest.x64.digest,
      );
    } finally {
      for (const each of pools) each.closeAll();
    }
  });

  it("says that the disk is full, and leaves nothing half-done", async () => {
    const error = await failure(suite.pool.open(suite.lab.host(2).connection));
    assert.ok(EbpfError.is(error, "transport"));
    assert.equal(error.details.phase, "deliver");
    assert.match(error.render(), /No space left on device.*has room/s);
    await eventually("nothing is left over", async () => {
      return (await suite.lab.host(2).exec(["ls", "-A", AGENTS])).stdout === "";
    });
  });

  it("says so when our own bundle is missing", async () => {
    const error = await failure(new SessionPool(join(suite.directory, "none")).open(suite.host.connection));
    assert.match(error.render(), /read the agent's bundle .*npm run build/);
  });

  it("fetches and checks packages again when the cache is damaged", async () => {
    process.env["XDG_CACHE_HOME"] = join(suite.directory, "cache");
    const cache = join(suite.directory, "cache/pulumi-ebpf/packages");
    await suite.undeliver();
    await suite.pool.open(suite.host.connection);
    suite.pool.closeAll();
    const files = readdirSync(cache);
    assert.equal(files.length, suite.manifest.x64.files.length);
    for (const file of files) writeFileSync(join(cache, file), "damaged");
    await suite.undeliver();
    await suite.pool.open(suite.host.connection);
    assert.deepEqual(await delivered(suite.host), bundle());
  });
});
