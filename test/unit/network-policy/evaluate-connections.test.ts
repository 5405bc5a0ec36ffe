import assert from "node:assert/strict";
import { track } from "../../../provider/network-policy/connections";
import { evaluate } from "../../../provider/network-policy/evaluate";
import type { Packet } from "../../../provider/network-policy/packet";
import { after, answer, any, https, ping, policy, reply, verdict, web } from "./judging";

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
