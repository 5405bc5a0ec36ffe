import assert from "node:assert/strict";
import { disagreements } from "../../../provider/network-policy/applied";
import { evaluate } from "../../../provider/network-policy/evaluate";
import type { Packet } from "../../../provider/network-policy/packet";
import { after, answer, any, https, policy, verdict, web } from "./judging";

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
