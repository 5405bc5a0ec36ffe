import assert from "node:assert/strict";
import { problemsOf } from "../../../provider/lifecycle/problems";
import { type PolicyInput, policySchema } from "../../../provider/network-policy/model";

function problems(input: unknown): string[] {
  const result = policySchema.safeParse(input);
  return result.success
    ? []
    : problemsOf(policySchema, result.error.issues).map(({ property, reason }) => `${property}: ${reason}`);
}

describe("network policy inputs", () => {
  it("fill in defaults", () => {
    const input: PolicyInput = { ingress: [{ name: "a", ports: [{ protocol: "TCP", port: 443 }] }] };
    assert.deepEqual(policySchema.parse(input), {
      ingress: [{ name: "a", action: "allow", ports: [{ protocol: "TCP", port: 443 }] }],
      mode: "enforce",
      infrastructure: true,
      established: "recheck",
    });
  });

  it("report every problem at its property, all at once", () => {
    const from = [
      { cidr: "10.0.0.1/8" },
      { cidr: "10.0.0.300/8" },
      { cidr: "10.0.0.0/8", except: ["11.0.0.0/8", "10.0.0.0/7", "2001:db8::/32"] },
      { except: ["10.0.0.0/8"], any: true },
      {},
      { any: true, self: true },
    ];
    const ports = [
      { protocol: "TCP", port: 0 },
      { protocol: "TCP", port: 65536 },
      { protocol: "UDP", port: 90, endPort: 80 },
      { protocol: "UDP", endPort: 80 },
      { protocol: "GRE", port: 1 },
      { protocol: "TCP", type: 1 },
      { protocol: "ICMP", code: 1 },
      { protocol: "ICMP", type: 256 },
      { protocol: 44 },
      { protocol: "TPC" },
    ];
    const found = problems({
      ingress: [{ name: "a", from, ports }, { name: "a" }, { name: "b", form: [] }, { name: 5 }],
    });
    assert.deepEqual(found.sort(), [
      "ingress[0].from[0].cidr: 10.0.0.1/8 has bits set beyond its prefix; write 10.0.0.0/8",
      'ingress[0].from[1].cidr: expected an IPv4 network such as 203.0.113.0/24, got "10.0.0.300/8"',
      "ingress[0].from[2].except[0]: 11.0.0.0/8 is not inside 10.0.0.0/8",
      "ingress[0].from[2].except[1]: 10.0.0.0/7 is not inside 10.0.0.0/8",
      "ingress[0].from[2].except[2]: 2001:db8::/32 is not inside 10.0.0.0/8",
      "ingress[0].from[3].except: needs `cidr`, which it takes networks from",
      "ingress[0].from[4]: expected one of any, cidr, addressSet, self, got none",
      "ingress[0].from[5]: expected one of any, cidr, addressSet, self, got any and self",
      "ingress[0].ports[0].port: expected a whole number from 1 to 65535",
      "ingress[0].ports[1].port: expected a whole number from 1 to 65535",
      "ingress[0].ports[2].endPort: 80 is below port 90",
      "ingress[0].ports[3].endPort: needs `port`, where the range begins",
      "ingress[0].ports[4].port: GRE has no ports; TCP, UDP and SCTP have",
      "ingress[0].ports[5].type: TCP has no types and codes; ICMP and ICMPv6 have",
      "ingress[0].ports[6].code: needs `type`, whose code it is",
      "ingress[0].ports[7].type: expected a whole number from 0 to 255",
      "ingress[0].ports[8].protocol: 44 is an IPv6 extension header: packets are judged by what follows it",
      "ingress[0].ports[9].protocol: expected ICMP, IGMP, IPIP, TCP, UDP, IPV6, GRE, ESP, AH, ICMPv6, OSPF, VRRP, SCTP, " +
        "or a number from 0 to 255",
      'ingress[1].name: "a" is the name of rule 0 already',
      'ingress[2].form: unknown property; did you mean "from"?',
      "ingress[3].name: expected string, received number",
    ]);
  });

  it("22: refuse empty peers and ports, which Kubernetes reads as everything", () => {
    assert.deepEqual(
      problems({ ingress: [{ name: "a", from: [], ports: [] }], egress: [{ name: "a", to: [] }] }).sort(),
      [
        "egress[0].to: an empty list matches nothing; write [{ any: true }] to match every address",
        "ingress[0].from: an empty list matches nothing; write [{ any: true }] to match every address",
        "ingress[0].ports: an empty list matches nothing; leave `ports` out to match every protocol",
      ],
    );
  });

  it("47: refuse rules on types of ICMP errors", () => {
    const ports = [
      { protocol: "ICMP", type: 3 },
      { protocol: "ICMPv6", type: 2, code: 0 },
    ];
    assert.deepEqual(problems({ egress: [{ name: "a", ports }] }), [
      "egress[0].ports[0].type: ICMP 3 is an error: it is judged by the packet that it quotes",
      "egress[0].ports[1].type: ICMPv6 2 is an error: it is judged by the packet that it quotes",
    ]);
  });
});
