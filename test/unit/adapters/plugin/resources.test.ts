import assert from "node:assert/strict";
import { type ServiceError, status } from "@grpc/grpc-js";
import * as pb from "@pulumi/pulumi/proto/provider_pb";
import { Status } from "@pulumi/pulumi/proto/status_pb";
import { EbpfError } from "../../../../provider/errors";
import { UNKNOWN } from "../../../../provider/lifecycle";
import { attachmentInputs, lost, unreachable } from "../../lifecycle/host";
import { Engine, type Properties, secret, SIGNATURE, urnOf } from "./engine";

const urn = urnOf("Attachment", "web");
const { specId: _specId, ...plain } = attachmentInputs();

describe("resources of the plugin", () => {
  let engine: Engine;

  beforeEach(async () => {
    engine = await Engine.start();
  });

  afterEach(() => engine.stop());

  async function created(
    news: Properties = plain,
  ): Promise<{ inputs: Properties; id: string; outputs: Properties }> {
    const { inputs, failures } = await engine.check(urn, news);
    assert.deepEqual(failures, []);
    return { inputs, ...(await engine.create(urn, inputs)) };
  }

  async function failed(work: Promise<unknown>): Promise<ServiceError> {
    const error: unknown = await work.then(
      () => assert.fail("it succeeded"),
      (thrown: unknown) => thrown,
    );
    return error as ServiceError;
  }

  function initFailure(error: ServiceError): pb.ErrorResourceInitFailed | undefined {
    const [bytes] = error.metadata.get("grpc-status-details-bin");
    if (bytes === undefined) return undefined;
    const [detail] = Status.deserializeBinary(bytes as Buffer).getDetailsList();
    assert.equal(detail!.getTypeName(), "pulumirpc.ErrorResourceInitFailed");
    return pb.ErrorResourceInitFailed.deserializeBinary(detail!.getValue_asU8());
  }

  describe("check", () => {
    it("names the resource by its URN and the owner, as the SDK does, unless the SDK did", async () => {
      assert.equal((await engine.check(urn, plain)).inputs["specId"], "shop/prod/Attachment/web");
      const nested = urnOf("Attachment", "a::b c", "my:component:App$");
      assert.equal((await engine.check(nested, plain)).inputs["specId"], "shop/prod/Attachment/a%3A%3Ab%20c");
      await engine.configure({ owner: "acme" });
      assert.equal((await engine.check(urn, plain)).inputs["specId"], "acme:shop/prod/Attachment/web");
      const given = await engine.check(urn, attachmentInputs({ specId: "o:shop/prod/Attachment/x" }));
      assert.equal(given.inputs["specId"], "o:shop/prod/Attachment/x");
    });

    it("keeps the name that the state has", async () => {
      const { inputs } = await engine.check(urnOf("Attachment", "renamed"), plain, attachmentInputs());
      assert.equal(inputs["specId"], "shop/prod/Attachment/web");
    });

    it("refuses two resources of one kind and name under different parents", async () => {
      await engine.check(urn, plain);
      const { failures } = await engine.check(urnOf("Attachment", "web", "my:component:App$"), plain);
      assert.match(
        failures.join(),
        /shop\/prod\/Attachment\/web is the name of urn:pulumi:.*a name of its own/,
      );
      assert.deepEqual((await engine.check(urn, plain)).failures, []);
    });

    it("names the missing connection, and takes the provider's", async () => {
      const { connection: _connection, ...without } = plain;
      assert.match((await engine.check(urn, without)).failures.join(), /^connection: .*missing/);
      await engine.configure({ connection: '{"host":"edge-9"}' });
      const { inputs, failures } = await engine.check(urn, without);
      assert.deepEqual(failures, []);
      assert.deepEqual(inputs["connection"], { host: "edge-9" });
    });

    it("marks credentials although the program gave them in clear", async () => {
      const proxy = { host: "bastion", password: "p" };
      const { inputs } = await engine.check(urn, {
        ...plain,
        connection: { host: "edge-1", privateKey: "k", proxy },
      });
      assert.deepEqual(inputs["connection"], {
        host: "edge-1",
        privateKey: secret("k"),
        proxy: { host: "bastion", password: secret("p") },
      });
    });

    it("keeps unknown values where they are, at every depth", async () => {
      for (const unknown of [
        { connection: UNKNOWN },
        { connection: { host: UNKNOWN } },
        { connection: { host: "edge-1", proxy: { host: "bastion", password: UNKNOWN } } },
        { program: { ...(plain["program"] as object), spec: UNKNOWN } },
        { xdp: { interface: UNKNOWN } },
        { xdp: UNKNOWN },
      ]) {
        const { inputs, failures } = await engine.check(urn, { ...plain, ...unknown });
        assert.deepEqual(failures, [], JSON.stringify(unknown));
        const [name, value] = Object.entries(unknown)[0]!;
        assert.deepEqual(inputs[name], value);
        const { outputs } = await engine.create(urn, inputs, { preview: true });
        assert.deepEqual({ ...outputs, ...inputs }, outputs);
        assert.equal(outputs["link"], UNKNOWN);
      }
      assert.deepEqual(engine.host.dials, []);
    });

    it("says of assets without a path that they are none, at their property", async () => {
      const text = { [SIGNATURE]: "c44067f5952c0a294b673a41bacd8c17", hash: "h", text: "int x;" };
      const { failures } = await engine.check(urnOf("Program", "filter"), {
        connection: { host: "edge-1" },
        source: text,
      });
      assert.deepEqual(failures, [
        "source: expected a path or a FileAsset: other assets and archives are no file of this machine",
      ]);
    });

    it("asks no host: that is for the preview", async () => {
      await engine.check(urn, plain);
      assert.deepEqual(engine.host.dials, []);
    });

    it("says which kinds there are", async () => {
      const { failures } = await engine.check(urnOf("Programme", "x"), plain);
      assert.match(failures.join(), /Programme.*has Program, Map/);
    });
  });

  describe("diff", () => {
    const { ADD, DELETE, UPDATE, UPDATE_REPLACE } = pb.PropertyDiff.Kind;

    async function diffOf(olds: Properties, news: Properties, options = {}) {
      const { detaileddiffMap, ...rest } = await engine.diff(urn, olds, news, options);
      return { ...rest, detailed: Object.fromEntries(detaileddiffMap) };
    }

    it("finds nothing between a state and its inputs, a dynamic one's either", async () => {
      const { inputs, outputs } = await created();
      for (const state of [outputs, { ...outputs, __provider: "exports.handler = …" }]) {
        const diff = await diffOf(state, inputs);
        assert.equal(diff.changes, pb.DiffResponse.DiffChanges.DIFF_NONE);
        assert.deepEqual(diff.detailed, {});
      }
    });

    it("tells the kind of each difference by property path", async () => {
      const { inputs, outputs } = await created({ ...plain, connection: { host: "edge-1", user: "deploy" } });
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
      const { inputs, outputs } = await created();
      const diff = await diffOf(outputs, { ...inputs, connection: { host: "edge-2", user: "deploy" } });
      assert.deepEqual(diff.detailed, { "connection.host": { kind: UPDATE_REPLACE, inputdiff: true } });
      assert.deepEqual(diff.replacesList, ["connection.host"]);
      assert.equal(diff.deletebeforereplace, false);
      assert.deepEqual(diff.stablesList, []);
    });

    it("tells what the host changed from what the program did", async () => {
      const { inputs, outputs } = await created();
      const diff = await diffOf({ ...outputs, drift: ["detached from eth0"] }, inputs, { oldInputs: inputs });
      assert.deepEqual(diff.detailed, { "drift[0]": { kind: DELETE, inputdiff: false } });
    });

    it("ignores what it is told to, and only that", async () => {
      const { inputs, outputs } = await created();
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
      const { inputs, outputs } = await created();
      await assert.rejects(
        engine.diff(urn, { ...outputs, stateFormat: 2 }, inputs),
        /a newer pulumi-ebpf wrote it \(form 2, this version knows 1\); install the version/,
      );
    });
  });

  describe("preview", () => {
    it("has all outputs: those that are known, and the rest as unknown", async () => {
      const { inputs } = await engine.check(urn, plain);
      const { outputs } = await engine.create(urn, inputs, { preview: true });
      assert.deepEqual(outputs, {
        ...inputs,
        incarnation: UNKNOWN,
        link: UNKNOWN,
        ref: { spec: "shop/prod/Attachment/web" },
      });
      assert.deepEqual(engine.host.verbs(), ["plan"]);
    });

    it("keeps the incarnation of what it updates", async () => {
      const { inputs, id, outputs } = await created();
      const news = { ...inputs, xdp: { interface: "eth1" } };
      const planned = await engine.update(urn, id, outputs, news, { preview: true });
      assert.equal(planned["incarnation"], outputs["incarnation"]);
      assert.equal(planned["link"], UNKNOWN);
      assert.equal(engine.host.verbs().filter((verb) => verb === "apply").length, 1);
    });

    it("knows all outputs of an update that concerns only the way to the host, and asks nobody", async () => {
      const { inputs, id, outputs } = await created();
      const dials = engine.host.dials.length;
      const news = { ...inputs, connection: { host: "edge-1", user: "deploy", hostKey: "k" } };
      const planned = await engine.update(urn, id, outputs, news, { preview: true });
      assert.deepEqual(planned, { ...outputs, connection: news.connection });
      assert.equal(engine.host.dials.length, dials);
    });

    it("fails with every reason for which the host would refuse", async () => {
      const { inputs } = await engine.check(urn, plain);
      const context = { property: "xdp.interface" };
      engine.host.planned = {
        problems: [
          new EbpfError("not-found", "find eth0", { what: "interface", name: "eth0" }, context).toWire(),
          new EbpfError("unsupported", "attach xdp", { feature: "xdp" }).toWire(),
        ],
      };
      const { details } = await failed(engine.create(urn, inputs, { preview: true }));
      assert.match(
        details,
        /^apply Attachment web\n {2}xdp\.interface: deploy@edge-1: find eth0\n {2}xdp: deploy@edge-1: attach xdp$/,
      );
    });

    it("shows at the resource what would happen, what to mind, and the end of a verifier's log", async () => {
      const { inputs } = await engine.check(urn, plain);
      const log = Array.from({ length: 100 }, (_, line) => `line ${line}`).join("\n");
      const verifier = new EbpfError("verifier", "load", { entrypoint: "f", summary: "invalid access", log });
      engine.host.planned = {
        changes: ["attach"],
        warnings: [{ message: "shares the hook" }],
        problems: [verifier.toWire()],
      };
      const { details } = await failed(engine.create(urn, inputs, { preview: true }));
      assert.match(
        details,
        /verifier rejects f on deploy@edge-1 \(kernel 6\.1\.0\): invalid access; full log in/,
      );
      assert.equal(engine.lines[0], `${urn} info web: on deploy@edge-1: attach`);
      assert.equal(engine.lines[1], `${urn} warning web: on deploy@edge-1: shares the hook`);
      assert.match(engine.lines[2]!, /info verifier log of f:\n… 70 lines before\nline 70\n[^]*line 99$/);
    });

    it("goes on with a warning when the host is unreachable", async () => {
      const { inputs } = await engine.check(urn, plain);
      engine.host.failure = { verb: "dial", error: unreachable() };
      const { outputs } = await engine.create(urn, inputs, { preview: true });
      assert.equal(outputs["link"], UNKNOWN);
      assert.deepEqual(engine.lines, [`${urn} warning deploy@edge-1 is unreachable: not planned there`]);
    });

    it("asks nobody when it is offline", async () => {
      await engine.configure({ preview: "offline" });
      const { inputs } = await engine.check(urn, plain);
      await engine.create(urn, inputs, { preview: true });
      assert.deepEqual(engine.host.dials, []);
    });
  });

  describe("a life", () => {
    it("is created, read, updated and deleted", async () => {
      const { inputs, id, outputs } = await created();
      assert.equal(id, "deploy@edge-1/shop/prod/Attachment/web");
      const read = await engine.read(urn, id, outputs, inputs);
      assert.deepEqual([read.id, read.outputs, read.inputs], [id, outputs, inputs]);
      const news = { ...inputs, xdp: { ...(inputs["xdp"] as object), interface: "eth1" } };
      const updated = await engine.update(urn, id, outputs, news);
      assert.deepEqual(updated["xdp"], news.xdp);
      assert.equal(updated["incarnation"], outputs["incarnation"]);
      await engine.delete(urn, id, updated);
      assert.equal(engine.host.records.size, 0);
      const gone = await engine.read(urn, id, outputs, inputs);
      assert.deepEqual([gone.id, gone.outputs, gone.inputs], ["", {}, undefined]);
    });

    it("never gives a secret back in clear, in outputs or in inputs that were read", async () => {
      const connection = { host: "edge-1", privateKey: "hunter2", proxy: { host: "b", password: "hunter2" } };
      const { inputs, id, outputs } = await created({ ...plain, connection });
      const updated = await engine.update(urn, id, outputs, { ...inputs, xdp: { interface: "eth1" } });
      const read = await engine.read(urn, id, updated);
      for (const answer of [inputs, outputs, updated, read.outputs, read.inputs]) {
        const text = JSON.stringify(answer);
        assert.equal(text.match(/hunter2/g)?.length, 2);
        const hidden = text.replaceAll(JSON.stringify(secret("hunter2")), "[secret]");
        assert.doesNotMatch(hidden, /hunter2/);
      }
    });

    it("has references for other languages, and none for the Node SDK, which makes its own", async () => {
      const ref = { spec: "shop/prod/Attachment/web" };
      const other = await created();
      assert.deepEqual(other.outputs["ref"], ref);
      assert.deepEqual((await engine.read(urn, other.id, other.outputs)).outputs["ref"], ref);
      const own = await created(attachmentInputs());
      assert.equal("ref" in own.outputs, false);
      assert.equal("ref" in (await engine.read(urn, own.id, own.outputs)).outputs, false);
    });

    it("takes the state of the dynamic provider", async () => {
      const { inputs, id, outputs } = await created();
      const state = { ...outputs, __provider: "exports.handler = …" };
      const read = await engine.read(urn, id, state, { ...inputs, __provider: "exports.handler = …" });
      assert.doesNotMatch(JSON.stringify(read), /__provider/);
      await engine.delete(urn, id, state);
      assert.equal(engine.host.records.size, 0);
    });
  });

  describe("failures", () => {
    it("keep what an unconfirmed create may have left", async () => {
      const { inputs } = await engine.check(urn, plain);
      engine.host.failure = { verb: "apply", error: lost(), after: true };
      const large = { ...inputs, padding: "x".repeat(20_000) };
      const error = await failed(engine.create(urn, large));
      assert.equal(error.code, status.UNKNOWN);
      const half = initFailure(error)!;
      assert.equal(half.getId(), "deploy@edge-1/shop/prod/Attachment/web");
      assert.deepEqual(half.getReasonsList(), [error.details]);
      const state = half.getProperties()!.toJavaScript() as Properties;
      assert.match(String((state["drift"] as string[])[0]), /not confirmed/);
      engine.host.failure = undefined;
      await engine.delete(urn, half.getId(), state);
      assert.equal(engine.host.records.size, 0);
    });

    it("leave nothing in the state when nothing was done", async () => {
      const { inputs } = await engine.check(urn, plain);
      engine.host.failure = { verb: "dial", error: unreachable() };
      const error = await failed(engine.create(urn, inputs));
      assert.equal(initFailure(error), undefined);
      assert.match(error.details, /edge-1.*connection refused/);
    });

    it("name the time that a resource was given", async () => {
      const { inputs } = await engine.check(urn, plain);
      engine.stuck.add("apply");
      const error = await failed(engine.create(urn, inputs, { timeout: 0.05 }));
      assert.match(
        error.details,
        /^create Attachment "web": not done within 0\.05 s .*customTimeouts\.create/,
      );
      assert.notEqual(initFailure(error), undefined);
    });

    it("end calls under way when the engine cancels, and refuse new ones, without a line of log", async () => {
      const { inputs } = await engine.check(urn, plain);
      engine.stuck.add("apply");
      const creating = failed(engine.create(urn, inputs));
      while (!engine.host.dials.length) await new Promise((next) => setTimeout(next, 5));
      await engine.cancel();
      assert.match((await creating).details, /cancelled/);
      assert.match((await failed(engine.create(urn, inputs))).details, /cancelled/);
      assert.deepEqual(engine.lines, []);
    });

    it("of a read say that the host is unreachable, and the ways out", async () => {
      const { inputs, id, outputs } = await created();
      engine.host.failure = { verb: "dial", error: unreachable() };
      const { details } = await failed(engine.read(urn, id, outputs, inputs));
      assert.match(details, /deploy@edge-1.*--exclude/);
    });
  });

  describe("autoRefresh", () => {
    beforeEach(() => engine.configure({ autoRefresh: "true" }));

    it("asks the engine to read before each update", async () => {
      const { inputs, id, outputs } = await created();
      assert.equal((await engine.create(urn, inputs)).refreshBeforeUpdate, true);
      assert.equal((await engine.read(urn, id, outputs, inputs)).refreshBeforeUpdate, true);
    });

    it("goes on with the recorded state when the host is unreachable, and warns", async () => {
      const { inputs, id, outputs } = await created();
      engine.host.failure = { verb: "dial", error: unreachable() };
      const read = await engine.read(urn, id, outputs, inputs);
      assert.deepEqual([read.id, read.outputs, read.inputs], [id, outputs, inputs]);
      assert.match(engine.lines.join(), /warning .*connection refused.*not refreshed/);
    });
  });
});
