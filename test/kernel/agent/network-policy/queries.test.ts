/** What a host tells of its policies: rules with hits, connections with the rule that decided, and why. */
import assert from "node:assert/strict";
import type { Packet } from "../../../../provider/network-policy";
import { closesEverything } from "../../bpf/support";
import { PolicyHost, tcp } from "./support";

describe("questions about network policies", function () {
  this.timeout(60_000);
  let at: PolicyHost;

  beforeEach(() => {
    at = new PolicyHost();
  });
  afterEach(() => at.end());
  // what a session keeps is given back when it ends
  closesEverything();

  const packet = (destinationPort: number): Packet => ({
    ...{ direction: "ingress", source: "10.98.0.2", destination: "10.98.0.1", protocol: "TCP" },
    ...{ sourcePort: 40000, destinationPort, tcpFlags: ["SYN"] },
  });
  const stack = "demo/test";

  it("shows rules with the packets that they decided, the most used first, and why packets were dropped", async () => {
    const web = at.policy("web", {
      ingress: [
        { name: "http", ports: tcp(80) },
        { name: "https", ports: tcp(443) },
      ],
    });
    await at.apply(web);
    at.network.knocks(443);
    at.network.knocks(22);
    const [plane, ...others] = await at.agent.call("policy.show", { limit: 10 });
    assert.deepEqual(others, []);
    assert.deepEqual(
      plane!.rules.map(({ rule }) => rule.name),
      ["https", "http"],
    );
    assert.deepEqual(
      plane!.rules.map(({ packets }) => Number(packets)).sort(),
      at
        .hits()
        .filter((hits, slot) => hits > 0 || slot < 2)
        .sort(),
      "as bpftool counts",
    );
    assert.equal(plane!.rules[1]!.packets, "0");
    const dropped = plane!.totals.find(({ verdict, reason }) => verdict === "deny" && reason === "default");
    assert.ok(Number(dropped!.packets) >= 1);
    assert.deepEqual([plane!.interfaces, plane!.ruleCount], [["veth0"], 2]);
  });

  it("shows connections with both ends, packets of each side, and the rule", async () => {
    await at.apply(at.policy("web", { ingress: [{ name: "https", ports: tcp(443) }] }));
    assert.ok(at.network.enters(443));
    const { flows, more } = await at.agent.call("policy.flows", { netns: at.network.name, limit: 10 });
    assert.equal(more, false);
    const flow = flows.find(({ destinationPort }) => destinationPort === 443)!;
    assert.deepEqual([flow.source, flow.destination, flow.protocol], ["10.98.0.2", "10.98.0.1", 6]);
    assert.equal(flow.original.packets, "1");
    assert.deepEqual(flow.judged, [
      {
        direction: "ingress",
        again: false,
        rule: { stack, policy: "web", direction: "ingress", name: "https" },
      },
    ]);
  });

  it("explains a packet by the rules that judge, and moves neither counters nor connections", async () => {
    await at.apply(
      at.policy("web", {
        ingress: [
          { name: "https", ports: tcp(443) },
          { name: "no telnet", action: "deny", ports: tcp(23) },
        ],
      }),
    );
    const on = { interface: "veth0", netns: at.network.name };
    const before = at.hits();
    const answers = await Promise.all(
      [443, 23, 80].map((port) => at.agent.call("policy.explain", { ...on, packet: packet(port) })),
    );
    assert.deepEqual(
      answers.map(({ verdict, reason, rule }) => [verdict, reason, rule?.name]),
      [
        ["allow", "rule", "https"],
        ["deny", "rule", "no telnet"],
        ["deny", "default", undefined],
      ],
    );
    assert.deepEqual(at.hits(), before);
    assert.deepEqual((await at.agent.call("policy.flows", { netns: at.network.name, limit: 10 })).flows, []);
    await assert.rejects(at.agent.call("policy.explain", { interface: "eth9", packet: packet(80) }), {
      code: "not-found",
    });
  });
});
