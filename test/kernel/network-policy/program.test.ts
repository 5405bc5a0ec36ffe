import assert from "node:assert/strict";
import { interfaceIndex, LinkHandle } from "../../../provider/bpf";
import type { AppliedPolicy, AppliedRule } from "../../../provider/network-policy/applied";
import { compile } from "../../support/compiled-union";
import { prepare } from "../../../provider/network-policy/evaluate";
import { manyNetworks, packetsAmong } from "../../support/many-networks";
import type { Packet } from "../../../provider/network-policy/packet";
import { closesEverything, ip, pings, PrivateNetwork } from "../bpf/support";
import { ethernet, frameOf, type Wire } from "../../../provider/network-policy/frames";
import { counterIndexes } from "../../../provider/network-policy/cells";
import { DataPlane, u32 } from "../../support/data-plane";
import { policy, web } from "../../unit/network-policy/judging";

const https: Packet = {
  ...{ direction: "ingress", source: "192.0.2.9", destination: "198.51.100.1" },
  ...{ protocol: "TCP", sourcePort: 50000, destinationPort: 443 },
};
const https6: Packet = { ...https, source: "2001:db8::9", destination: "2001:db8::1" };
const answer: Packet = {
  ...{ direction: "egress", source: "198.51.100.1", destination: "192.0.2.9" },
  ...{ protocol: "TCP", sourcePort: 443, destinationPort: 50000, tcpFlags: ["SYN", "ACK"] },
};
const VLAN = { protocol: 0x8100, id: 5 } as const;
const QINQ = { protocol: 0x88a8, id: 6 } as const;

let number = 1000n;

/** A program with these policies in force. */
function plane(policies: AppliedPolicy[], ...options: ConstructorParameters<typeof DataPlane>): DataPlane {
  const made = new DataPlane(...options);
  made.install(compile(policies, { number: ++number }));
  return made;
}

