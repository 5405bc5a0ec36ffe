/** Policies and sets by the agent's verbs: what they judge, what they show, and that they leave nothing. */
import assert from "node:assert/strict";
import { closesEverything, ip } from "../../bpf/support";
import { PolicyHost, setSpec, tcp, type Wish } from "./support";

describe("network policies on a host", function () {
  this.timeout(60_000);
  closesEverything();
  let at: PolicyHost;

  beforeEach(() => {
    at = new PolicyHost();
  });
  afterEach(() => at.end());

  it("judges an interface, tells of it, and is gone after remove", async () => {
    const web = at.policy("web", { ingress: [{ name: "https", ports: tcp(443) }] });
    const status = await at.apply(web);
    assert.deepEqual(status.drift, []);
    const [judged] = status.policy!.interfaces;
    assert.deepEqual(
      { ...judged, ifindex: 0 },
      {
        ...{ name: "veth0", netns: `/run/netns/${at.network.name}`, ifindex: 0 },
        ...{ ingress: "tcx", egress: "tcx", policies: [web.spec.id] },
      },
    );
    assert.ok(at.network.enters(443));
    assert.ok(at.network.enters(443, { ipv6: true }));
    assert.ok(at.network.keptOut(80));
    assert.ok(at.network.keptOut(80, { ipv6: true }));
    assert.ok(at.network.leaves(80), "egress is not named, and replies pass");
    assert.deepEqual(
      (await at.agent.call("list", {})).map(({ id }) => id),
      [web.spec.id],
    );
    assert.deepEqual((await at.agent.observe(web.spec.id)).drift, []);
    await at.remove(web);
    assert.ok(at.network.enters(80));
  });

  it("joins the policies of two stacks on one interface, and a deny of one beats the other", async () => {
    const web = at.policy("web", { ingress: [{ name: "https", ports: tcp(443) }] });
    const ssh = at.policy("ssh", { ingress: [{ name: "ssh", ports: tcp(22) }] }, "demo/other");
    await at.apply(web);
    const before = at.programs("ingress");
    await at.apply(ssh);
    assert.deepEqual(at.programs("ingress"), before, "the same program judges by both");
    for (const port of [22, 443]) assert.ok(at.network.enters(port), String(port));
    assert.ok(at.network.keptOut(80));
    const denying = at.policy(
      "ssh",
      {
        ingress: [
          { name: "ssh", ports: tcp(22) },
          { name: "no https", action: "deny", ports: tcp(443) },
        ],
      },
      "demo/other",
    );
    await at.apply(denying);
    assert.ok(at.network.keptOut(443));
    assert.deepEqual((await at.agent.observe(web.spec.id)).policy!.interfaces[0]!.policies, [
      ssh.spec.id,
      web.spec.id,
    ]);
    assert.deepEqual(await at.agent.drift(web.spec.id), []);
    await at.remove(web);
    assert.ok(at.network.enters(22) && !at.network.enters(443));
    await at.remove(ssh);
    assert.ok(at.network.enters(80));
  });

  it("27: drops nothing in audit mode", async () => {
    await at.apply(at.policy("web", { mode: "audit", ingress: [{ name: "https", ports: tcp(443) }] }));
    assert.ok(at.network.enters(80));
    assert.ok(at.network.enters(443));
    assert.equal(at.hits()[0], 2, "a SYN and its answer: the rule counts what it would have let pass");
  });

  for (const hook of ["tc", "xdp"] as const) {
    it(`55: knows no connections at ${hook} with ignore, and knows them again without`, async () => {
      const https = { name: "https", ports: tcp(443) };
      const wish = { hook, ingress: [https], egress: [] };
      const apply = (change: Wish) => at.apply(at.policy("web", { ...wish, ...change }));
      await apply({ established: "ignore" });
      assert.ok(at.network.keptOut(443), "its answer has no rule");
      await apply({ established: "ignore", egress: [{ name: "answers" }] });
      assert.ok(at.network.enters(443) && at.network.keptOut(80));
      assert.deepEqual([at.connections("half_open"), at.connections("established")], [0, 0]);
      assert.deepEqual(await at.agent.drift(at.policy("web", {}).spec.id), []);
      await apply({ established: "recheck" });
      assert.ok(at.network.enters(443) && at.network.keptOut(80));
      assert.ok(at.connections("established") > 0);
    });
  }

  it("keeps counters of rules that stay, and begins at zero with those that come", async () => {
    const [https, http, ssh] = [443, 80, 22].map((port) => ({ name: `port ${port}`, ports: tcp(port) }));
    await at.apply(at.policy("web", { ingress: [https!, http!] }));
    const count = (port: number, times: number) => {
      for (let i = 0; i < times; i++) assert.ok(at.network.enters(port));
    };
    count(443, 3);
    count(80, 2);
    assert.deepEqual(at.hits().slice(0, 3).sort(), [0, 4, 6]);
    await at.apply(at.policy("web", { ingress: [https!] }));
    // the slot of the rule that went is free for the rule after the next change
    await at.apply(at.policy("web", { ingress: [https!, ssh!] }));
    assert.deepEqual(
      at
        .hits()
        .slice(0, 3)
        .filter((hits) => hits === 6).length,
      1,
    );
    count(22, 1);
    assert.equal(Math.max(...at.hits()), 6);
    assert.ok(at.hits().slice(0, 3).includes(2));
  });

  it("has both generations' arrays from the start, so that the first change, too, writes only what it changes", async () => {
    const rules = (port: number) => [443, port].map((one) => ({ name: `port ${one}`, ports: tcp(one) }));
    await at.apply(at.policy("web", { ingress: rules(80) }));
    const arrays = at.arrays();
    assert.equal(new Set(arrays).size, 2);
    await at.apply(at.policy("web", { ingress: rules(22) }));
    assert.deepEqual(at.arrays(), arrays, "no array was made anew");
    assert.ok(at.network.enters(22) && at.network.enters(443) && at.network.keptOut(80));
  });

  it("gives more rules more counters, and those that were there keep what they counted", async () => {
    const first = { name: "a https", ports: tcp(443) };
    const more = (count: number) =>
      Array.from({ length: count }, (_, index) => ({
        name: `b ${index}`,
        from: [{ cidr: `192.0.${index >> 8}.${index & 255}/32` }],
      }));
    await at.apply(at.policy("web", { ingress: [first] }));
    for (let i = 0; i < 3; i++) assert.ok(at.network.enters(443));
    await at.apply(at.policy("web", { ingress: [first, ...more(400)] }));
    assert.equal(at.hits().length, 512);
    assert.deepEqual(
      at.hits().filter((hits) => hits > 0),
      [6],
    );
    await at.apply(at.policy("web", { ingress: [first, ...more(5_000)] }));
    assert.deepEqual(
      at.shardHits().filter((hits) => hits > 0),
      [6],
    );
    assert.ok(at.network.enters(443));
    assert.deepEqual(
      at.shardHits().filter((hits) => hits > 0),
      [8],
    );
    assert.deepEqual(await at.agent.drift(at.policy("web", {}).spec.id), []);
  });

  it("follows a set that is updated on its own, and keeps it while a policy names it", async () => {
    const offices = setSpec("offices", ["10.98.0.0/24"], "demo/other");
    const web = at.policy("web", {
      sets: { offices: offices.spec.id },
      ingress: [{ name: "offices", from: [{ addressSet: "offices" }] }],
    });
    assert.match(
      await at.refusal(web),
      /^not-found: find address set "offices" of .*: demo\/other\/AddressSet\/offices is not on this host/,
    );
    assert.deepEqual((await at.apply(offices)).addressSet, { networks: 1, usedBy: [] });
    await at.apply(web);
    assert.ok(at.network.enters(80));
    assert.deepEqual((await at.agent.observe(offices.spec.id)).addressSet!.usedBy, [web.spec.id]);
    await assert.rejects(at.remove(offices), /NetworkPolicy\/web/);
    await at.apply(setSpec("offices", ["192.0.2.0/24"], "demo/other"));
    assert.ok(at.network.keptOut(80));
    assert.deepEqual(await at.agent.drift(web.spec.id), []);
    await at.apply(offices);
    assert.ok(at.network.enters(80));
  });

  it("16: resolves self when it is applied, and shows as drift that it changed", async () => {
    const web = at.policy("web", { ingress: [], egress: [{ name: "self", to: [{ self: true }] }] });
    await at.apply(web);
    assert.deepEqual(await at.agent.drift(web.spec.id), []);
    at.network.inside(() => ip("address", "add", "10.97.0.1/24", "dev", "veth0"));
    assert.match((await at.agent.drift(web.spec.id)).join(), /^policy-changed: .*10\.97\.0\.1/);
    await at.apply(web);
    assert.deepEqual(await at.agent.drift(web.spec.id), []);
    const plain = at.policy("web", { ingress: [] });
    await at.apply(plain);
    at.network.inside(() => ip("address", "add", "10.97.1.1/24", "dev", "veth0"));
    assert.deepEqual(await at.agent.drift(plain.spec.id), [], "without self addresses do not matter");
  });

  it("52: refuses policies that contradict each other, naming both, and leaves what judges", async () => {
    const web = at.policy("web", { ingress: [{ name: "https", ports: tcp(443) }] });
    await at.apply(web);
    for (const wish of [{ established: "keep" }, { hook: "xdp" }] as const) {
      const refusal = await at.refusal(at.policy("other", { ingress: [], ...wish }, "demo/other"));
      assert.match(
        refusal,
        /^conflict: judge veth0 .*demo\/test\/NetworkPolicy\/web contradicts .*demo\/other\/NetworkPolicy\/other/,
      );
    }
    assert.ok(at.network.enters(443) && !at.network.enters(80));
    assert.deepEqual(await at.agent.drift(web.spec.id), []);
  });

  it("refuses what it does not find: interface, namespace, loopback", async () => {
    const none = await at.refusal(at.policy("web", { interfaces: ["eth9"], ingress: [] }));
    assert.match(none, /^not-found: judge eth9 in network namespace .*: no such interface/);
    const glob = await at.refusal(at.policy("web", { interfaces: ["eth*", "wlan*"], ingress: [] }));
    assert.match(glob, /^not-found: .*no interface matches; there are lo, veth0/);
    const route = await at.refusal(at.policy("web", { interfaces: ["defaultRoute"], ingress: [] }));
    assert.match(route, /there is no default route/);
    const loopback = await at.refusal(at.policy("web", { interfaces: ["lo"], ingress: [] }));
    assert.match(loopback, /^invalid: .*never judged/);
    const namespace = await at.refusal(at.policy("web", { netns: "none-such", ingress: [] }));
    assert.match(namespace, /^not-found: enter network namespace/);
    assert.deepEqual(at.host.pins(), []);
    at.network.inside(() => ip("route", "add", "default", "via", "10.98.0.2"));
    const { policy } = await at.apply(at.policy("web", { interfaces: ["defaultRoute"], ingress: [] }));
    assert.deepEqual(
      policy!.interfaces.map(({ name }) => name),
      ["veth0"],
    );
  });

  it("plans what apply would do, and leaves nothing of it", async () => {
    const { spec, blobs } = at.policy("web", { ingress: [{ name: "https", ports: tcp(443) }] });
    const planned = await at.plan({ spec, blobs });
    assert.deepEqual(planned.problems, []);
    assert.match(planned.changes.join(), /judge veth0 by demo\/test\/NetworkPolicy\/web/);
    assert.deepEqual([at.host.pins(), at.programs("ingress")], [[], []]);
    const wrong = { ...spec, policy: { ...spec.policy!, interfaces: ["eth9"] } };
    const { problems } = await at.plan({ spec: wrong, blobs });
    assert.deepEqual(
      problems.map(({ code, property }) => [code, property]),
      [["not-found", "interfaces[0]"]],
    );
  });

  it("plans a policy whose set comes with an apply before it", async () => {
    const { spec, blobs } = at.policy("web", {
      sets: { offices: "demo/test/AddressSet/offices" },
      ingress: [{ name: "offices", from: [{ addressSet: "offices" }] }],
    });
    assert.deepEqual((await at.plan({ spec, blobs })).problems, []);
    const wrong = { ...spec, policy: { ...spec.policy!, interfaces: ["eth9"] } };
    assert.equal((await at.plan({ spec: wrong, blobs })).problems.length, 1);
  });
});
