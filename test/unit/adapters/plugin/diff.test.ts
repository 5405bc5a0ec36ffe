import assert from "node:assert/strict";
import * as pb from "@pulumi/pulumi/proto/provider_pb";
import { created, plain, urn } from "./attachment";
import { Engine, type Properties, urnOf } from "./engine";

describe("diff of the plugin", () => {
  let engine: Engine;

  beforeEach(async () => {
    engine = await Engine.start();
  });

  afterEach(() => engine.stop());

  const { ADD, DELETE, UPDATE, UPDATE_REPLACE } = pb.PropertyDiff.Kind;

  async function diffOf(olds: Properties, news: Properties, options = {}) {
    const { detaileddiffMap, ...rest } = await engine.diff(urn, olds, news, options);
    return { ...rest, detailed: Object.fromEntries(detaileddiffMap) };
  }

  it("finds nothing between a state and its inputs, a dynamic one's either", async () => {
    const { inputs, outputs } = await created(engine);
    for (const state of [outputs, { ...outputs, __provider: "exports.handler = …" }]) {
      const diff = await diffOf(state, inputs);
      assert.equal(diff.changes, pb.DiffResponse.DiffChanges.DIFF_NONE);
      assert.deepEqual(diff.detailed, {});
    }
  });

  it("tells the kind of each difference by property path", async () => {
    const { inputs, outputs } = await created(engine, {
      ...plain,
      connection: { host: "edge-1", user: "deploy" },
    });
    const diff = await diffOf(outputs, {
      ...inputs,
      connection: { host: "edge-1", hostKey: "ssh-ed25519 AAAA" },
      xdp: { ...(inputs["xdp"] as object), interface: "eth1" },
    });
    assert.equal(diff.changes, pb.DiffResponse.DiffChanges.DIFF_SOME);
    assert.equal(diff.hasdetaileddiff, true);
    assert.deepEqual(diff.detailed, {
      "connection.user": { kind: DELETE, inputdiff: true },
      "connection.hostKey": { kind: ADD, inputdiff: true },
      "xdp.interface": { kind: UPDATE, inputdiff: true },
    });
    assert.deepEqual(diff.diffsList.sort(), ["connection", "xdp"]);
    assert.deepEqual(diff.replacesList, []);
    assert.deepEqual(diff.stablesList, ["specId", "incarnation"]);
  });

  it("replaces for another host, and never deletes first", async () => {
    const { inputs, outputs } = await created(engine);
    const diff = await diffOf(outputs, { ...inputs, connection: { host: "edge-2", user: "deploy" } });
    assert.deepEqual(diff.detailed, { "connection.host": { kind: UPDATE_REPLACE, inputdiff: true } });
    assert.deepEqual(diff.replacesList, ["connection.host"]);
    assert.equal(diff.deletebeforereplace, false);
    assert.deepEqual(diff.stablesList, []);
  });

  it("tells what the host changed from what the program did", async () => {
    const { inputs, outputs } = await created(engine);
    const diff = await diffOf({ ...outputs, drift: ["detached from eth0"] }, inputs, { oldInputs: inputs });
    assert.deepEqual(diff.detailed, { "drift[0]": { kind: DELETE, inputdiff: false } });
  });

  it("ignores what it is told to, and only that", async () => {
    const { inputs, outputs } = await created(engine);
    const news = { ...inputs, xdp: { interface: "eth1", mode: "native" } };
    const diff = await diffOf(outputs, news, { ignore: ["xdp.interface", "xdp.allowGap"] });
    assert.deepEqual(Object.keys(diff.detailed), ["xdp.mode"]);
  });

  it("packs what check adds for our own SDK alone; it differs as a whole, and not from its older form", async () => {
    const args = { connection: { host: "edge-1" }, type: "hash", key: "u32", value: "u64", maxEntries: 8 };
    const own = urnOf("Map", "own");
    const named = { ...args, specId: "shop/prod/Map/own" };
    const { shape } = (await engine.check(urnOf("Map", "other"), args)).inputs;
    assert.equal((shape as Properties)["keySize"], 4);
    const { inputs } = await engine.check(own, named);
    const unpacked = JSON.parse(inputs["shape"] as string) as Properties;
    assert.deepEqual(unpacked, { ...(shape as Properties), name: "own" });
    const state = { ...inputs, incarnation: "one" };
    for (const olds of [state, { ...state, shape: unpacked }]) {
      assert.equal((await engine.diff(own, olds, inputs)).changes, pb.DiffResponse.DiffChanges.DIFF_NONE);
      const larger = (await engine.check(own, { ...named, maxEntries: 16 }, olds)).inputs;
      const { detaileddiffMap } = await engine.diff(own, olds, larger);
      assert.deepEqual(Object.fromEntries(detaileddiffMap), {
        maxEntries: { kind: UPDATE, inputdiff: true },
        shape: { kind: UPDATE, inputdiff: true },
      });
    }
  });

  it("refuses the state of a newer version", async () => {
    const { inputs, outputs } = await created(engine);
    await assert.rejects(
      engine.diff(urn, { ...outputs, stateFormat: 2 }, inputs),
      /a newer pulumi-ebpf wrote it \(form 2, this version knows 1\); install the version/,
    );
  });
});