describe("the network policy program", function () {
  this.timeout(30_000);
  closesEverything();

  const served = policy({ ingress: [web], egress: [] });
  const judge = (on: DataPlane, packet: Packet, wire?: Wire) =>
    on.judge(packet.direction, frameOf(packet, wire)).verdict;

  it("5, 6: judges behind two VLAN tags and drops more", () => {
    using program = plane([served]);
    for (const vlans of [[], [VLAN], [QINQ, VLAN]]) {
      for (const packet of [https, https6]) {
        assert.equal(judge(program, packet, { vlans }), "allow");
        assert.equal(judge(program, { ...packet, destinationPort: 80 }, { vlans }), "deny");
      }
    }
    assert.equal(program.judge("ingress", frameOf(https, { vlans: [QINQ, VLAN, VLAN] })).reason, "malformed");
  });

  it("7: passes frames that are no IP", () => {
    using program = plane([policy({ ingress: [], infrastructure: false })]);
    assert.equal(
      program.judge("ingress", frameOf({ direction: "ingress", frame: "other" })).verdict,
      "allow",
    );
    assert.equal(program.judge("ingress", frameOf({ direction: "ingress", frame: "arp" })).verdict, "deny");
  });

  it("8: drops what is cut anywhere in its headers, and what contradicts itself", () => {
    using program = plane([policy({ ingress: [{ name: "any", action: "allow" }] })]);
    for (const packet of [https, https6]) {
      const whole = frameOf(packet);
      // at tc the kernel refuses to test-run what holds no whole IP header
      for (let length = 15; length < whole.length - 6; length++) {
        assert.equal(
          program.judge("ingress", whole.subarray(0, length), "judge_xdp").reason,
          "malformed",
          String(length),
        );
      }
      const wrong = Buffer.from(whole);
      wrong.writeUInt8(0x55, 14);
      assert.equal(program.judge("ingress", wrong).reason, "malformed");
    }
  });

  it("9: skips options and up to eight extension headers", () => {
    using program = plane([served]);
    for (const options of [4, 20, 40]) {
      assert.equal(judge(program, https, { options }), "allow");
      assert.equal(judge(program, { ...https, destinationPort: 80 }, { options }), "deny");
    }
    const extensions = [0, 60, 43, 60, 60, 60, 60, 60];
    assert.equal(judge(program, https6, { extensions }), "allow");
    assert.equal(judge(program, { ...https6, destinationPort: 80 }, { extensions }), "deny");
    assert.equal(
      program.judge("ingress", frameOf(https6, { extensions: [...extensions, 60] })).reason,
      "malformed",
    );
    for (const protocol of ["AH", "ESP"] as const) {
      using named = plane([policy({ ingress: [{ name: "a", action: "allow", ports: [{ protocol }] }] })]);
      const { direction, source, destination } = https6;
      const packet: Packet = { direction, source, destination, protocol };
      assert.equal(judge(named, packet, { extensions: [60] }), "allow");
      assert.equal(judge(named, { ...packet, protocol: protocol === "AH" ? "ESP" : "AH" }), "deny");
    }
  });

  it("4, 10: sees what an interface sends and receives, and nothing of the host with itself", () => {
    const network = new PrivateNetwork();
    using program = plane([policy({ ingress: [] })]);
    try {
      network.inside(() => {
        ip("address", "add", "10.99.0.1/24", "dev", "veth0");
        ip(
          "neighbour",
          "add",
          "10.99.0.2",
          "lladdr",
          "02:00:00:00:00:02",
          "dev",
          "veth0",
          "nud",
          "permanent",
        );
        const links = [
          LinkHandle.create(program.program("judge_egress"), {
            ...{ type: "tcx", ifindex: interfaceIndex("veth0"), direction: "egress" },
          }),
          LinkHandle.create(program.program("judge_ingress"), {
            ...{ type: "tcx", ifindex: interfaceIndex("veth1"), direction: "ingress" },
          }),
        ];
        try {
          assert.ok(pings("10.99.0.1"), "its own address");
          assert.equal(
            program.total("unnamed", "egress", "allow") + program.total("default", "ingress", "deny"),
            0n,
          );
          pings("10.99.0.2");
          assert.equal(program.total("unnamed", "egress", "allow"), 1n);
          assert.equal(program.total("default", "ingress", "deny"), 1n);
        } finally {
          for (const link of links) link.close();
        }
      });
    } finally {
      network.remove();
    }
  });

  it("37: knows connections of the namespace, whichever load opened them", () => {
    using first = plane([served], { policy_id: 1 });
    const shared = { half_open: first.map("half_open"), established: first.map("established") };
    using second = plane([policy({ ingress: [], egress: [] })], { policy_id: 2 }, { shared });
    assert.equal(judge(second, answer), "deny");
    assert.equal(judge(first, https), "allow");
    assert.equal(judge(second, answer), "allow");
    // another interface's rules are asked about packets of the original direction
    assert.equal(judge(second, https), "deny");
  });

  it("40: keeps answered connections while unanswered ones flood the table", () => {
    using program = plane([served], {}, { flows: 512 });
    judge(program, https);
    assert.equal(judge(program, answer), "allow");
    for (let port = 1; port <= 4000; port++) judge(program, { ...https, sourcePort: port });
    assert.equal(program.flows("established"), 1);
    assert.equal(judge(program, answer), "allow");
  });

  it("44: counts the later fragments that it drops for want of a first", () => {
    using program = plane([served]);
    const { direction, source, destination } = https;
    for (const id of [1, 2, 3]) {
      const later: Packet = {
        ...{ direction, source, destination, protocol: "TCP" },
        fragment: { id, position: "later" },
      };
      assert.equal(program.judge(direction, frameOf(later)).reason, "fragment-unknown");
    }
    assert.equal(program.total("fragment-unknown", "ingress", "deny"), 3n);
  });

  it("46: drops an ICMP error that quotes a later fragment, or too little", () => {
    using program = plane([policy({ ingress: [{ name: "any", action: "allow" }] })]);
    const { direction: _, ...quotes } = answer;
    const error: Packet = {
      ...{ direction: "ingress", source: "203.0.113.9", destination: "198.51.100.1" },
      ...{ protocol: "ICMP", type: 3, code: 4, quotes },
    };
    const whole = frameOf(error);
    assert.equal(program.judge("ingress", whole).verdict, "allow");
    assert.equal(
      judge(program, error, { quotedBytes: 28 }),
      "allow",
      "64 bits of what the IP header carries",
    );
    for (const quotedBytes of [0, 8, 19, 20, 23])
      assert.equal(
        program.judge("ingress", frameOf(error, { quotedBytes })).reason,
        "malformed",
        String(quotedBytes),
      );
    const quoted = 14 + 20 + 8;
    const later = Buffer.from(whole);
    later.writeUInt16BE(185, quoted + 6);
    assert.equal(program.judge("ingress", later).reason, "malformed");
  });

  it("33: keeps nothing of packets that it drops", () => {
    using program = plane([served]);
    for (let port = 1; port <= 50; port++) judge(program, { ...https, destinationPort: port });
    assert.equal(program.flows("half_open") + program.flows("established"), 0);
  });

  it("counts each rule's packets in its slot", () => {
    using program = new DataPlane();
    const generation = compile([served], { number: ++number });
    program.install(generation);
    for (let i = 0; i < 5; i++) judge(program, https);
    judge(program, answer);
    assert.equal(program.hits(generation.rules[0]!.slot), 6n);
  });

  for (const shared of [0, 1]) {
    it(`counts in a shard of ${shared === 0 ? "one CPU" : "several CPUs"}, among ten thousand rules`, () => {
      const ports = (index: number): AppliedRule["ports"] => [{ protocol: "TCP", port: 1 + index }];
      const rules = Array.from({ length: 10_000 }, (_, index): AppliedRule => ({
        ...{ name: `port ${index}`, action: "deny", ports: ports(index) },
      }));
      const generation = compile([policy({ ingress: rules })], { number: ++number });
      using program = new DataPlane({ counter_shards: 8, shards_shared: shared }, { rules: 10_240 });
      program.install(generation);
      for (const destinationPort of [1, 300, 300, 9999]) {
        assert.equal(judge(program, { ...https, destinationPort }), "deny");
      }
      const counted = (port: number) => {
        const { slot } = generation.rules.find(({ id }) => id.name === `port ${port - 1}`)!;
        const values = counterIndexes(slot, 8).map((at) => program.map("rule_shards").lookup(u32(at))!);
        const sum = (offset: number) =>
          values.reduce((total, value) => total + Number(value.readBigUInt64LE(offset)), 0);
        return { packets: sum(0), bytes: sum(8) };
      };
      const bytes = frameOf(https).length;
      assert.deepEqual(
        [1, 2, 300, 9999].map(counted),
        [1, 0, 2, 1].map((packets) => ({ packets, bytes: packets * bytes })),
      );
    });
  }

  it("judges the same at XDP, and passes or drops there", () => {
    using program = plane([served]);
    assert.equal(program.judge("ingress", frameOf(https), "judge_xdp").returnValue, 2);
    assert.equal(
      program.judge("ingress", frameOf({ ...https, destinationPort: 80 }), "judge_xdp").returnValue,
      1,
    );
  });

  it("judges among thousands of IPv6 networks that begin alike", () => {
    const policies = [manyNetworks(4000)];
    using program = plane(policies, { untracked: 1 });
    const evaluated = prepare(policies);
    const verdicts = packetsAmong(4000, 500).map((packet) => {
      const verdict = judge(program, packet);
      assert.equal(verdict, evaluated([], packet).verdict, JSON.stringify(packet));
      return verdict;
    });
    assert.deepEqual(new Set(verdicts), new Set(["allow", "deny"]));
  });

  it("leaves the last word to others at tc", () => {
    using program = plane([served]);
    assert.equal(program.judge("ingress", frameOf(https)).returnValue, 0xffffffff);
    assert.equal(program.judge("ingress", frameOf({ ...https, destinationPort: 80 })).returnValue, 2);
  });

  it("judges by the previous generation once the deadline has passed, and not when confirmed", () => {
    using program = new DataPlane();
    program.fill(0, compile([served], { number: ++number }));
    program.fill(1, compile([policy({ ingress: [] })], { number: ++number }));
    const [current, pending] = [1, 4];
    const syn = { ...https, tcpFlags: ["SYN"] } as const;
    program.select(current | pending, 2n ** 63n);
    assert.equal(judge(program, syn), "deny");
    program.select(current | pending, 1n);
    assert.equal(judge(program, syn), "allow");
    program.select(current, 1n);
    assert.equal(judge(program, syn), "deny");
  });

  it("drops everything when it has no generation", () => {
    using program = new DataPlane();
    assert.equal(program.judge("ingress", ethernet(0x88cc, Buffer.alloc(46))).reason, "broken");
  });
});
