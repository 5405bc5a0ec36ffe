import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import type { PlanResult } from "../../../provider/protocol/messages";
import { digestOf, type Spec } from "../../../provider/protocol/spec";
import { bpftool, closesEverything, PrivateNetwork } from "../bpf/support";
import { compileGuard, entriesSpec, linkSpec, programId, programSpec, TestHost } from "./support";

const guard = compileGuard();
const rejected = compileGuard("-DREJECT");

describe("plan", () => {
  closesEverything();
  let host: TestHost;
  let network: PrivateNetwork;

  beforeEach(() => {
    host = new TestHost();
    network = new PrivateNetwork();
  });
  afterEach(async () => {
    await host.remove();
    network.remove();
  });

  const plan = (spec: Spec, ...blobs: Buffer[]): Promise<PlanResult> =>
    host.agent.call("plan", {
      spec,
      blobs: Object.fromEntries(blobs.map((bytes) => [digestOf(bytes), bytes])),
    });
  const problems = ({ problems: all }: PlanResult) => all.map(({ code, message }) => `${code}: ${message}`);

  it("loads without leaving anything", async () => {
    const before = (bpftool("prog", "show") as unknown[]).length;
    const result = await plan(programSpec(guard), guard);
    assert.deepEqual(result.problems, []);
    assert.ok(result.programs.xdp_guard!.verifiedInstructions > 0);
    assert.match(result.changes.join(), /load "xdp_guard" of guard.bpf.c/);
    host.assertEmpty();
    assert.equal((bpftool("prog", "show") as unknown[]).length, before);
  });

  it("tells the verifier's reason, and the same object is refused by apply with nothing left", async () => {
    const result = await plan(programSpec(rejected), rejected);
    assert.match(problems(result).join(), /^verifier: verifier rejects xdp_guard: R\d invalid mem access/);
    await host.agent.put(rejected);
    await assert.rejects(host.agent.apply(programSpec(rejected)), { code: "verifier" });
    assert.deepEqual(host.pins(), []);
    assert.deepEqual(host.records(), []);
    assert.equal(await host.agent.look(programId), null);
  });

  it("finds unknown entrypoints, interfaces, namespaces, cgroups and tracepoints", async () => {
    assert.match(
      problems(await plan(programSpec(guard, { entrypoints: ["nothing"] }), guard)).join(),
      /^not-found: find entrypoint nothing/,
    );
    await host.agent.put(guard);
    await host.agent.apply(programSpec(guard, { entrypoints: ["xdp_guard", "tp_guard", "cgroup_guard"] }));
    const xdp = { type: "xdp", interface: "eth9", mode: "auto", allowGap: false } as const;
    assert.match(
      problems(await plan(linkSpec({ ...xdp, netns: network.name }))).join(),
      /^not-found: find interface eth9/,
    );
    assert.match(
      problems(await plan(linkSpec({ ...xdp, netns: "nowhere" }))).join(),
      /^not-found: enter network namespace "nowhere"/,
    );
    const cgroup = linkSpec(
      { type: "cgroup", path: "/sys/fs/cgroup/none", attach: "skb/egress" },
      "cgroup_guard",
    );
    assert.match(problems(await plan(cgroup)).join(), /^not-found: find cgroup/);
    await host.agent.remove(programId);
  });

  it("reports several problems together", async () => {
    const spec = programSpec(guard, {
      maps: { nothing: { spec: programId, map: "x" }, neither: { spec: programId, map: "x" } },
    });
    const rows = entriesSpec([[1, 1]], { keySize: 8 }).spec.entries;
    const links = linkSpec({
      type: "xdp",
      interface: "eth9",
      netns: network.name,
      mode: "auto",
      allowGap: false,
    }).links;
    const result = await plan({ ...spec, entries: rows, links }, guard);
    assert.ok(result.problems.length >= 3, JSON.stringify(problems(result)));
  });

  it("checks what it can while the program is not on the host yet", async () => {
    const hook = {
      type: "xdp",
      interface: "veth0",
      netns: network.name,
      mode: "auto",
      allowGap: false,
    } as const;
    assert.deepEqual(problems(await plan(linkSpec(hook))), []);
    assert.deepEqual(problems(await plan(entriesSpec([[1, 1]]).spec)), []);
    const missing = linkSpec({ ...hook, interface: "eth9" });
    assert.equal((await plan(missing)).problems.length, 1);

    // what the program's own apply brings before: an entrypoint that it gets, a pin that it lost
    await host.agent.put(guard);
    await host.agent.apply(programSpec(guard, { entrypoints: ["tc_guard"] }));
    assert.deepEqual(problems(await plan(linkSpec(hook))), []);
    await host.agent.apply(programSpec(guard, { entrypoints: ["xdp_guard"] }));
    const { programs } = await host.agent.observe(programId);
    rmSync(programs["xdp_guard"]!.pin);
    assert.deepEqual(problems(await plan(linkSpec(hook))), []);
    await host.agent.remove(programId);
  });

  it("warns of veths that drop what is redirected into them", async () => {
    await host.agent.put(guard);
    await host.agent.apply(programSpec(guard, { entrypoints: ["xdp_forward"] }));
    const hook = {
      type: "xdp",
      interface: "veth0",
      netns: network.name,
      mode: "generic",
      allowGap: false,
    } as const;
    const { warnings } = await plan(linkSpec(hook, "xdp_forward"));
    assert.match(warnings.map(({ message }) => message).join(), /frames into veth1, veth0 are dropped/);
    network.inside(() => execFileSync("ethtool", ["-K", "veth1", "gro", "on"]));
    const { warnings: fewer } = await plan(linkSpec(hook, "xdp_forward"));
    assert.match(fewer.map(({ message }) => message).join(), /frames into veth1 are dropped/);
    await host.agent.remove(programId);
  });

  it("says what an update would do", async () => {
    await host.agent.put(guard);
    await host.agent.apply(programSpec(guard));
    const hook = {
      type: "xdp",
      interface: "veth0",
      netns: network.name,
      mode: "generic",
      allowGap: false,
    } as const;
    await host.agent.apply(linkSpec(hook));
    const { changes, swappedLinks } = await plan(programSpec(guard, { verdict: 1 }));
    assert.match(changes.join(), /swap the program of xdp on veth0/);
    assert.deepEqual(swappedLinks, [
      `xdp on veth0 in network namespace ${network.name} of ${linkSpec(hook).id}`,
    ]);
    assert.deepEqual((await plan(programSpec(guard))).changes, []);
    await host.agent.remove(linkSpec(hook).id, programId);
  });
});
