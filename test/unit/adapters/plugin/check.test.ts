import assert from "node:assert/strict";
import { UNKNOWN } from "../../../../provider/lifecycle";
import { attachmentInputs } from "../../lifecycle/host";
import { plain, urn } from "./attachment";
import { Engine, secret, SIGNATURE, urnOf } from "./engine";

describe("check of the plugin", () => {
  let engine: Engine;

  beforeEach(async () => {
    engine = await Engine.start();
  });

  afterEach(() => engine.stop());

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
