/** A host that takes no more: a full disk, a bpffs or disk that refuses. Nothing is left; afterwards all works. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { unmount } from "../../../provider/bpf";
import { EbpfError } from "../../../provider/errors";
import { bpftool, closesEverything } from "../bpf/support";
import { type AgentProcess, compileGuard, programId, programSpec, TestHost } from "./support";

const guard = compileGuard();

describe("a host that takes no more", () => {
  closesEverything();
  let host: TestHost;
  // the mounts are those of this thread and its children; Node's other threads do not see them
  let agent: AgentProcess;

  beforeEach(async () => {
    host = new TestHost();
    fs.mkdirSync(host.roots.state, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", host.roots.state]);
    agent = host.spawn();
    await agent.put(guard);
  });
  afterEach(async () => {
    await agent.remove(programId);
    await agent.end();
    host.assertEmpty();
    unmount(host.roots.state);
    await host.remove();
  });

  const programs = () =>
    (bpftool("prog", "show") as { name?: string }[]).filter((row) => row.name === "xdp_guard");
  const remount = (directory: string, mode: "ro" | "rw") =>
    execFileSync("mount", ["-o", `remount,${mode}`, directory]);

  async function fails(code: EbpfError["code"], pattern: RegExp): Promise<void> {
    const before = programs().length;
    await assert.rejects(agent.apply(programSpec(guard)), (error) => {
      assert.ok(error instanceof EbpfError);
      assert.equal(error.code, code, error.message);
      assert.match(error.render(), pattern);
      return true;
    });
    assert.equal(programs().length, before);
    assert.deepEqual(host.pins(), []);
    assert.deepEqual(host.records(), []);
  }

  it("names a full disk", async () => {
    const filler = path.join(host.roots.state, "filler");
    try {
      fs.writeFileSync(filler, Buffer.alloc(2 << 20));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
    }
    await fails("limit", /no space/);
    fs.unlinkSync(filler);
    await agent.apply(programSpec(guard));
  });

  it("names a bpffs that is read-only", async () => {
    remount(host.roots.bpffs, "ro");
    try {
      await fails(
        "permission",
        /^create directory .*: the file system is read-only[^]*not all could be taken back yet/,
      );
    } finally {
      remount(host.roots.bpffs, "rw");
    }
    await agent.apply(programSpec(guard));
  });

  it("names a disk that is read-only", async () => {
    remount(host.roots.state, "ro");
    try {
      await fails("permission", /read-only/);
    } finally {
      remount(host.roots.state, "rw");
    }
    await agent.apply(programSpec(guard));
  });
});
