import assert from "node:assert/strict";
import { EbpfError } from "../../../provider/errors";
import { type Lifecycle, PartialError, type Properties, UNKNOWN } from "../../../provider/lifecycle";
import type { Targets } from "../../../provider/lifecycle/fleet/targets";
import { checkedInputs, fleetInputs, Hosts } from "./fleet-hosts";
import { attachmentInputs, lost, unreachable } from "./host";

const kind = "Attachment";
const five = ["edge-1", "edge-2", "edge-3", "edge-4", "edge-5"];
const on = (names: readonly string[], device = "eth0") =>
  Object.fromEntries(names.map((name) => [name, device]));

describe("a fleet", () => {
  let hosts: Hosts;
  let lifecycle: Lifecycle;
  beforeEach(() => {
    hosts = new Hosts(five);
    lifecycle = hosts.lifecycle();
  });

  const checked = (news: Properties, olds?: Properties) => checkedInputs(lifecycle, news, olds);

  async function created(names: readonly string[] = five, change = {}): Promise<State> {
    const inputs = await checked(fleetInputs(names, change));
    const { id, outputs } = await lifecycle.create(kind, inputs);
    hosts.applied.length = 0;
    hosts.reports.length = 0;
    return { id, inputs, outputs };
  }

  async function partial(work: Promise<unknown>): Promise<PartialError> {
    const error: unknown = await work.then(
      () => assert.fail("it succeeded"),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof PartialError, `${error}`);
    return error;
  }

  const targetsOf = (outputs: Properties) => outputs["targets"] as Targets;
  const driftOf = (outputs: Properties) => outputs["drift"] as string[];

  interface State {
    id: string;
    inputs: Properties;
    outputs: Properties;
  }

  describe("create", () => {
    it("applies to all hosts as one creation, and keeps of each what is its own only", async () => {
      const { id, inputs, outputs } = await created();
      assert.equal(id, "fleet/shop/prod/Attachment/web");
      assert.deepEqual(hosts.holding(), on(five));
      assert.deepEqual(Object.keys(targetsOf(outputs)), five);
      assert.equal(new Set(Object.values(targetsOf(outputs)).map(({ digest }) => digest)).size, 1);
      assert.deepEqual({ ...outputs, ...inputs }, outputs);
      assert.equal("connection" in outputs || "incarnation" in outputs, false);
      const { incarnation, digest } = targetsOf(outputs)["edge-1"]!;
      assert.equal(hosts.host("edge-1").records.get("shop/prod/Attachment/web")!.incarnation, incarnation);
      assert.deepEqual(targetsOf(outputs)["edge-1"], { digest, incarnation, reachable: true, drift: [] });
    });

    it("gives hosts no way to each other", async () => {
      await created();
      assert.doesNotMatch(JSON.stringify([...hosts.host("edge-1").records]), /edge-|deploy/);
    });

    it("names each failed host with its cause, and lets the others have it", async () => {
      hosts.host("edge-2").failure = { verb: "dial", error: unreachable() };
      hosts.host("edge-4").failure = {
        verb: "apply",
        error: new EbpfError("conflict", "attach xdp: taken", {}),
      };
      const inputs = await checked(fleetInputs(five));
      const { id, properties, message } = await partial(lifecycle.create(kind, inputs));
      assert.equal(id, "fleet/shop/prod/Attachment/web");
      assert.match(
        message,
        /^apply web: 2 of 5 hosts failed\n {2}.*edge-2.*connection refused\n {2}xdp: .*edge-4.*taken$/,
      );
      assert.deepEqual(Object.keys(targetsOf(properties)), ["edge-1", "edge-3", "edge-5"]);
      assert.equal(driftOf(properties).length, 2);
    });

    it("fails plainly when no host has taken anything", async () => {
      for (const host of hosts.all.values()) host.failure = { verb: "dial", error: unreachable() };
      const inputs = await checked(fleetInputs(five));
      await assert.rejects(lifecycle.create(kind, inputs), (error) => !(error instanceof PartialError));
    });

    it("keeps a host whose answer was lost, for destroy to clean up", async () => {
      hosts.host("edge-1").failure = { verb: "apply", error: lost(), after: true };
      const inputs = await checked(fleetInputs(["edge-1"]));
      const { id, properties } = await partial(lifecycle.create(kind, inputs));
      hosts.host("edge-1").failure = undefined;
      await lifecycle.delete(kind, id, properties);
      assert.deepEqual(hosts.holding(), {});
    });
  });

  describe("update", () => {
    it("asks only hosts that do not have the version", async () => {
      hosts.host("edge-2").failure = { verb: "dial", error: unreachable() };
      const inputs = await checked(fleetInputs(five));
      const { id, properties } = await partial(lifecycle.create(kind, inputs));
      hosts.host("edge-2").failure = undefined;
      hosts.applied.length = 0;
      const diff = lifecycle.diff(kind, id, properties, inputs);
      assert.deepEqual([diff.changes, diff.replaces], [true, []]);
      const outputs = await lifecycle.update(kind, id, properties, inputs);
      assert.deepEqual(hosts.applied, ["edge-2"]);
      assert.deepEqual(driftOf(outputs), []);
      assert.equal(lifecycle.diff(kind, id, outputs, inputs).changes, false);
    });

    it("says which hosts are behind when nothing else differs", async () => {
      const { id, inputs, outputs } = await created();
      const state = {
        ...outputs,
        targets: { ...targetsOf(outputs), "edge-3": { ...targetsOf(outputs)["edge-3"], digest: "old" } },
      };
      const diff = hosts.lifecycle().diff(kind, id, state, inputs);
      assert.deepEqual(diff, { changes: true, replaces: [], paths: { targets: "update" } });
      assert.deepEqual(hosts.reports, ["web: 1 of 5 hosts to change: edge-3"]);
    });

    it("applies to hosts that joined and removes from hosts that left", async () => {
      const { id, inputs, outputs } = await created(["edge-1", "edge-2"]);
      const news = await checked(fleetInputs(["edge-2", "edge-3"]), inputs);
      assert.deepEqual(lifecycle.diff(kind, id, outputs, news).replaces, []);
      const after = await lifecycle.update(kind, id, outputs, news);
      assert.deepEqual(hosts.holding(), on(["edge-2", "edge-3"]));
      assert.deepEqual(hosts.applied, ["edge-3"]);
      assert.deepEqual(Object.keys(targetsOf(after)), ["edge-2", "edge-3"]);
      const [stayed, joined] = Object.values(targetsOf(after)).map(({ incarnation }) => incarnation);
      assert.notEqual(stayed, joined);
    });

    it("keeps a host in the state that could not be left, and leaves it the next time", async () => {
      const { id, inputs, outputs } = await created(["edge-1", "edge-2"]);
      const news = await checked(fleetInputs(["edge-2"]), inputs);
      hosts.host("edge-1").failure = { verb: "dial", error: unreachable() };
      const { properties } = await partial(lifecycle.update(kind, id, outputs, news));
      assert.deepEqual(Object.keys(targetsOf(properties)).sort(), ["edge-1", "edge-2"]);
      hosts.host("edge-1").failure = undefined;
      assert.equal(lifecycle.diff(kind, id, properties, news).changes, true);
      const after = await lifecycle.update(kind, id, properties, news);
      assert.deepEqual(hosts.holding(), on(["edge-2"]));
      assert.deepEqual(after["hosts"], news["hosts"]);
    });

    it("forgets a host that left and does not answer when it may", async () => {
      const { id, inputs, outputs } = await created(["edge-1", "edge-2"]);
      const news = await checked(
        fleetInputs(["edge-2"], { onUnreachable: "forget", onUnreachableReason: "spot" }),
        inputs,
      );
      hosts.host("edge-1").failure = { verb: "dial", error: unreachable() };
      const state = { ...outputs, onUnreachable: "forget", onUnreachableReason: "spot" };
      const after = await lifecycle.update(kind, id, state, news);
      assert.deepEqual(Object.keys(targetsOf(after)), ["edge-2"]);
      assert.match(hosts.reports.at(-1)!, /^warning: web: edge-1 is unreachable .*forgotten.*"spot"/);
    });

    it("asks nobody when only the way to hosts or the rollout changed", async () => {
      const { id, inputs, outputs } = await created();
      const ways = five.map((host) => ({ connection: { host, user: "root", privateKey: "new" } }));
      const news = await checked(
        fleetInputs([], { hosts: { hosts: ways, rollout: { waveSize: 1 } } }),
        inputs,
      );
      for (const host of hosts.all.values()) host.dials.length = 0;
      const diff = lifecycle.diff(kind, id, outputs, news);
      assert.deepEqual([diff.changes, diff.replaces], [true, []]);
      const after = await lifecycle.update(kind, id, outputs, news);
      assert.equal(
        [...hosts.all.values()].some(({ dials }) => dials.length > 0),
        false,
      );
      assert.deepEqual(after, { ...outputs, ...news });
    });

    it("replaces one host by many and many by one, which adopt what is there", async () => {
      const single = (await lifecycle.check(kind, undefined, attachmentInputs())).inputs;
      const { id, outputs } = await lifecycle.create(kind, single);
      const fleet = await checked(fleetInputs(["edge-1", "edge-2"]));
      assert.notDeepEqual(lifecycle.diff(kind, id, outputs, fleet).replaces, []);
      const many = await lifecycle.create(kind, fleet);
      await lifecycle.delete(kind, id, outputs);
      assert.deepEqual(hosts.holding(), on(["edge-1", "edge-2"]), "the old one owns nothing any more");
      assert.notDeepEqual(lifecycle.diff(kind, many.id, many.outputs, single).replaces, []);
      await lifecycle.create(kind, single);
      await lifecycle.delete(kind, many.id, many.outputs);
      assert.deepEqual(hosts.holding(), on(["edge-1"]));
    });
  });

  describe("read", () => {
    it("finds no difference when there is none", async () => {
      const { id, inputs, outputs } = await created();
      assert.deepEqual(await lifecycle.read(kind, id, outputs), { inputs, outputs, unchanged: true });
    });

    it("puts drift in words with its host, which an update repairs on that host alone", async () => {
      const { id, inputs, outputs } = await created();
      hosts.host("edge-3").drift = [{ code: "detached", part: "link", message: "detached from eth0" }];
      const found = await lifecycle.read(kind, id, outputs);
      assert.deepEqual(found!.outputs["drift"], ["edge-3: detached from eth0"]);
      assert.deepEqual(found!.inputs["drift"], ["edge-3: detached from eth0"], "a preview shows it");
      assert.deepEqual(targetsOf(found!.outputs)["edge-3"]!.drift, ["detached from eth0"]);
      assert.equal(lifecycle.diff(kind, id, found!.outputs, inputs).changes, true);
      hosts.applied.length = 0;
      await lifecycle.update(kind, id, found!.outputs, inputs);
      assert.deepEqual(hosts.applied, ["edge-3"]);
    });

    it("finds hosts that lost it or hold another version", async () => {
      const { id, inputs, outputs } = await created();
      hosts.host("edge-1").records.clear();
      const record = hosts.host("edge-2").records.get("shop/prod/Attachment/web")!;
      record.inputs = { ...(record.inputs as object), xdp: { interface: "eth9" } };
      const found = await lifecycle.read(kind, id, outputs);
      assert.deepEqual(driftOf(found!.outputs), ["edge-1: holds nothing", "edge-2: holds another version"]);
      await lifecycle.update(kind, id, found!.outputs, inputs);
      assert.deepEqual(hosts.applied, ["edge-1", "edge-2"]);
    });

    it("keeps what is known of hosts that do not answer, with a warning", async () => {
      const { id, outputs, inputs } = await created();
      hosts.host("edge-2").failure = { verb: "dial", error: unreachable() };
      hosts.host("edge-5").failure = { verb: "dial", error: unreachable() };
      const found = await lifecycle.read(kind, id, outputs);
      const expected = { ...targetsOf(outputs)["edge-2"], reachable: false };
      assert.deepEqual(targetsOf(found!.outputs)["edge-2"], expected);
      assert.deepEqual(driftOf(found!.outputs), []);
      assert.deepEqual(found!.inputs, inputs);
      assert.deepEqual(hosts.reports, [
        "warning: web: 2 hosts are unreachable, the state keeps what is known of them: edge-2, edge-5",
      ]);
      assert.equal(lifecycle.diff(kind, id, found!.outputs, inputs).changes, false);
    });

    it("is an error when no host answers, and gone when no host holds anything", async () => {
      const { id, outputs } = await created();
      for (const host of hosts.all.values()) host.failure = { verb: "dial", error: unreachable() };
      await assert.rejects(
        lifecycle.read(kind, id, outputs),
        /read web: none of 5 hosts can be asked: .*--exclude/,
      );
      for (const host of hosts.all.values()) {
        host.failure = undefined;
        host.records.clear();
      }
      assert.equal(await lifecycle.read(kind, id, outputs), null);
    });

    it("sees a half-done change also after a refresh has cleared the engine's own mark", async () => {
      const { id, inputs, outputs } = await created();
      hosts.host("edge-2").failure = { verb: "dial", error: unreachable() };
      const news = await checked(fleetInputs(five, { interface: "eth1" }), inputs);
      const { properties } = await partial(lifecycle.update(kind, id, outputs, news));
      hosts.host("edge-2").failure = undefined;
      const found = await lifecycle.read(kind, id, properties);
      assert.deepEqual(driftOf(found!.outputs), ["edge-2: holds another version"]);
      hosts.applied.length = 0;
      await lifecycle.update(kind, id, found!.outputs, news);
      assert.deepEqual(hosts.applied, ["edge-2"]);
    });
  });

  describe("delete", () => {
    it("removes it from all hosts, and from the rest when some did not answer", async () => {
      const { id, outputs } = await created();
      hosts.host("edge-2").failure = { verb: "dial", error: unreachable() };
      await assert.rejects(
        lifecycle.delete(kind, id, outputs),
        /delete web: 1 of 5 hosts failed.*\n.*edge-2.*onUnreachable/,
      );
      assert.deepEqual(hosts.holding(), on(["edge-2"]));
      hosts.host("edge-2").failure = undefined;
      await lifecycle.delete(kind, id, outputs);
      assert.deepEqual(hosts.holding(), {});
    });

    it("forgets hosts that do not answer when it may", async () => {
      const { id, outputs } = await created(five, { onUnreachable: "forget" });
      hosts.host("edge-2").failure = { verb: "dial", error: unreachable() };
      await lifecycle.delete(kind, id, outputs);
      assert.deepEqual(hosts.holding(), on(["edge-2"]));
      assert.match(hosts.reports.join(), /warning: web: edge-2 is unreachable/);
    });
  });

  describe("plan", () => {
    it("asks one host of each kernel release, and says for how many it stands", async () => {
      hosts.host("edge-4").kernel = "5.10.0";
      hosts.host("edge-5").kernel = "5.10.0";
      for (const host of hosts.all.values()) host.planned = { changes: ["attach xdp to eth0"] };
      hosts.host("edge-2").failure = { verb: "dial", error: unreachable() };
      lifecycle = hosts.lifecycle({});
      await checked(fleetInputs(five));
      const asked = five.filter((name) => hosts.host(name).verbs().includes("plan"));
      assert.deepEqual(asked, ["edge-1", "edge-4"]);
      assert.deepEqual(hosts.reports, [
        "warning: deploy@edge-2 is unreachable: not planned there",
        "web: on edge-1, for 2 of 5 hosts with kernel 6.1.0: attach xdp to eth0",
        "web: on edge-4, for 2 of 5 hosts with kernel 5.10.0: attach xdp to eth0",
        "web: planned on 2 hosts, one for each kernel release",
      ]);
    });

    it("sums up silent hosts when they are many", async () => {
      for (const host of hosts.all.values()) host.failure = { verb: "dial", error: unreachable() };
      lifecycle = hosts.lifecycle({});
      await checked(fleetInputs(five));
      assert.deepEqual(hosts.reports, [
        "warning: 5 of 5 hosts cannot be asked: not planned there: edge-1, edge-2, edge-3, edge-4, edge-5",
      ]);
    });

    it("is a preview's outputs too", async () => {
      lifecycle = hosts.lifecycle({});
      const inputs = await checked(fleetInputs(five));
      const preview = await lifecycle.preview(kind, undefined, undefined, inputs);
      const { outputs } = await lifecycle.create(kind, inputs);
      assert.deepEqual(preview["targets"], UNKNOWN);
      assert.equal(preview["digest"], outputs["digest"]);
      assert.deepEqual(await lifecycle.preview(kind, "fleet/x", outputs, inputs), outputs);
    });
  });
});
