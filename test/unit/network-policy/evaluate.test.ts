import assert from "node:assert/strict";
import type { AppliedPolicy, AppliedRule } from "../../../provider/network-policy/applied";
import { applyPolicy, disagreements } from "../../../provider/network-policy/applied";
import { track } from "../../../provider/network-policy/connections";
import { evaluate } from "../../../provider/network-policy/evaluate";
import { type PolicyInput, policySchema } from "../../../provider/network-policy/model";
import type { Frame, Packet, Tracked } from "../../../provider/network-policy/packet";

const https: Packet = {
  ...{ direction: "ingress", source: "192.0.2.9", destination: "198.51.100.1" },
  ...{ protocol: "TCP", sourcePort: 50000, destinationPort: 443 },
};
const answer: Packet = {
  ...{ direction: "egress", source: "198.51.100.1", destination: "192.0.2.9" },
  ...{ protocol: "TCP", sourcePort: 443, destinationPort: 50000 },
};
const any: AppliedRule = { name: "any", action: "allow" };
const web: AppliedRule = { name: "https", action: "allow", ports: [{ protocol: "TCP", port: 443 }] };

function policy(parts: Partial<AppliedPolicy>): AppliedPolicy {
  return {
    stack: "acme/prod",
    name: "web",
    mode: "enforce",
    infrastructure: true,
    established: "recheck",
    ...parts,
  };
}

function verdict(policies: AppliedPolicy[], packet: Packet | Frame, tracked: Tracked[] = []) {
  return evaluate(policies, tracked, packet).verdict;
}

/** What is known after packets that all must pass. */
function after(policies: AppliedPolicy[], ...packets: Packet[]): Tracked[] {
  return packets.reduce<Tracked[]>((tracked, packet) => {
    const evaluation = evaluate(policies, tracked, packet);
    assert.equal(evaluation.verdict, "allow");
    return track(tracked, evaluation);
  }, []);
}

/** As a user writes it. */
function written(
  input: PolicyInput,
  sets: Record<string, string[]> = {},
  self: string[] = [],
): AppliedPolicy {
  const applied = applyPolicy({ stack: "acme/prod", name: "web" }, policySchema.parse(input), {
    sets: new Map(Object.entries(sets)),
    self,
  });
  assert.ok("policy" in applied);
  return applied.policy;
}

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

function ping(parts: Partial<Packet> = {}): Packet {
  const { source, destination } = https;
  return {
    direction: "ingress",
    source,
    destination,
    protocol: "ICMP",
    type: 8,
    code: 0,
    identifier: 7,
    ...parts,
  };
}

function reply(parts: Partial<Packet> = {}): Packet {
  const { source, destination } = answer;
  return {
    direction: "egress",
    source,
    destination,
    protocol: "ICMP",
    type: 0,
    code: 0,
    identifier: 7,
    ...parts,
  };
}

