/** The agent as a process: its commands, its memory. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { EbpfError } from "../../../provider/errors";
import { PROTOCOL_VERSION } from "../../../provider/protocol/messages";
import { agentBundle, agentEnvironment, compileGuard, linkSpec, programSpec, TestHost } from "./support";
import { closesEverything } from "../bpf/support";

const guard = compileGuard();

describe("agent process", function () {
  this.timeout(120_000);
  closesEverything();
  let host: TestHost;

  beforeEach(() => {
    host = new TestHost();
  });
  afterEach(() => host.remove());

  const run = (command: string) =>
    spawnSync(process.execPath, [agentBundle(host.roots), command], {
      env: agentEnvironment(host.roots),
      encoding: "utf8",
    });

  it("names its version and protocol", () => {
    const { status, stdout } = run("--version");
    assert.equal(status, 0);
    assert.equal(stdout, `development protocol ${PROTOCOL_VERSION}\n`);
  });

  it("names the digest that its directory bears", () => {
    const digest = createHash("sha256")
      .update(fs.readFileSync(agentBundle(host.roots)))
      .digest("hex");
    const directory = path.join(host.roots.state, "agent", digest);
    fs.mkdirSync(directory, { recursive: true });
    fs.copyFileSync(agentBundle(host.roots), path.join(directory, "agent.js"));
    const { stdout } = spawnSync(process.execPath, [path.join(directory, "agent.js"), "--version"], {
      env: agentEnvironment(host.roots),
      encoding: "utf8",
    });
    assert.equal(stdout, `${digest} protocol ${PROTOCOL_VERSION}\n`);
  });

  it("tells its usage on stderr, and nothing on stdout", () => {
    const { status, stdout, stderr } = run("nonsense");
    assert.deepEqual([status, stdout], [2, ""]);
    assert.match(stderr, /^usage: agent serve/);
  });

  it("greets its own protocol only", async () => {
    const agent = host.spawn();
    try {
      assert.equal((await agent.call("hello", { protocol: PROTOCOL_VERSION })).pid, agent.child.pid);
      await assert.rejects(agent.call("hello", { protocol: PROTOCOL_VERSION + 1 }), (error) => {
        assert.ok(EbpfError.is(error, "transport"));
        assert.match(error.message, /speaks protocol \d+, the operator's side speaks \d+/);
        assert.match(error.context.remedy!, /deliver/);
        return true;
      });
    } finally {
      await agent.end();
    }
  });

  it("probes the host, and runs a packet through a program", async () => {
    const agent = host.spawn();
    try {
      const features = await agent.call("probe", {});
      assert.equal(features.bpffs, true);
      const charged = fs.readFileSync(`/proc/${agent.child.pid}/cgroup`, "utf8").split("\n");
      assert.ok(charged.some((line) => line.endsWith(`:${features.memoryCgroup}`)));
      assert.equal(features.kernel, fs.readFileSync("/proc/sys/kernel/osrelease", "utf8").trim());
      assert.ok(features.programTypes.includes("xdp") && features.mapTypes.includes("lpm_trie"));
      await agent.put(guard);
      const spec = programSpec(guard, { verdict: 1 });
      await agent.apply(spec);
      const params = { spec: spec.id, entrypoint: "xdp_guard", data: Buffer.alloc(64), repeat: 3 };
      assert.equal((await agent.call("testRun", params)).returnValue, 1);
      await agent.remove(spec.id);
    } finally {
      await agent.end();
    }
    host.assertEmpty();
  });

  it("restores by command", async () => {
    await host.agent.put(guard);
    const spec = programSpec(guard);
    await host.agent.apply(spec);
    const { status, stdout } = run("restore");
    assert.equal(status, 0);
    assert.deepEqual(JSON.parse(stdout), [{ id: spec.id, restored: true }]);
    await host.agent.remove(spec.id);
  });

  it("holds 1,000 Records in less than 150 MB", async () => {
    await host.agent.put(guard);
    const spec = programSpec(guard);
    await host.agent.apply(spec);
    const records = path.join(host.roots.state, "records");
    const program = fs.readFileSync(path.join(records, host.records()[0]!), "utf8");
    for (let i = 0; i < 1000; i++) {
      const id = `demo/test/Attachment/link${i}`;
      const link = linkSpec({ type: "rawTracepoint", name: "sys_enter" }, "xdp_guard", id);
      const record = { ...JSON.parse(program), id, spec: link, programs: {}, maps: {} };
      fs.writeFileSync(path.join(records, `${id.replaceAll("/", "%2F")}.json`), JSON.stringify(record));
    }
    const agent = host.spawn();
    try {
      await assert.rejects(agent.call("remove", { id: spec.id, incarnation: "one" }), { code: "conflict" });
      assert.equal((await agent.call("list", {})).length, 1001);
      const status = fs.readFileSync(`/proc/${agent.child.pid}/status`, "utf8");
      const megabytes = Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) / 1024;
      assert.ok(megabytes < 150, `${megabytes} MB`);
    } finally {
      await agent.end();
    }
  });
});
