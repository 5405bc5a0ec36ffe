import assert from "node:assert/strict";
import type { AppliedPolicy, AppliedRule } from "../../../provider/network-policy/applied";
import { applyPolicy } from "../../../provider/network-policy/applied";
import { evaluate } from "../../../provider/network-policy/evaluate";
import { policySchema } from "../../../provider/network-policy/model";
import { answer, any, https, ping, policy, verdict, web, written } from "./judging";

describe("network policy semantics", () => {
  it("1: an absent list names no direction, an empty one names it and allows nothing", () => {
    assert.equal(verdict([policy({})], https), "allow");
    assert.equal(verdict([policy({ ingress: [] })], https), "deny");
  });

  it("2: every packet passes in a direction that is not named", () => {
    assert.equal(verdict([policy({ ingress: [] })], answer), "allow");
    assert.equal(verdict([policy({ ingress: [] })], { direction: "egress", frame: "malformed" }), "allow");
  });

  it("3: what no rule allows is dropped in a direction that is named", () => {
    assert.equal(verdict([policy({ ingress: [web] })], https), "allow");
    assert.equal(verdict([policy({ ingress: [web] })], { ...https, destinationPort: 80 }), "deny");
  });

  it("7: frames that are no IP and no ARP pass", () => {
    const closed = policy({ ingress: [], infrastructure: false });
    assert.equal(verdict([closed], { direction: "ingress", frame: "other" }), "allow");
    assert.equal(verdict([closed], { direction: "ingress", frame: "arp" }), "deny");
  });

  it("8: malformed packets are dropped in a direction that is named", () => {
    assert.equal(verdict([policy({ ingress: [any] })], { direction: "ingress", frame: "malformed" }), "deny");
  });

  it("11: ingress matches the source, egress the destination", () => {
    const peers = [{ cidrs: ["192.0.2.9/32"] }];
    const both = policy({ ingress: [{ ...any, peers }], egress: [{ ...any, peers }] });
    assert.equal(verdict([both], https), "allow");
    assert.equal(verdict([both], answer), "allow");
    assert.equal(verdict([both], { ...https, direction: "egress" }), "deny");
  });

  it("12: no peers and { any: true } match IPv4 and IPv6", () => {
    const ipv6 = { ...https, source: "2001:db8::1", destination: "2001:db8::2" };
    for (const rule of [{ name: "a" }, { name: "a", from: [{ any: true as const }] }]) {
      for (const packet of [https, ipv6])
        assert.equal(verdict([written({ ingress: [rule] })], packet), "allow");
    }
  });

  it("13: a cidr matches its first and last address and not their neighbours", () => {
    const one = written({
      ingress: [{ name: "a", from: [{ cidr: "10.1.2.0/24" }, { cidr: "2001:db8:7::/48" }] }],
    });
    const allowed = ["10.1.2.0", "10.1.2.255", "2001:db8:7::", "2001:db8:7:ffff:ffff:ffff:ffff:ffff"];
    const denied = ["10.1.1.255", "10.1.3.0", "2001:db8:6:ffff:ffff:ffff:ffff:ffff", "2001:db8:8::"];
    for (const source of allowed) assert.equal(verdict([one], { ...https, source }), "allow", source);
    for (const source of denied) assert.equal(verdict([one], { ...https, source }), "deny", source);
  });

  it("14: except takes networks out of its own cidr only", () => {
    const from = [{ cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] }, { cidr: "10.1.2.0/24" }];
    const one = written({ ingress: [{ name: "a", from }] });
    assert.equal(verdict([one], { ...https, source: "10.0.255.255" }), "allow");
    assert.equal(verdict([one], { ...https, source: "10.1.0.0" }), "deny");
    assert.equal(verdict([one], { ...https, source: "10.1.2.3" }), "allow");
  });

  it("15: an addressSet matches its networks, and an unknown one is a problem", () => {
    const ingress = [{ name: "a", from: [{ addressSet: "offices" }] }];
    assert.equal(verdict([written({ ingress }, { offices: ["192.0.2.0/24"] })], https), "allow");
    assert.equal(verdict([written({ ingress }, { offices: [] })], https), "deny");
    const unknown = applyPolicy({ stack: "s", name: "p" }, policySchema.parse({ ingress }), {
      sets: new Map(),
      self: [],
    });
    assert.deepEqual(unknown, {
      problems: [{ property: "ingress[0].from[0].addressSet", reason: 'there is no address set "offices"' }],
    });
  });

  it("16: self matches the addresses of the host", () => {
    const ingress = [{ name: "a", from: [{ self: true as const }] }];
    assert.equal(verdict([written({ ingress }, {}, ["192.0.2.9", "2001:db8::1"])], https), "allow");
    assert.equal(verdict([written({ ingress }, {}, ["192.0.2.8"])], https), "deny");
  });

  it("17: one peer and one port must match", () => {
    const ingress = [{ ...web, peers: [{ cidrs: ["192.0.2.0/24"] }, { cidrs: ["203.0.113.0/24"] }] }];
    assert.equal(verdict([policy({ ingress })], { ...https, source: "203.0.113.5" }), "allow");
    assert.equal(verdict([policy({ ingress })], { ...https, source: "203.0.114.5" }), "deny");
    assert.equal(verdict([policy({ ingress })], { ...https, destinationPort: 444 }), "deny");
  });

  it("18: no ports match every protocol", () => {
    for (const protocol of [0, 6, 17, 47, 255]) {
      assert.equal(verdict([policy({ ingress: [any] })], { ...https, protocol }), "allow");
    }
  });

  it("19: an entry without port or type matches its whole protocol", () => {
    const ingress: AppliedRule[] = [
      { name: "a", action: "allow", ports: [{ protocol: "TCP" }, { protocol: "ICMP" }] },
    ];
    assert.equal(verdict([policy({ ingress })], { ...https, destinationPort: 1 }), "allow");
    assert.equal(verdict([policy({ ingress })], { ...https, protocol: "UDP" }), "deny");
    assert.equal(verdict([policy({ ingress })], ping()), "allow");
  });

  it("20: port is the destination port, and a range holds both its ends", () => {
    const list: AppliedRule[] = [{ ...any, ports: [{ protocol: "TCP", port: 80, endPort: 90 }] }];
    const both = policy({ ingress: list, egress: list });
    for (const direction of ["ingress", "egress"] as const) {
      for (const [port, expected] of [
        ...([
          [79, "deny"],
          [80, "allow"],
          [85, "allow"],
          [90, "allow"],
          [91, "deny"],
        ] as const),
      ]) {
        assert.equal(
          verdict([both], { ...https, direction, sourcePort: 80, destinationPort: port }),
          expected,
        );
      }
    }
  });

  it("21: type and code select ICMP messages", () => {
    const rule = (code?: number): AppliedRule => ({ ...any, ports: [{ protocol: "ICMP", type: 8, code }] });
    assert.equal(verdict([policy({ ingress: [rule()] })], ping({ code: 3 })), "allow");
    assert.equal(verdict([policy({ ingress: [rule(0)] })], ping({ code: 3 })), "deny");
    assert.equal(verdict([policy({ ingress: [rule()] })], ping({ type: 13 })), "deny");
  });

  it("23: policies of all stacks allow together", () => {
    const other = policy({
      stack: "acme/dev",
      ingress: [{ ...any, ports: [{ protocol: "TCP", port: 22 }] }],
    });
    assert.equal(verdict([policy({ ingress: [web] }), other], https), "allow");
    assert.equal(verdict([policy({ ingress: [web] }), other], { ...https, destinationPort: 22 }), "allow");
    assert.equal(verdict([policy({ ingress: [web] }), other], { ...https, destinationPort: 23 }), "deny");
  });

  it("24: a deny beats every allow", () => {
    const deny: AppliedRule = { name: "z", action: "deny", peers: [{ cidrs: ["192.0.2.0/24"] }] };
    const policies = [policy({ ingress: [any] }), policy({ stack: "z", name: "z", ingress: [deny] })];
    assert.equal(verdict(policies, https), "deny");
  });

  it("25: the first deny, else the first allow, by stack, policy and name decides", () => {
    const rule = (name: string, action: "allow" | "deny") => ({ name, action });
    const policies = [
      policy({ stack: "b", name: "a", ingress: [rule("a", "allow"), rule("B", "allow")] }),
      policy({ stack: "a", name: "b", ingress: [rule("b", "allow")] }),
      policy({ stack: "a", name: "a", ingress: [rule("z", "allow"), rule("c", "allow")] }),
    ];
    const decides = (list: AppliedPolicy[]) => Object.values(evaluate(list, [], https).rule!).join(" ");
    assert.equal(decides(policies), "a a ingress c");
    assert.equal(decides([policies[0]!]), "b a ingress B");
    assert.equal(
      decides([...policies, policy({ stack: "z", ingress: [rule("y", "deny")] })]),
      "z web ingress y",
    );
  });

  it("26: the default names no rule", () => {
    assert.deepEqual(evaluate([policy({ ingress: [] })], [], https), { verdict: "deny", reason: "default" });
  });

  it("27: audit policies change nothing that passes", () => {
    const audit = policy({
      name: "audit",
      mode: "audit",
      ingress: [{ name: "d", action: "deny" }],
      egress: [],
    });
    assert.equal(verdict([audit], https), "allow");
    assert.equal(verdict([audit, policy({ ingress: [web] })], https), "allow");
    const allows = policy({ name: "audit", mode: "audit", ingress: [any] });
    assert.equal(verdict([allows, policy({ ingress: [] })], https), "deny");
  });

  it("28: the audited verdict is that with the audit policies enforced", () => {
    const deny = policy({ name: "audit", mode: "audit", ingress: [{ name: "d", action: "deny" }] });
    assert.deepEqual(evaluate([deny, policy({ ingress: [web] })], [], https).audit, {
      verdict: "deny",
      rule: { stack: "acme/prod", policy: "audit", direction: "ingress", name: "d" },
    });
    assert.deepEqual(evaluate([policy({ mode: "audit", ingress: [] })], [], https).audit, {
      verdict: "deny",
    });
    assert.equal(evaluate([policy({ ingress: [web] })], [], https).audit, undefined);
  });
});