describe("network policy connections", () => {
  const served = policy({
    ingress: [web, { ...any, name: "ping", ports: [{ protocol: "ICMP" }] }],
    egress: [],
  });
  const open = after([served], { ...https, tcpFlags: ["SYN"] });

  it("29: a packet that passes opens a connection of addresses, protocol and ports", () => {
    assert.equal(verdict([served], answer, open), "allow");
    assert.equal(verdict([served], { ...answer, destinationPort: 50001 }, open), "deny");
    assert.equal(verdict([served], { ...answer, protocol: "UDP" }, open), "deny");
    const all = policy({ ingress: [any], egress: [] });
    for (const protocol of ["TCP", "UDP", "SCTP"] as const) {
      const known = after([all], { ...https, protocol });
      assert.equal(verdict([all], { ...answer, protocol }, known), "allow");
      assert.equal(verdict([all], { ...answer, protocol, sourcePort: 444 }, known), "deny");
    }
    const { direction, source, destination } = https;
    const known = after([all], { direction, source, destination, protocol: "GRE" });
    const back: Packet = { direction: "egress", source: destination, destination: source, protocol: "GRE" };
    assert.equal(verdict([all], back, known), "allow");
    assert.equal(verdict([all], { ...back, protocol: "ESP" }, known), "deny");
    assert.equal(verdict([all], { ...back, destination: "192.0.2.10" }, known), "deny");
  });

  it("30: replies pass whatever the rules of their direction say", () => {
    const denies = policy({ ingress: [web], egress: [{ name: "d", action: "deny" }] });
    assert.equal(verdict([denies], answer, after([denies], https)), "allow");
    assert.equal(verdict([denies], answer), "deny");
  });

  it("31: a SYN without ACK is no reply", () => {
    assert.equal(verdict([served], { ...answer, tcpFlags: ["SYN"] }, open), "deny");
    assert.equal(verdict([served], { ...answer, tcpFlags: ["SYN", "ACK"] }, open), "allow");
  });

  it("32: ICMP requests open connections for the matching reply", () => {
    const pinged = after([served], ping());
    assert.equal(verdict([served], reply(), pinged), "allow");
    assert.equal(verdict([served], reply({ identifier: 8 }), pinged), "deny");
    assert.equal(verdict([served], reply({ type: 14 }), pinged), "deny");
    assert.equal(verdict([served], reply({ type: 8 }), pinged), "deny");
    assert.deepEqual(after([served], ping({ type: 9 })), []);
    const stamped = after([served], ping({ type: 13 }));
    assert.equal(verdict([served], reply({ type: 14 }), stamped), "allow");
    assert.equal(verdict([served], reply(), stamped), "deny");
    const ipv6 = { source: "2001:db8::9", destination: "2001:db8::1", protocol: "ICMPv6" } as const;
    const all = policy({ ingress: [any], egress: [] });
    const pinged6 = after([all], ping({ ...ipv6, type: 128 }));
    const reply6 = { ...ipv6, source: ipv6.destination, destination: ipv6.source, type: 129 };
    assert.equal(verdict([all], reply(reply6), pinged6), "allow");
    assert.equal(verdict([all], reply({ ...reply6, identifier: 8 }), pinged6), "deny");
  });

  it("33: a dropped packet opens nothing", () => {
    assert.equal(evaluate([policy({ ingress: [] })], [], https).opens, undefined);
  });

  it("34: a segment in the midst is judged as a SYN, and RST opens nothing", () => {
    assert.equal(after([served], { ...https, tcpFlags: ["ACK"] }).length, 1);
    assert.equal(verdict([served], { ...answer, tcpFlags: ["ACK"] }), "deny");
    assert.equal(after([served], { ...https, tcpFlags: ["RST"] }).length, 0);
  });

  it("35: with recheck a connection ends when its opening packet is denied", () => {
    const changed = policy({ ingress: [], egress: [] });
    const evaluation = evaluate([changed], open, answer);
    assert.equal(evaluation.verdict, "deny");
    assert.deepEqual(track(open, evaluation), []);
  });

  it("36: with keep an answered connection lives on, and no other", () => {
    const changed = policy({ ingress: [], egress: [], established: "keep" });
    assert.equal(verdict([changed], answer, open), "deny");
    assert.equal(verdict([changed], answer, after([served], https, answer)), "allow");
  });

  it("55: with ignore replies and errors are judged by the rules of their own direction", () => {
    const ignoring = policy({ ingress: [web], egress: [], established: "ignore" });
    assert.deepEqual(after([ignoring], https), []);
    assert.equal(verdict([ignoring], answer, open), "deny");
    assert.equal(verdict([{ ...ignoring, egress: [any] }], answer), "allow");
    // what it quotes would be allowed in if it were sent, and is known; yet nothing of that is asked on the way out
    const error: Packet = {
      ...{ direction: "egress", source: answer.source, destination: answer.destination },
      ...{ protocol: "ICMP", type: 3, code: 1, quotes: https },
    };
    assert.equal(verdict([ignoring], error, open), "deny");
    assert.equal(verdict([served], error, open), "allow");
  });

  it("55: an audit policy has no say in it", () => {
    const audited = policy({ name: "trial", ingress: [], established: "ignore", mode: "audit" });
    assert.equal(verdict([served, audited], answer, after([served, audited], https)), "allow");
  });

  it("38: being allowed in does not let a packet out of another interface", () => {
    assert.equal(verdict([served], { ...https, direction: "egress" }, open), "deny");
  });
});

