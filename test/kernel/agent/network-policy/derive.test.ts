/** Which interfaces share a plane, and what cannot be judged together; on interfaces that this kernel need not have. */
import assert from "node:assert/strict";
import type { NetworkInterface } from "../../../../provider/bpf";
import { deriveWithin } from "../../../../provider/agent/network-policy/derive";
import { matching, type Namespace } from "../../../../provider/agent/network-policy/interfaces";
import type { PolicyPart } from "../../../../provider/protocol/policy";
import { policySpec, type Wish } from "./support";

const ETHER = 1;
const TUNNEL = 768;

function device(name: string, ifindex: number, rest: Partial<NetworkInterface> = {}): NetworkInterface {
  return { name, ifindex, hardwareType: ETHER, ...rest };
}

const namespace: Namespace = {
  interfaces: [
    device("lo", 1, { hardwareType: 772 }),
    device("eth0", 2),
    device("eth1", 3),
    device("eth0.5", 4, { vlanParent: 2 }),
    device("qinq", 6, { vlanParent: 4 }),
    device("wg0", 5, { hardwareType: TUNNEL }),
  ],
  defaultRoutes: [2],
  self: [],
};

function derive(wishes: Record<string, Wish>) {
  const policies = new Map<string, PolicyPart>(
    Object.entries(wishes).map(([name, wish]) => [name, policySpec(name, wish).spec.policy!]),
  );
  const { planes, conflicts } = deriveWithin(namespace, [...policies.keys()].sort(), {
    policies,
    sets: new Map(),
  });
  return {
    planes: planes.map(({ interfaces, policies: ids }) => `${interfaces.join()}: ${ids.join()}`),
    conflicts: conflicts.map(({ error, policies: ids }) => [error.message, ids] as const),
  };
}

describe("planes that follow from policies", () => {
  it("interfaces of the same policies share one, those without an Ethernet header apart", () => {
    const { planes, conflicts } = derive({
      a: { interfaces: ["eth?", "wg0"], ingress: [] },
      b: { interfaces: ["eth1"], ingress: [] },
    });
    assert.deepEqual(planes, ["eth0: a", "eth1: a,b", "wg0: a"]);
    assert.deepEqual(conflicts, []);
  });

  it("selects by name, glob and default route; loopback by its name only", () => {
    const names = (selector: string) => matching(selector, namespace).map(({ name }) => name);
    assert.deepEqual(names("eth*"), ["eth0", "eth1", "eth0.5"]);
    assert.deepEqual(names("eth?"), ["eth0", "eth1"]);
    assert.deepEqual(names("eth0.5"), ["eth0.5"]);
    assert.deepEqual(names("e.h0"), []);
    assert.deepEqual(names("defaultRoute"), ["eth0"]);
    assert.deepEqual(names("l*"), []);
    assert.deepEqual(names("lo"), ["lo"]);
  });

  for (const [vlan, parents] of [
    ["eth0.5", "eth0"],
    ["qinq", "eth0"],
    ["qinq", "eth0.5"],
  ] as const) {
    it(`53: VLAN ${vlan} and ${parents}, which sees its frames, are not both judged, and both policies are named`, () => {
      const { planes, conflicts } = derive({
        parent: { interfaces: [parents, "eth1"], ingress: [] },
        vlan: { interfaces: [vlan], ingress: [] },
      });
      assert.deepEqual(planes, ["eth1: parent"], "what does not contradict is judged");
      const [[message, ids]] = conflicts as [(typeof conflicts)[0]];
      assert.ok(
        message.includes(
          `frames of VLAN ${vlan} (vlan) are judged on its parent ${parents} already (parent)`,
        ),
      );
      assert.deepEqual([...ids].sort(), ["parent", "vlan"]);
    });
  }

  it("52: policies of an interface agree on established and hook; audit has no say in established", () => {
    const keep: Wish = { interfaces: ["eth0"], ingress: [], established: "keep" };
    const recheck: Wish = { interfaces: ["eth0"], ingress: [] };
    assert.match(
      derive({ a: recheck, b: keep }).conflicts[0]![0],
      /established "keep" of b contradicts "recheck" of a/,
    );
    assert.deepEqual(derive({ a: recheck, b: { ...keep, mode: "audit" } }).conflicts, []);
    assert.match(
      derive({ a: recheck, b: { ...recheck, hook: "xdp" } }).conflicts[0]![0],
      /hook "xdp" of b contradicts "tc" of a/,
    );
  });

  it("refuses xdp where frames have no Ethernet header", () => {
    const { conflicts } = derive({ a: { interfaces: ["wg0"], ingress: [], hook: "xdp" } });
    assert.match(conflicts[0]![0], /judge wg0: a judges at xdp, and its frames have no Ethernet header/);
  });
});
