import assert from "node:assert/strict";
import {
  evaluate,
  type Packet,
  type PolicyInput,
  policy,
  track,
} from "../../../sdk/nodejs/policy-evaluation";

describe("pulumi-ebpf/network-policy", () => {
  const rules: PolicyInput = {
    ingress: [
      { name: "https", ports: [{ protocol: "TCP", port: 443 }] },
      { name: "ssh", from: [{ addressSet: "offices" }], ports: [{ protocol: "TCP", port: 22 }] },
    ],
  };
  const sets = { offices: ["198.51.100.0/24"] };
  const packet = (source: string, destinationPort: number): Packet => ({
    ...{ direction: "ingress", source, destination: "203.0.113.1", protocol: "TCP" },
    ...{ sourcePort: 40000, destinationPort, tcpFlags: ["SYN"] },
  });

  it("says what a policy does to a packet, and by which rule", () => {
    const web = policy("web", rules, { sets });
    const rule = { stack: "project/stack", policy: "web", direction: "ingress", name: "ssh" };
    const allowed = evaluate([web], [], packet("198.51.100.7", 22));
    assert.deepEqual([allowed.verdict, allowed.rule], ["allow", rule]);
    assert.deepEqual(evaluate([web], [], packet("192.0.2.9", 22)), { verdict: "deny", reason: "default" });
  });

  it("lets replies pass by what is known of earlier packets", () => {
    const web = policy("web", { ...rules, egress: [] }, { sets });
    const known = track([], evaluate([web], [], packet("192.0.2.9", 443)));
    const reply: Packet = {
      ...{ direction: "egress", source: "203.0.113.1", destination: "192.0.2.9", protocol: "TCP" },
      ...{ sourcePort: 443, destinationPort: 40000, tcpFlags: ["SYN", "ACK"] },
    };
    assert.equal(evaluate([web], known, reply).verdict, "allow");
    assert.equal(evaluate([web], [], reply).verdict, "deny");
  });

  it("refuses a wrong policy with every problem in its message", () => {
    const wrong = { ingress: [{ name: "a", from: [{ cidr: "10.0.0.1/8" }] }, { name: "a" }] };
    assert.throws(() => policy("web", wrong), {
      message:
        'read policy "web"\n' +
        "  ingress[0].from[0].cidr: 10.0.0.1/8 has bits set beyond its prefix; write 10.0.0.0/8\n" +
        '  ingress[1].name: "a" is the name of rule 0 already',
    });
    assert.throws(
      () => policy("web", rules),
      /ingress\[1\]\.from\[0\]\.addressSet: there is no address set "offices"/,
    );
  });
});