describe("network policy fragments, errors, exemptions", () => {
  const served = policy({ ingress: [web], egress: [] });
  const first: Packet = { ...https, fragment: { id: 9, position: "first" } };
  const { direction, source, destination } = https;
  const later: Packet = {
    direction,
    source,
    destination,
    protocol: "TCP",
    fragment: { id: 9, position: "later" },
  };

  it("41: a first fragment is judged as its packet", () => {
    assert.equal(verdict([served], first), "allow");
    assert.equal(verdict([served], { ...first, destinationPort: 80 }), "deny");
  });

  it("42: later fragments follow a first that passed", () => {
    assert.equal(verdict([served], later, after([served], first)), "allow");
    assert.equal(
      verdict([served], { ...later, fragment: { id: 8, position: "later" } }, after([served], first)),
      "deny",
    );
  });

  it("43: a later fragment is judged where ports do not matter", () => {
    const whole = {
      ...any,
      ports: [{ protocol: "TCP" as const, port: 1, endPort: 65535 }, { protocol: "TCP" as const }],
    };
    assert.equal(evaluate([policy({ ingress: [whole] })], [], later).reason, "rule");
    assert.equal(evaluate([policy({ ingress: [] })], [], later).reason, "default");
    const denied = policy({
      ingress: [web, { name: "d", action: "deny", peers: [{ cidrs: ["192.0.2.0/24"] }] }],
    });
    assert.equal(evaluate([denied], [], later).rule?.name, "d");
  });

  it("44: otherwise it is dropped", () => {
    assert.deepEqual(evaluate([served], [], later), { verdict: "deny", reason: "fragment-unknown" });
  });

  const { direction: _, ...quotes } = answer;
  const error: Packet = {
    direction,
    source: "203.0.113.1",
    destination,
    protocol: "ICMP",
    type: 3,
    code: 4,
    quotes,
  };

  it("45: an ICMP error is judged by what it quotes, reversed", () => {
    const ours = policy({ ingress: [{ ...any, ports: [{ protocol: "ICMP" }] }] });
    assert.equal(verdict([ours], error), "deny");
    assert.equal(verdict([served], error), "allow");
    const client = policy({ ingress: [], egress: [any] });
    const outgoing: Packet = { ...answer, sourcePort: 50000, destinationPort: 443 };
    const about = { ...error, quotes: { ...quotes, sourcePort: 50000, destinationPort: 443 } };
    assert.equal(verdict([client], about), "deny");
    assert.equal(verdict([client], about, after([client], outgoing)), "allow");
  });

  it("46: an error that quotes too little is dropped", () => {
    assert.equal(verdict([policy({ ingress: [any] })], { ...error, quotes: "truncated" }), "deny");
  });

  const closed = policy({ ingress: [], egress: [] });
  const udp = (
    direction: Packet["direction"],
    sourcePort: number,
    destinationPort: number,
    ipv6 = false,
  ): Packet => ({
    ...(ipv6
      ? { source: "fe80::1", destination: "fe80::2" }
      : { source: "0.0.0.0", destination: "255.255.255.255" }),
    ...{ direction, protocol: "UDP", sourcePort, destinationPort },
  });
  const discovery = (type: number): Packet => ({
    ...{ direction: "ingress", source: "fe80::1", destination: "ff02::1", protocol: "ICMPv6", type, code: 0 },
  });

  it("48: ARP, IGMP, neighbour discovery and multicast listeners pass", () => {
    assert.equal(verdict([closed], { direction: "ingress", frame: "arp" }), "allow");
    assert.equal(verdict([closed], { direction, source, destination, protocol: "IGMP" }), "allow");
    for (const type of [130, 131, 132, 133, 134, 135, 136, 137, 143]) {
      assert.equal(verdict([closed], discovery(type)), "allow");
    }
    for (const type of [128, 129, 138, 142, 144]) assert.equal(verdict([closed], discovery(type)), "deny");
  });

  it("49: the DHCP client passes, and no server", () => {
    for (const [client, server, ipv6] of [
      [68, 67, false],
      [546, 547, true],
    ] as const) {
      assert.equal(verdict([closed], udp("egress", client, server, ipv6)), "allow");
      assert.equal(verdict([closed], udp("ingress", server, client, ipv6)), "allow");
      assert.equal(verdict([closed], udp("ingress", client, server, ipv6)), "deny");
      assert.equal(verdict([closed], udp("egress", server, client, !ipv6)), "deny");
    }
  });

  it("50: infrastructure: false of any enforced policy ends that", () => {
    const strict = policy({ name: "strict", infrastructure: false });
    assert.equal(verdict([closed, strict], { direction: "ingress", frame: "arp" }), "deny");
    assert.equal(verdict([closed, strict], discovery(135)), "deny");
    for (const packet of [udp("egress", 68, 67), udp("ingress", 547, 546, true)]) {
      assert.equal(verdict([closed], packet), "allow");
      assert.equal(verdict([closed, strict], packet), "deny");
    }
    assert.equal(verdict([closed, strict], { direction, source, destination, protocol: "IGMP" }), "deny");
    assert.equal(verdict([closed, { ...strict, mode: "audit" }], discovery(135)), "allow");
  });

  it("51: fragments are never exempt", () => {
    for (const packet of [discovery(135), udp("egress", 68, 67)]) {
      assert.equal(verdict([closed], { ...packet, fragment: { id: 1, position: "first" } }), "deny");
    }
  });

  it("52: policies that disagree on established are named", () => {
    const other = policy({ stack: "acme/dev", name: "db", established: "keep" });
    assert.deepEqual(disagreements([closed, other]), [
      {
        property: "established",
        reason: '"keep" of acme/dev db contradicts "recheck" of acme/prod web on this interface',
      },
    ]);
    assert.deepEqual(disagreements([closed, { ...other, mode: "audit" }]), []);
  });
});
