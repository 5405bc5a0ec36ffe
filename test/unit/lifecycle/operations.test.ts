import assert from "node:assert/strict";
import { EbpfError } from "../../../provider/errors";
import { type Lifecycle, PartialError } from "../../../provider/lifecycle";
import { attachmentInputs, Host, lost, unreachable } from "./host";

type Properties = Record<string, unknown>;

describe("operations", () => {
  const kind = "Attachment";
  const specId = "shop/prod/Attachment/web";
  let host: Host;
  let lifecycle: Lifecycle;
  let inputs: Properties;

  beforeEach(async () => {
    host = new Host();
    lifecycle = host.lifecycle({ "ebpf:preview": "offline" });
    ({ inputs } = await lifecycle.check(kind, undefined, attachmentInputs()));
  });

  async function partial(work: Promise<unknown>): Promise<PartialError> {
    const error: unknown = await work.then(
      () => assert.fail("it succeeded"),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof PartialError, `${error}`);
    return error;
  }

  describe("create", () => {
    it("has an id of host and Spec, and keeps the inputs for refresh and destroy", async () => {
      const { id, outputs } = await lifecycle.create(kind, inputs);
      assert.equal(id, "deploy@edge-1/shop/prod/Attachment/web");
      assert.deepEqual({ ...outputs, ...inputs }, outputs);
      assert.equal(host.records.get(specId)!.incarnation, outputs["incarnation"]);
    });

    it("mints another incarnation each time", async () => {
      const first = await lifecycle.create(kind, inputs);
      const second = await lifecycle.create(kind, inputs);
      assert.notEqual(first.outputs["incarnation"], second.outputs["incarnation"]);
    });

    it("gives the host no way to itself", async () => {
      const connection = { host: "edge-1", password: "hunter2" };
      await lifecycle.create(kind, { ...inputs, connection });
      assert.doesNotMatch(JSON.stringify(host.records.get(specId)), /hunter2|edge-1/);
    });

    it("leaves nothing in the state when it failed for certain", async () => {
      const error = new EbpfError("conflict", "attach xdp to eth0: the hook is taken", { owner: "cilium" });
      host.failure = { verb: "apply", error };
      await assert.rejects(lifecycle.create(kind, inputs), (thrown: Error) => {
        assert.equal(thrown.message, "xdp: deploy@edge-1: attach xdp to eth0: the hook is taken");
        return !(thrown instanceof PartialError);
      });
    });

    it("leaves nothing in the state when the connection broke before apply was sent", async () => {
      host.failure = { verb: "dial", error: lost() };
      await assert.rejects(lifecycle.create(kind, inputs), (thrown) => !(thrown instanceof PartialError));
    });

    it("keeps what destroy needs when the answer was lost", async () => {
      host.failure = { verb: "apply", error: lost(), after: true };
      const { id, properties } = await partial(lifecycle.create(kind, inputs));
      host.failure = undefined;
      assert.equal(host.records.size, 1);
      await lifecycle.delete(kind, id, properties);
      assert.equal(host.records.size, 0);
    });

    it("is finished by an update when the answer was lost, with the same incarnation", async () => {
      host.failure = { verb: "apply", error: lost() };
      const { id, properties } = await partial(lifecycle.create(kind, inputs));
      host.failure = undefined;
      assert.equal(lifecycle.diff(kind, id, properties, inputs).changes, true);
      const outputs = await lifecycle.update(kind, id, properties, inputs);
      assert.equal(host.records.get(specId)!.incarnation, properties["incarnation"]);
      assert.deepEqual(outputs["drift"], []);
    });

    it("is gone for a refresh when the lost apply never happened", async () => {
      host.failure = { verb: "apply", error: lost() };
      const { id, properties } = await partial(lifecycle.create(kind, inputs));
      host.failure = undefined;
      assert.equal(await lifecycle.read(kind, id, properties), null);
    });
  });

  describe("update", () => {
    let state: Properties;
    let id: string;
    beforeEach(async () => {
      ({ id, outputs: state } = await lifecycle.create(kind, inputs));
      host.calls.length = 0;
      host.dials.length = 0;
    });

    it("keeps the incarnation", async () => {
      const outputs = await lifecycle.update(kind, id, state, { ...inputs, xdp: { interface: "eth1" } });
      assert.equal(outputs["incarnation"], state["incarnation"]);
      assert.equal(host.records.get(specId)!.incarnation, state["incarnation"]);
    });

    it("contacts no host when only credentials, user or host key changed", async () => {
      const connection = { host: "edge-1", user: "root", privateKey: "new", hostKey: "k" };
      const outputs = await lifecycle.update(kind, id, state, { ...inputs, connection });
      assert.deepEqual(host.dials, []);
      assert.deepEqual(outputs["connection"], connection);
    });

    it("touches nothing on the host when nothing changed, but writes the outputs anew", async () => {
      const outputs = await lifecycle.update(kind, id, state, inputs);
      assert.deepEqual(host.verbs(), ["observe"]);
      assert.deepEqual(outputs, state);
    });

    it("says in the state that nobody knows what runs when the answer was lost: a revert must not be a no-op", async () => {
      host.failure = { verb: "apply", error: lost(), after: true };
      const { properties } = await partial(
        lifecycle.update(kind, id, state, { ...inputs, xdp: { interface: "eth1" } }),
      );
      host.failure = undefined;
      assert.equal(lifecycle.diff(kind, id, properties, inputs).changes, true);
      await lifecycle.update(kind, id, properties, inputs);
      const { hook } = host.records.get(specId)!.spec.links[0]!;
      assert.equal("interface" in hook && hook.interface, "eth0");
    });
  });

  describe("read", () => {
    let state: Properties;
    let id: string;
    beforeEach(async () => {
      ({ id, outputs: state } = await lifecycle.create(kind, inputs));
    });

    it("finds no difference when there is none", async () => {
      const found = await lifecycle.read(kind, id, state);
      assert.deepEqual(found, { inputs, outputs: state, unchanged: true });
    });

    it("puts drift in words, which diff takes as a change", async () => {
      host.drift = [{ code: "detached", part: "link", message: "detached from eth0" }];
      const found = await lifecycle.read(kind, id, state);
      assert.deepEqual(found!.outputs["drift"], ["detached from eth0"]);
      assert.deepEqual(found!.inputs["drift"], ["detached from eth0"], "a preview shows it");
      assert.equal(found!.unchanged, false);
      assert.equal(lifecycle.diff(kind, id, found!.outputs, inputs).changes, true);
    });

    it("shows what the host was told last, though the state does not know", async () => {
      const other = host.lifecycle({ "ebpf:preview": "offline" });
      await other.update(kind, id, state, {
        ...inputs,
        xdp: { interface: "eth1", mode: "auto", allowGap: false },
      });
      const found = await lifecycle.read(kind, id, state);
      assert.deepEqual(lifecycle.diff(kind, id, found!.outputs, inputs).paths, { "xdp.interface": "update" });
    });

    it("answers with the state's incarnation, never the host's", async () => {
      await host.lifecycle().create(kind, inputs);
      const found = await lifecycle.read(kind, id, state);
      assert.equal(found!.outputs["incarnation"], state["incarnation"]);
      await lifecycle.delete(kind, id, found!.outputs);
      assert.equal(host.records.size, 1, "the live object of the later create stays");
    });

    it("says that it is gone when the host has nothing", async () => {
      host.records.clear();
      assert.equal(await lifecycle.read(kind, id, state), null);
    });

    it("fails for an unreachable host and names the ways out", async () => {
      host.failure = { verb: "dial", error: unreachable() };
      await assert.rejects(
        lifecycle.read(kind, id, state),
        /^EbpfError: deploy@edge-1: dial edge-1:22: connection refused; .*--exclude.*--target.*pulumi state delete/,
      );
    });
  });

  describe("a change of onUnreachable", () => {
    it("is an update without the host, in both directions, and no drift afterwards", async () => {
      const { id, outputs } = await lifecycle.create(kind, inputs);
      const forgetting = { ...inputs, onUnreachable: "forget", onUnreachableReason: "spot instance" };
      const { paths, replaces } = lifecycle.diff(kind, id, outputs, forgetting);
      assert.deepEqual([paths, replaces], [{ onUnreachable: "update", onUnreachableReason: "add" }, []]);
      host.failure = { verb: "dial", error: unreachable() };
      const there = await lifecycle.update(kind, id, outputs, forgetting);
      const back = await lifecycle.update(kind, id, there, inputs);
      assert.deepEqual([there["onUnreachable"], back], ["forget", outputs]);
      host.failure = undefined;
      const found = await lifecycle.read(kind, id, there);
      assert.equal(lifecycle.diff(kind, id, found!.outputs, forgetting).changes, false);
    });
  });

  describe("delete", () => {
    it("needs the state alone, and is done twice without complaint", async () => {
      const { id, outputs } = await lifecycle.create(kind, inputs);
      await lifecycle.delete(kind, id, outputs);
      assert.equal(host.records.size, 0);
      await lifecycle.delete(kind, id, outputs);
      assert.deepEqual(host.reports, ["web: nothing was there"]);
    });

    it("fails for an unreachable host and names the ways out", async () => {
      const { id, outputs } = await lifecycle.create(kind, inputs);
      host.failure = { verb: "dial", error: unreachable() };
      await assert.rejects(
        lifecycle.delete(kind, id, outputs),
        /connection refused; .*--exclude.*--target.*pulumi state delete.*onUnreachable: "forget"/,
      );
    });

    describe('of a resource with onUnreachable: "forget"', () => {
      const forgetting = { onUnreachable: "forget", onUnreachableReason: "spot instance" };

      it("succeeds for an unreachable host, and warns of what stays", async () => {
        const { id, outputs } = await lifecycle.create(kind, { ...inputs, ...forgetting });
        host.failure = { verb: "dial", error: unreachable() };
        await lifecycle.delete(kind, id, outputs);
        assert.deepEqual(host.reports, [
          "warning: web: deploy@edge-1 is unreachable (dial edge-1:22: connection refused): forgotten, as " +
            'onUnreachable says, because "spot instance"; what runs there stays',
        ]);
      });

      it("still fails for a host that answers and refuses", async () => {
        const { id, outputs } = await lifecycle.create(kind, { ...inputs, ...forgetting });
        for (const phase of ["auth", "host-key", "closed", "deliver"] as const) {
          const error = new EbpfError("transport", `refused by ${phase}`, { phase });
          host.failure = { verb: "dial", error };
          await assert.rejects(lifecycle.delete(kind, id, outputs), new RegExp(`refused by ${phase}`));
        }
      });
    });

    it("uses a rotated key of the configuration, although the state holds the old one", async () => {
      const connection = { host: "edge-1", privateKey: "old", privateKeyPassword: "old passphrase" };
      const { id, outputs } = await lifecycle.create(kind, { ...inputs, connection });
      await host.lifecycle({ "ebpf:privateKey": "new" }).delete(kind, id, outputs);
      assert.deepEqual(host.dials.at(-1), { host: "edge-1", privateKey: "new" });
      const again = await lifecycle.create(kind, { ...inputs, connection });
      const environment = { PULUMI_EBPF_PRIVATE_KEY: "newest" };
      await host.lifecycle({ "ebpf:privateKey": "new" }, environment).delete(kind, id, again.outputs);
      assert.equal(host.dials.at(-1)!.privateKey, "newest");
    });
  });
});
