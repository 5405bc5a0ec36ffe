/** Which interfaces are judged, where, and by which program, while policies and interfaces come and go. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { interfaceIndex, LinkHandle, queryXdp } from "../../../../provider/bpf";
import type { RestoreResult } from "../../../../provider/protocol/messages";
import { bpftool, closesEverything, ip, loadHook } from "../../bpf/support";
import { agentBundle, agentEnvironment } from "../support";
import { PolicyHost, tcp } from "./support";

describe("interfaces of network policies", function () {
  this.timeout(60_000);
  closesEverything();
  let at: PolicyHost;

  beforeEach(() => {
    at = new PolicyHost(2);
  });
  afterEach(() => at.end());

  const https = { name: "https", ports: tcp(443) };
  const ssh = { name: "ssh", ports: tcp(22) };
  const both = (name: string, wish = {}) =>
    at.policy(name, { interfaces: ["veth*"], ingress: [https], ...wish });

  /** Ids that `agent restore` in a process of its own brought back. */
  function restored(...args: string[]): string[] {
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [agentBundle(at.host.roots), "restore", ...args],
      { env: agentEnvironment(at.host.roots), encoding: "utf8" },
    );
    assert.equal(status, 0, stderr);
    const results = JSON.parse(stdout) as RestoreResult[];
    return results.filter((one) => one.restored).map(({ id }) => id);
  }

  it("judges interfaces of the same policies by one program, until they part", async () => {
    await at.apply(both("web"));
    const [first] = at.programs("ingress", "veth0");
    assert.deepEqual(at.programs("ingress", "veth2"), [first]);
    const own = at.policy("ssh", { interfaces: ["veth2"], ingress: [ssh] }, "demo/other");
    await at.apply(own);
    assert.deepEqual(at.programs("ingress", "veth0"), [first], "where nothing changes, nothing moves");
    const moved = at.programs("ingress", "veth2");
    assert.equal(moved.length, 1);
    assert.notDeepEqual(moved, [first]);
    assert.ok(at.network.enters(443) && !at.network.enters(22));
    assert.ok(at.network.enters(443, { pair: 1 }) && at.network.enters(22, { pair: 1 }));
    assert.deepEqual(await at.agent.drift(own.spec.id), []);
    await at.remove(own);
    assert.deepEqual(at.programs("ingress", "veth2").length, 1);
    assert.deepEqual(at.programs("ingress", "veth2"), at.programs("ingress", "veth0"), "they join again");
    assert.ok(at.network.enters(443, { pair: 1 }) && !at.network.enters(22, { pair: 1 }));
  });

  it("lets an interface go that is no longer selected", async () => {
    await at.apply(both("web"));
    await at.apply(at.policy("web", { interfaces: ["veth2"], ingress: [https] }));
    assert.deepEqual(at.programs("ingress", "veth0"), []);
    assert.ok(at.network.enters(80) && !at.network.enters(80, { pair: 1 }));
    await at.apply(at.policy("web", { interfaces: ["veth0"], ingress: [ssh] }));
    assert.deepEqual(at.programs("ingress", "veth2"), []);
    assert.ok(at.network.enters(22) && !at.network.enters(80) && at.network.enters(80, { pair: 1 }));
  });

  it("tells of an interface that came later, and judges it when the agent is told of it", async () => {
    const web = both("web");
    await at.apply(web);
    at.network.addPair(2);
    const { policy, drift } = await at.agent.observe(web.spec.id);
    assert.deepEqual(policy!.uncovered, ["veth4"]);
    assert.deepEqual(
      drift.map(({ code, part }) => [code, part]),
      [["policy-changed", "veth4"]],
    );
    assert.ok(at.network.enters(80, { pair: 2 }));
    assert.deepEqual(restored("--interface", "veth4"), [web.spec.id]);
    assert.ok(at.network.keptOut(80, { pair: 2 }) && at.network.enters(443, { pair: 2 }));
    assert.deepEqual(await at.agent.drift(web.spec.id), []);
  });

  it("judges all interfaces that udev has noted since, and takes their notes", async () => {
    const notes = path.join(at.host.roots.run, "new-interfaces");
    const web = both("web");
    const other = at.policy("other", { interfaces: ["veth0"], ingress: [https] }, "demo/other");
    await at.apply(web);
    await at.apply(other);
    assert.deepEqual(restored("--new-interfaces"), [], "nobody noted anything");
    for (const pair of [2, 3]) at.network.addPair(pair);
    fs.mkdirSync(notes);
    // one may be gone again, and one may be nobody's business
    for (const name of ["veth4", "veth6", "veth8", "eth9"]) fs.writeFileSync(path.join(notes, name), "");
    assert.deepEqual(restored("--new-interfaces"), [web.spec.id]);
    assert.deepEqual(fs.readdirSync(notes), []);
    for (const pair of [2, 3])
      assert.ok(at.network.keptOut(80, { pair }) && at.network.enters(443, { pair }));
    assert.deepEqual((await at.agent.observe(web.spec.id)).policy!.uncovered, []);
    assert.deepEqual(restored("--new-interfaces"), []);
  });

  it("takes it as no drift that an interface which a glob found is gone, and as drift that a named one is", async () => {
    const globbed = both("web");
    await at.apply(globbed);
    at.network.inside(() => ip("link", "delete", "veth2"));
    assert.deepEqual(await at.agent.drift(globbed.spec.id), []);
    const named = at.policy("named", { interfaces: ["veth0"], ingress: [ssh] });
    await at.apply(named);
    at.network.inside(() => ip("link", "delete", "veth0"));
    assert.match((await at.agent.drift(named.spec.id)).join(), /^detached: .*veth0/);
    assert.match(await at.refusal(named), /^not-found: judge veth0/);
  });

  it("judges ingress at xdp by choice, and egress at tc", async () => {
    const web = at.policy("web", { hook: "xdp", ingress: [https], egress: [ssh] });
    const { warnings } = await at.plan(web);
    assert.deepEqual(warnings, [
      { message: "xdp copies each packet that a socket sends over a veth, as veth0 is: tc costs less there" },
    ]);
    const { policy } = await at.apply(web);
    assert.equal(policy!.interfaces[0]!.ingress, "xdp");
    assert.equal(policy!.interfaces[0]!.egress, "tcx");
    const shown = at.network.inside(() => bpftool("net", "show")) as [{ xdp: { devname: string }[] }];
    assert.deepEqual(
      shown[0].xdp.map(({ devname }) => devname),
      ["veth0"],
    );
    assert.ok(at.network.enters(443) && !at.network.enters(80));
    assert.ok(at.network.leaves(22) && at.network.keptIn(80));
    await at.apply(at.policy("web", { hook: "tc", ingress: [https], egress: [ssh] }));
    assert.deepEqual(
      at.network.inside(() => queryXdp(interfaceIndex("veth0")).programIds),
      {},
    );
    assert.ok(at.network.enters(443) && !at.network.enters(80));
  });

  it("judges by clsact filters below Linux 6.6", async () => {
    const old = at.onKernel("6.1.0");
    const web = at.policy("web", { ingress: [https], egress: [ssh] });
    const { policy } = await old.deliver(web.spec, web.blobs);
    assert.deepEqual([policy!.interfaces[0]!.ingress, policy!.interfaces[0]!.egress], ["tc", "tc"]);
    assert.deepEqual([at.programs("ingress"), at.programs("egress")], [[], []]);
    assert.ok(at.network.enters(443) && !at.network.enters(80));
    assert.ok(at.network.leaves(22) && at.network.keptIn(80));
    // an interface changes over to another plane: for an instant two filters stand there
    const other = at.policy("ssh", { interfaces: ["veth2"], ingress: [https] }, "demo/other");
    await old.deliver(other.spec, other.blobs);
    const wider = at.policy("ssh", { interfaces: ["veth*"], ingress: [ssh] }, "demo/other");
    await old.deliver(wider.spec, wider.blobs);
    assert.ok(at.network.enters(22) && at.network.enters(443) && at.network.enters(22, { pair: 1 }));
    assert.deepEqual(await old.drift(web.spec.id), []);
    await old.remove(web.spec.id, other.spec.id);
    assert.match(
      at.network.inside(() => ip("link", "show", "veth0")),
      /qdisc noqueue/,
    );
    assert.doesNotMatch(
      at.network.inside(
        () => spawnSync("tc", ["qdisc", "show", "dev", "veth0"], { encoding: "utf8" }).stdout,
      ),
      /clsact/,
    );
  });

  it("names a foreign program that runs ahead of it", async () => {
    const web = at.policy("web", { ingress: [https] });
    await at.apply(web);
    const { program, runs } = loadHook("tc_verdict");
    const ahead = at.network.inside(() =>
      LinkHandle.create(program, {
        ...{ type: "tcx", ifindex: interfaceIndex("veth0"), direction: "ingress", anchor: "first" },
      }),
    );
    try {
      const { drift, policy } = await at.agent.observe(web.spec.id);
      assert.match(
        drift.map(({ code, message }) => `${code}: ${message}`).join("\n"),
        /bypassable: .*tc_verdict.* runs ahead of tcx ingress of veth0/,
      );
      assert.match(policy!.interfaces[0]!.bypassable!, /tc_verdict/);
      await at.apply(web);
      assert.deepEqual(await at.agent.drift(web.spec.id), [], "the next apply stands ahead again");
      assert.equal(at.programs("ingress")[1], program.info().id);
    } finally {
      ahead.close();
      program.close();
      runs.close();
    }
  });
});
