import assert from "node:assert/strict";
import fc from "fast-check";
import { EbpfError } from "../../../provider/errors";
import { UNKNOWN } from "../../../provider/lifecycle";
import { policySchema } from "../../../provider/network-policy/model";
import { canonicalJson } from "../../../provider/protocol/spec";
import type { Spec } from "../../../provider/protocol/spec";
import { networkPolicy } from "../../../provider/resources/network-policy";
import { ruleLine } from "../../../provider/resources/policy-rules";
import { Host } from "../lifecycle/host";
import { manyRules, OFFICES, policyInputs } from "../lifecycle/policies";

type Properties = Record<string, unknown>;

describe("NetworkPolicy", () => {
  const offline = { "ebpf:preview": "offline" };

  async function check(change: Properties = {}, olds?: Properties) {
    const host = new Host();
    const outcome = await host.lifecycle(offline).check("NetworkPolicy", olds, policyInputs(change));
    const problems = outcome.failures.map(({ property, reason }) => `${property}: ${reason}`);
    return { ...outcome, problems, host };
  }

  async function specOf(change: Properties = {}): Promise<Spec> {
    const host = new Host();
    const lifecycle = host.lifecycle(offline);
    const { inputs, failures } = await lifecycle.check("NetworkPolicy", undefined, policyInputs(change));
    assert.deepEqual(failures, []);
    await lifecycle.create("NetworkPolicy", inputs);
    return host.records.get("shop/prod/NetworkPolicy/web")!.spec;
  }

  it("compiles to a part whose rules lie in chunks, and defaults are filled in", async () => {
    const { policy } = await specOf({ management: ["192.0.2.0/24"] });
    const { ingress, ...rest } = policy!;
    assert.equal(ingress?.count, 2);
    assert.deepEqual(rest, {
      interfaces: ["eth0"],
      hook: "tc",
      mode: "enforce",
      infrastructure: true,
      established: "recheck",
      sets: { [OFFICES]: OFFICES },
      management: ["192.0.2.0/24"],
      sampleRate: 0,
      tests: [],
    });
  });

  it("tells an absent list of rules from an empty one", async () => {
    const { policy } = await specOf({ egress: [] });
    assert.equal(policy!.egress?.count, 0);
    assert.equal((await specOf()).policy!.egress, undefined);
  });

  it("writes each rule as canonical JSON", () => {
    const cidr = fc.constantFrom("10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0");
    const peer = fc.oneof(
      fc.record({ cidr, except: fc.array(cidr) }, { requiredKeys: ["cidr"] }),
      fc.constantFrom({ any: true }, { self: true }, { addressSet: 'a "set"' }),
    );
    const port = fc.record(
      { protocol: fc.constantFrom("TCP", 17), port: fc.nat(65535), endPort: fc.nat(65535) },
      { requiredKeys: ["protocol"] },
    );
    const members = { ports: fc.array(port), from: fc.array(peer), to: fc.array(peer) };
    const rule = fc.record(
      { name: fc.string(), action: fc.constantFrom("allow", "deny"), ...members },
      { requiredKeys: ["name", "action"] },
    );
    fc.assert(
      fc.property(rule, fc.constantFrom("from", "to"), (whole, side) => {
        const one = { ...whole } as Properties;
        delete one[side];
        assert.equal(ruleLine(one as never), canonicalJson(one));
      }),
    );
  });

  it("has the same content however the members of a rule are ordered", async () => {
    const [rule] = policySchema.parse({ ingress: manyRules(1) }).ingress!;
    const turned = Object.fromEntries(Object.entries(rule!).reverse());
    const [one, other] = [await specOf({ ingress: [rule] }), await specOf({ ingress: [turned] })];
    assert.deepEqual(one, other);
  });

  it("passes tests on in the host's words, ICMP as an echo request", async () => {
    const tests = [
      { from: "192.0.2.9", protocol: "TCP", port: 25, expect: "deny" },
      { from: "2001:db8::9", protocol: "ICMPv6", local: "2001:db8::1", expect: "deny" },
    ];
    const { policy } = await specOf({ tests });
    assert.deepEqual(policy!.tests, [
      { direction: "ingress", address: "192.0.2.9", protocol: "TCP", port: 25, expect: "deny" },
      {
        ...{ direction: "ingress", address: "2001:db8::9", local: "2001:db8::1", protocol: "ICMPv6" },
        ...{ type: 128, code: 0, expect: "deny" },
      },
    ]);
  });

  it("refuses what can be known without the host, all at once", async () => {
    const { problems } = await check({
      interfaces: ["eth 0", "a/b"],
      hook: "xpd",
      management: ["192.0.2.1/24"],
      sampleRate: -1,
      confirm: { withinSeconds: 1 },
      ingress: [
        { name: "a", from: [{ cidr: "10.0.0.0/33" }, { cidr: "10.0.0.1/8" }] },
        { name: "a", from: [{ cidr: "10.0.0.0/8", except: ["11.0.0.0/8"] }] },
        {
          name: "b",
          ports: [
            { protocol: "TCP", port: 0 },
            { protocol: "TCP", port: 90, endPort: 80 },
          ],
        },
        {
          name: "c",
          ports: [
            { protocol: "GRE", port: 1 },
            { protocol: "TCP", port: 65536 },
          ],
        },
        { name: "d", from: [] },
      ],
      tests: [
        { from: "192.0.2.9", to: "192.0.2.9", protocol: "TCP", port: 70000, expect: "deny" },
        { from: "192.0.2.300", protocol: "TCP", expect: "deny" },
        { from: "192.0.2.9", local: "::1", protocol: "ESP", port: 1, expect: "drop" },
      ],
    });
    assert.deepEqual(problems.map((text) => text.split(": ")[0]).sort(), [
      "confirm.withinSeconds",
      "hook",
      "ingress[0].from[0].cidr",
      "ingress[0].from[1].cidr",
      "ingress[1].from[0].except[0]",
      "ingress[1].name",
      "ingress[2].ports[0].port",
      "ingress[2].ports[1].endPort",
      "ingress[3].ports[0].port",
      "ingress[3].ports[1].port",
      "ingress[4].from",
      "interfaces[0]",
      "interfaces[1]",
      "management[0]",
      "sampleRate",
      "tests[0]",
      "tests[0].port",
      "tests[1].from",
      "tests[1].port",
      "tests[2].expect",
    ]);
  });

  it("refuses a policy that says nothing, and one that judges nothing", async () => {
    assert.deepEqual((await check({ ingress: undefined })).problems, [
      "ingress: give ingress or egress, or both: a policy without them says nothing",
    ]);
    const [problem] = (await check({ interfaces: [] })).problems;
    assert.match(problem!, /^interfaces: an empty list judges nothing/);
  });

  it("refuses what is no address set, wherever rules name it", async () => {
    const named = (addressSet: string) => [{ name: "a", from: [{ self: true }, { addressSet }] }];
    assert.deepEqual((await check({ ingress: named("offices") })).problems, [
      'ingress[0].from[1].addressSet: "offices" is no address set; give an AddressSet, or the `ref` of one of another stack',
    ]);
    assert.equal((await check({ ingress: named("shop/prod/Map/offices") })).problems.length, 1);
    assert.deepEqual((await check({ ingress: named(OFFICES) })).problems, []);
  });

  it("shows the first hundred problems of a hundred thousand, and counts the others", async () => {
    const ingress = manyRules(150).map((rule) => ({ ...rule, from: [{ cidr: "10.0.0.1/8" }] }));
    const { problems } = await check({ ingress });
    assert.equal(problems.length, 101);
    assert.equal(problems.at(-1), ": and 50 more problems");
  });

  it("finds the property of what only the host knew to be wrong", async () => {
    const { inputs } = await check();
    const blame = (what: string, name: string) =>
      networkPolicy.blame?.(new EbpfError("not-found", "find it", { what, name }), inputs as never);
    assert.equal(blame("interface", "eth0"), "interfaces");
    assert.equal(blame("network namespace", "blue"), "netns");
    assert.equal(blame("AddressSet", OFFICES), "ingress[1].from[0].addressSet");
    assert.equal(blame("program", "x"), undefined);
  });

  describe("tests", () => {
    const deny = {
      name: "no one",
      action: "deny",
      from: [{ cidr: "192.0.2.0/24", except: ["192.0.2.1/32"] }],
    };
    const rules = [...(policyInputs()["ingress"] as object[]), deny];
    const base = { protocol: "TCP", port: 443, expect: "deny" };

    async function judged(...tests: object[]): Promise<string[]> {
      return (await check({ ingress: rules, tests })).problems;
    }

    it("that the policy fulfils are good", async () => {
      const tests = [
        { ...base, from: "192.0.2.9", rule: "no one" },
        { ...base, from: "192.0.2.1", expect: "allow", rule: "public https" },
        { ...base, from: "198.51.100.1", port: 25 },
        { ...base, to: "198.51.100.1", expect: "allow" },
        { from: "198.51.100.1", protocol: "ICMP", expect: "deny" },
      ];
      assert.deepEqual(await judged(...tests), []);
    });

    it("that it contradicts refuse it, each with what decides", async () => {
      const tests = [
        { ...base, from: "192.0.2.9", expect: "allow" },
        { ...base, from: "192.0.2.1" },
        { ...base, from: "198.51.100.1", port: 25, expect: "allow" },
        { ...base, to: "198.51.100.1" },
        { ...base, from: "192.0.2.9", rule: "public https" },
        { ...base, from: "192.0.2.9", rule: "public http" },
        { ...base, from: "fe80::1", protocol: "ICMPv6", port: undefined, type: 135 },
      ];
      assert.deepEqual(await judged(...tests), [
        'tests[0]: expected allow, but rule "no one" denies it',
        'tests[1]: expected deny, but rule "public https" allows it',
        "tests[2]: expected allow, but no rule allows it",
        "tests[3]: expected deny, but the policy says nothing about egress",
        'tests[4]: expected rule "public https", but rule "no one" denies it',
        'tests[5].rule: ingress has no rule "public http"; it has rules: no one, public https, ssh; did you mean "public https"?',
        "tests[6]: expected deny, but such packets always pass (`infrastructure`)",
      ]);
    });

    it("that hang on what only the host knows are left to it", async () => {
      const onSet = { from: "203.0.113.9", protocol: "TCP", port: 22 };
      const expects = ["allow", "deny"].map((expect) => ({ ...onSet, expect }));
      assert.deepEqual(await judged(...expects, { ...onSet, expect: "allow", rule: "ssh" }), []);
      // a deny decides whatever the set holds
      assert.deepEqual(await judged({ ...onSet, from: "192.0.2.9", expect: "allow" }), [
        'tests[0]: expected allow, but rule "no one" denies it',
      ]);
    });

    it("are judged as if the policy were enforced, in audit mode too", async () => {
      const { problems } = await check({ mode: "audit", tests: [{ ...base, from: "203.0.113.1" }] });
      assert.deepEqual(problems, ['tests[0]: expected deny, but rule "public https" allows it']);
    });

    it("wait for rules that a preview does not know yet", async () => {
      const tests = [
        { ...base, from: "203.0.113.1" },
        { ...base, to: "203.0.113.1", expect: "allow" },
      ];
      const ingress = [{ name: "a", from: [{ cidr: UNKNOWN }] }];
      const { problems, inputs } = await check({ ingress, egress: [], tests });
      assert.deepEqual(problems, []);
      assert.equal(inputs["content"], UNKNOWN);
    });
  });

  describe("a preview of an update", () => {
    async function changes(before: Properties, after: Properties): Promise<string[]> {
      const { inputs } = await check(before);
      const { problems, host } = await check(after, inputs);
      assert.deepEqual(problems, []);
      return host.reports;
    }

    it("names the rules that are added, changed and removed", async () => {
      const [a, b, c] = manyRules(3);
      const changed = { ...b, action: "deny" };
      assert.deepEqual(await changes({ ingress: [a, b] }, { ingress: [changed, c] }), [
        'web: ingress: 1 rule added ("rule 2"), 1 rule changed ("rule 1"), 1 rule removed ("rule 0")',
      ]);
    });

    it("counts them where they are many", async () => {
      const rules = manyRules(2000);
      assert.deepEqual(await changes({ ingress: rules.slice(0, 10) }, { ingress: rules }), [
        'web: ingress: 1,990 rules added ("rule 10", "rule 11", "rule 12", "rule 13", "rule 14" and 1,985 more)',
      ]);
    });

    it("says that a direction is named, or is no longer, and that only the order is another", async () => {
      const [a, b] = manyRules(2);
      assert.deepEqual(await changes({ ingress: [a, b] }, { ingress: [b, a], egress: [] }), [
        "web: ingress: the rules have another order",
        "web: egress: the policy names it now, with 0 rules",
      ]);
      assert.deepEqual(await changes({ ingress: [a], egress: [] }, { ingress: [a] }), [
        "web: egress: the policy says nothing about it any more",
      ]);
    });

    it("says nothing where nothing changes", async () => {
      assert.deepEqual(await changes({}, {}), []);
    });
  });
});
