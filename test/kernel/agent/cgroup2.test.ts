/** The agent's own place in cgroup2. This process itself moves, below a cgroup of its own, and back. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { leaveSessionCgroup, memoryCgroup } from "../../../provider/agent/cgroup2";
import { cgroupRoot } from "../../support/netns-host";
import { PrivateCgroup } from "../bpf/support";

const session = "0::/user.slice/session-7.scope\n";
const versionOne = `4:memory:/user.slice\n${session}`;

describe("memory cgroup", () => {
  let root: PrivateCgroup;
  let folder: string;
  let home: string;

  const place = () => /^0::(.*)$/m.exec(fs.readFileSync("/proc/self/cgroup", "utf8"))![1]!;
  const told = (text: string) => {
    const file = path.join(folder, "cgroup");
    fs.writeFileSync(file, text);
    return file;
  };

  beforeEach(() => {
    root = new PrivateCgroup();
    folder = fs.mkdtempSync(path.join(tmpdir(), "pulumi-ebpf-cgroup2-"));
    home = place();
  });
  afterEach(() => {
    fs.writeFileSync(path.join(cgroupRoot(), home, "cgroup.procs"), "0");
    fs.rmSync(folder, { recursive: true });
    const own = path.join(root.path, "pulumi-ebpf");
    if (fs.existsSync(own)) fs.rmdirSync(own);
    root.remove();
  });

  it("is left for one of the agent's own, once", () => {
    leaveSessionCgroup(told(session), root.path);
    leaveSessionCgroup(told(session), root.path);
    const procs = fs.readFileSync(path.join(root.path, "pulumi-ebpf", "cgroup.procs"), "utf8");
    assert.deepEqual(procs.trim().split("\n"), [String(process.pid)]);
    assert.equal(path.basename(place()), "pulumi-ebpf");
  });

  it("stays where memory is not cgroup2's, at the root, and without cgroup2", () => {
    leaveSessionCgroup(told(versionOne), root.path);
    leaveSessionCgroup(told("0::/\n"), root.path);
    leaveSessionCgroup(told(session), null);
    assert.equal(place(), home);
    assert.equal(fs.existsSync(path.join(root.path, "pulumi-ebpf")), false);
  });

  it("stays where the hierarchy takes no cgroup of ours", () => {
    fs.writeFileSync(path.join(root.path, "cgroup.max.descendants"), "0");
    leaveSessionCgroup(told(session), root.path);
    assert.equal(place(), home);
  });

  it("is told as the kernel writes it", () => {
    assert.equal(memoryCgroup(told(versionOne)), "/user.slice");
    assert.equal(memoryCgroup(told("3:cpu:/\n0::/a:b\n")), "/a:b");
    assert.equal(memoryCgroup(told("3:cpu,cpuacct:/\n")), null);
  });
});
