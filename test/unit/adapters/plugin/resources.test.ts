import assert from "node:assert/strict";
import { type ServiceError, status } from "@grpc/grpc-js";
import * as pb from "@pulumi/pulumi/proto/provider_pb";
import { Status } from "@pulumi/pulumi/proto/status_pb";
import { attachmentInputs, lost, unreachable } from "../../lifecycle/host";
import { created, failed, plain, urn } from "./attachment";
import { Engine, type Properties, secret } from "./engine";

describe("resources of the plugin", () => {
  let engine: Engine;

  beforeEach(async () => {
    engine = await Engine.start();
  });

  afterEach(() => engine.stop());

  describe("a life", () => {
    it("is created, read, updated and deleted", async () => {
      const { inputs, id, outputs } = await created(engine);
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
      const { inputs, id, outputs } = await created(engine, { ...plain, connection });
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
      const other = await created(engine);
      assert.deepEqual(other.outputs["ref"], ref);
      assert.deepEqual((await engine.read(urn, other.id, other.outputs)).outputs["ref"], ref);
      const own = await created(engine, attachmentInputs());
      assert.equal("ref" in own.outputs, false);
      assert.equal("ref" in (await engine.read(urn, own.id, own.outputs)).outputs, false);
    });

    it("takes the state of the dynamic provider", async () => {
      const { inputs, id, outputs } = await created(engine);
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
      const { inputs, id, outputs } = await created(engine);
      engine.host.failure = { verb: "dial", error: unreachable() };
      const { details } = await failed(engine.read(urn, id, outputs, inputs));
      assert.match(details, /deploy@edge-1.*--exclude/);
    });
  });

  describe("autoRefresh", () => {
    beforeEach(() => engine.configure({ autoRefresh: "true" }));

    it("asks the engine to read before each update", async () => {
      const { inputs, id, outputs } = await created(engine);
      assert.equal((await engine.create(urn, inputs)).refreshBeforeUpdate, true);
      assert.equal((await engine.read(urn, id, outputs, inputs)).refreshBeforeUpdate, true);
    });

    it("goes on with the recorded state when the host is unreachable, and warns", async () => {
      const { inputs, id, outputs } = await created(engine);
      engine.host.failure = { verb: "dial", error: unreachable() };
      const read = await engine.read(urn, id, outputs, inputs);
      assert.deepEqual([read.id, read.outputs, read.inputs], [id, outputs, inputs]);
      assert.match(engine.lines.join(), /warning .*connection refused.*not refreshed/);
    });
  });
});

function initFailure(error: ServiceError): pb.ErrorResourceInitFailed | undefined {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  if (bytes === undefined) return undefined;
  const [detail] = Status.deserializeBinary(bytes as Buffer).getDetailsList();
  assert.equal(detail!.getTypeName(), "pulumirpc.ErrorResourceInitFailed");
  return pb.ErrorResourceInitFailed.deserializeBinary(detail!.getValue_asU8());
}
