import assert from "node:assert/strict";
import { EbpfError } from "../../../../provider/errors";
import { UNKNOWN } from "../../../../provider/lifecycle";
import { attachmentInputs } from "../../lifecycle/host";
import { Engine, type Properties, secret, urnOf } from "./engine";

const urn = urnOf("Attachment", "web");
const id = "deploy@edge-1/shop/prod/Attachment/web";

describe("a resource by its id alone", () => {
  let engine: Engine;
  let checked: Properties;

  beforeEach(async () => {
    engine = await Engine.start({ preview: "offline" });
    const { inputs } = await engine.check(urn, attachmentInputs({ connection: { host: "elsewhere" } }));
    await engine.create(urn, inputs);
    checked = inputs;
    engine.host.dials.length = 0;
  });

  afterEach(() => engine.stop());

  it("is imported with the inputs of the host's Record, whose incarnation it takes over", async () => {
    const { outputs, inputs } = await engine.read(urn, id);
    const connection = { host: "edge-1", user: "deploy" };
    assert.deepEqual(inputs, { ...checked, connection });
    assert.equal(outputs["incarnation"], engine.host.records.get("shop/prod/Attachment/web")!.incarnation);
    assert.deepEqual({ ...outputs, ...inputs }, outputs);
    const diff = await engine.diff(urn, outputs, { ...checked, connection });
    assert.deepEqual(diff.detaileddiffMap, []);
  });

  it("passes the check that the engine makes of it, and the program's own", async () => {
    const { inputs } = await engine.read(urn, id);
    assert.deepEqual((await engine.check(urn, inputs!, inputs)).failures, []);
    const program = await engine.check(
      urn,
      attachmentInputs({ connection: { host: "edge-1", user: "deploy" } }),
      inputs,
    );
    assert.deepEqual(program.inputs, inputs);
  });

  it("is reached as the id says: user, port and IPv6 addresses", async () => {
    for (const [label, connection] of [
      ["edge-1", { host: "edge-1" }],
      ["root@edge-1:2222", { host: "edge-1", user: "root", port: 2222 }],
      ["[fd00::1]", { host: "fd00::1" }],
      ["me@[fd00::1]:22", { host: "fd00::1", user: "me", port: 22 }],
    ] as const) {
      const { inputs } = await engine.read(urn, `${label}/shop/prod/Attachment/web`);
      assert.deepEqual(inputs!["connection"], connection);
      assert.deepEqual(engine.host.dials.at(-1), connection);
    }
  });

  it("is reached by the provider's connection when that leads where the id says, and keeps none of its secrets", async () => {
    const connection = { host: "edge-1", user: "deploy", port: 2222, hostKey: "k", privateKey: "KEY" };
    await engine.configure({ connection: JSON.stringify(connection) });
    for (const label of ["edge-1", "deploy@edge-1", "deploy@edge-1:2222"]) {
      const { inputs } = await engine.read(urn, `${label}/shop/prod/Attachment/web`);
      const { privateKey: _key, ...way } = connection;
      assert.deepEqual(inputs!["connection"], way);
      assert.deepEqual(engine.host.dials.at(-1), connection);
    }
    await engine.read(urn, "root@edge-1/shop/prod/Attachment/web");
    assert.deepEqual(engine.host.dials.at(-1), { host: "edge-1", user: "root" });
  });

  it("is no resource when the host has none", async () => {
    const gone = await engine.read(urnOf("Attachment", "other"), "edge-1/shop/prod/Attachment/other");
    assert.deepEqual([gone.id, gone.outputs, gone.inputs], ["", {}, undefined]);
  });

  it("is an error when the host cannot be asked", async () => {
    engine.host.failure = {
      verb: "dial",
      error: new EbpfError("transport", "log in: refused", { phase: "auth" }),
    };
    await assert.rejects(engine.read(urn, id), /deploy@edge-1: log in: refused/);
  });

  for (const [what, wrong, message] of [
    ["without a host", "/shop/prod/Attachment/web", /it is not of the form \[user@\]host/],
    ["without a slash", "web", /it is not of the form/],
    ["without a whole name", "edge-1/shop/prod", /"shop\/prod" is no name of a resource on a host/],
    ["with a port that is none", "edge-1:99999/shop/prod/Attachment/web", /"edge-1:99999" names no host/],
    ["with a bad escape", "edge-1/shop/prod/Attachment/%zz", /is no name of a resource/],
    ["of another kind", "edge-1/shop/prod/Program/web", /it is that of a Program/],
    ["of a fleet", "fleet/shop/prod/Attachment/web", /a fleet's.*declare it in the program/],
    [
      "of another stack",
      "edge-1/shop/dev/Attachment/web",
      /it belongs to the stack shop\/dev; import it there/,
    ],
    ["of another project", "edge-1/bank/prod/Attachment/web", /it belongs to the stack bank\/prod/],
  ] as const) {
    it(`refuses an id ${what}`, async () => {
      await assert.rejects(engine.read(urn, wrong), ({ details }: Error & { details: string }) => {
        assert.match(details, message);
        assert.doesNotMatch(details, /\n/);
        return true;
      });
      assert.deepEqual(engine.host.dials, []);
    });
  }

  it("refuses what another owner's backend has, where the provider knows its own", async () => {
    await engine.configure({ owner: "acme" });
    await assert.rejects(engine.read(urn, id), /belongs to the stack shop\/prod/);
    await assert.rejects(engine.read(urn, "edge-1/rival:shop/prod/Attachment/web"), /rival:shop\/prod/);
  });

  it("may be another stack's for get, by the connection that get was given", async () => {
    const elsewhere = "urn:pulumi:dev::bank::ebpf:index:Attachment::view";
    const given = { connection: { host: "10.0.0.1", password: "hunter2" } };
    const { outputs } = await engine.read(elsewhere, id, given, given);
    assert.deepEqual(engine.host.dials, [given.connection]);
    assert.deepEqual(outputs["connection"], { host: "10.0.0.1", password: secret("hunter2") });
    assert.deepEqual(outputs["ref"], { spec: "shop/prod/Attachment/web" });
    assert.equal((await engine.read(elsewhere, id, {})).id, id);
  });

  it("hides rows that were secret, and globals, which may have been", async () => {
    const map = { spec: "shop/prod/Map/m", map: "m", type: "hash", keySize: 4, valueSize: 4, maxEntries: 8 };
    const rows = urnOf("MapEntries", "rows");
    const { inputs, failures } = await engine.check(rows, {
      connection: { host: "edge-1" },
      map: { ...map, keyLayout: "u32", valueLayout: "u32" },
      entries: [{ key: 1, value: 4711 }],
      secret: true,
    });
    assert.deepEqual(failures, []);
    await engine.create(rows, inputs);
    const read = await engine.read(rows, "edge-1/shop/prod/MapEntries/rows");
    for (const side of [read.inputs!, read.outputs]) {
      assert.deepEqual(side["entries"], secret([{ key: 1, value: 4711 }]));
      assert.doesNotMatch(JSON.stringify({ ...side, entries: null }), /4711/);
    }
    assert.notEqual(read.outputs["incarnation"], UNKNOWN);
  });
});
