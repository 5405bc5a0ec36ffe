/** Policies and sets by the agent's verbs: what they judge, what they show, and that they leave nothing. */
import assert from "node:assert/strict";
import { interfaceIndex, queryTcx } from "../../../../provider/bpf";
import { closesEverything } from "../../bpf/support";
import { TestHost } from "../support";
import { type Delivery, type Wish, PolicyNetwork, policySpec } from "./support";

const tcp = (port: number) => [{ protocol: "TCP" as const, port }];

describe("network policies on a host", function () {
  this.timeout(60_000);
  closesEverything();
  let host: TestHost;
  let network: PolicyNetwork;

  beforeEach(() => {
    host = new TestHost();
    network = new PolicyNetwork();
  });
  afterEach(async () => {
    for (const { id, incarnation } of await host.agent.call("list", {}))
      await host.agent.call("remove", { id, incarnation });
    host.assertEmpty();
    assert.deepEqual(attached(), [[], []], "programs on the interface");
    await host.remove();
    network.remove();
  });

  const attached = (name = "veth0") =>
    network.inside(() =>
      (["ingress", "egress"] as const).map((direction) =>
        queryTcx(interfaceIndex(name), direction).programs.map(({ programId }) => programId),
      ),
    );
  const policy = (name: string, wish: Wish, stack?: string) =>
    policySpec(name, { netns: network.name, ...wish }, stack);
  const apply = ({ spec, blobs }: Delivery) => host.agent.deliver(spec, blobs);

  it("judges an interface, tells of it, and leaves nothing", async () => {
    const web = policy("web", { ingress: [{ name: "https", ports: tcp(443) }] });
    const status = await apply(web);
    assert.deepEqual(status.drift, []);
    const [judged] = status.policy!.interfaces;
    assert.deepEqual(
      { ...judged, ifindex: 0 },
      {
        ...{ name: "veth0", netns: `/run/netns/${network.name}`, ifindex: 0 },
        ...{ ingress: "tcx", egress: "tcx", policies: [web.spec.id] },
      },
    );
    assert.ok(network.enters(443));
    assert.ok(network.enters(443, { ipv6: true }));
    assert.ok(!network.enters(80));
    assert.ok(!network.enters(80, { ipv6: true }));
    assert.ok(network.leaves(80), "egress is not named, and replies pass");
    assert.deepEqual(
      (await host.agent.call("list", {})).map(({ id }) => id),
      [web.spec.id],
    );
  });
});
