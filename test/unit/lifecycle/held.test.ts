/** Long lists that the host keeps in chunks: what travels of them, what the Record holds, how they come back. */
import assert from "node:assert/strict";
import type { Properties } from "../../../provider/lifecycle";
import { Hosts } from "./fleet-hosts";
import { Host } from "./host";
import { manyRules, policyInputs, setInputs } from "./policies";

describe("inputs that the host keeps in chunks", () => {
  const offline = { "ebpf:preview": "offline" };
  const rules = manyRules(2000);
  let host: Host;

  beforeEach(() => (host = new Host()));

  async function created(kind: string, inputs: Properties): Promise<{ id: string; outputs: Properties }> {
    const lifecycle = host.lifecycle(offline);
    const { inputs: checked } = await lifecycle.check(kind, undefined, inputs);
    return lifecycle.create(kind, checked);
  }

  it("are in the state, and in no Record", async () => {
    const { outputs } = await created("NetworkPolicy", policyInputs({ ingress: rules, egress: [] }));
    assert.equal((outputs["ingress"] as object[]).length, rules.length);
    const { inputs, spec } = host.records.get("shop/prod/NetworkPolicy/web")!;
    assert.deepEqual(Object.keys(inputs as object).sort(), ["content", "drift", "interfaces", "specId"]);
    assert.ok(JSON.stringify({ inputs, spec }).length < 2000);
  });

  it("cost an update the chunks that changed", async () => {
    const { id, outputs } = await created("NetworkPolicy", policyInputs({ ingress: rules }));
    const held = host.blobs.size;
    const lifecycle = host.lifecycle(offline);
    const ingress = rules.with(1000, { ...rules[1000]!, name: "another" });
    const { inputs } = await lifecycle.check("NetworkPolicy", outputs, policyInputs({ ingress }));
    assert.deepEqual(Object.keys(lifecycle.diff("NetworkPolicy", id, outputs, inputs).paths).sort(), [
      "content.ingress.manifest",
      "ingress[1000].name",
    ]);
    await lifecycle.update("NetworkPolicy", id, outputs, inputs);
    assert.ok(host.blobs.size - held <= 3, `${host.blobs.size - held} new blobs`);
  });

  it("are not fetched where the state has them", async () => {
    const { id, outputs } = await created("NetworkPolicy", policyInputs({ ingress: rules }));
    const found = await host.lifecycle(offline).read("NetworkPolicy", id, outputs);
    assert.deepEqual(found?.outputs["ingress"], outputs["ingress"]);
    assert.ok(!host.verbs().includes("blob.get"));
  });

  it("come from the host where the state has others, or there is none", async () => {
    const { id, outputs } = await created("NetworkPolicy", policyInputs({ ingress: rules, egress: [] }));
    const stale = { ...outputs, ingress: [], content: { ingress: { manifest: "0", count: 0 }, sets: [] } };
    const lifecycle = host.lifecycle(offline);
    for (const found of [
      await lifecycle.read("NetworkPolicy", id, stale),
      await lifecycle.find("NetworkPolicy", id, undefined),
    ]) {
      const { ingress, egress } = found!.inputs as { ingress: Properties[]; egress: Properties[] };
      assert.deepEqual(ingress, outputs["ingress"]);
      assert.deepEqual(egress, []);
      assert.deepEqual(lifecycle.diff("NetworkPolicy", id, found!.outputs, outputs).changes, false);
    }
  });

  it("make no difference between the hosts of a fleet and its state, read again or for the first time", async () => {
    const hosts = new Hosts(["edge-1", "edge-2"]);
    const { connection: _connection, ...inputs } = policyInputs({ ingress: rules });
    const fleet = { hosts: [...hosts.all.keys()].map((name) => ({ connection: { host: name } })) };
    const lifecycle = hosts.lifecycle();
    const { inputs: checked } = await lifecycle.check("NetworkPolicy", undefined, {
      ...inputs,
      hosts: fleet,
    });
    const { id, outputs } = await lifecycle.create("NetworkPolicy", checked);
    for (const state of [outputs, { ...outputs, ingress: [], content: { sets: [] } }]) {
      const found = await lifecycle.read("NetworkPolicy", id, state);
      assert.deepEqual(found?.outputs["drift"], []);
      assert.equal(lifecycle.diff("NetworkPolicy", id, found!.outputs, checked).changes, false);
    }
  });

  it("come back to an AddressSet of a list, and not to one of a file", async () => {
    const { id, outputs } = await created("AddressSet", setInputs());
    const found = await host.lifecycle(offline).find("AddressSet", id, undefined);
    assert.deepEqual(found!.inputs["cidrs"], outputs["cidrs"]);
    const { inputs } = host.records.get("shop/prod/AddressSet/offices")!;
    Object.assign(inputs as object, { file: "./feed.txt" });
    assert.equal(
      (await host.lifecycle(offline).find("AddressSet", id, undefined))!.inputs["cidrs"],
      undefined,
    );
  });
});
