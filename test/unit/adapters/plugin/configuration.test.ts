import assert from "node:assert/strict";
import * as pb from "@pulumi/pulumi/proto/provider_pb";
import { UNKNOWN } from "../../../../provider/lifecycle";
import { Engine, type Properties, secret, struct, urnOf } from "./engine";

const attachment = {
  program: { spec: "shop/prod/Program/filter", entrypoint: "filter", type: "xdp" },
  xdp: { interface: "eth0" },
};

describe("configuration of the plugin", () => {
  let engine: Engine;

  beforeEach(async () => {
    engine = await Engine.start(null);
  });

  afterEach(() => engine.stop());

  async function check(news: Properties): Promise<{ inputs: Properties; failures: string[] }> {
    const request = new pb.CheckRequest().setUrn("urn").setNews(struct(news));
    const response = await engine.call<pb.CheckRequest, pb.CheckResponse>("checkConfig", request);
    return {
      inputs: response.getInputs()!.toJavaScript() as Properties,
      failures: response.getFailuresList().map((failure) => failure.getReason()),
    };
  }

  it("reports all that is wrong together", async () => {
    const { failures } = await check({
      connection: '{"hst":"edge-1","port":"x"}',
      preview: "sometimes",
      autoRefresh: "perhaps",
      colour: "red",
    });
    assert.deepEqual(
      failures.map((line) => line.replace(/;.*/, "")),
      [
        "ebpf:connection.host: is missing",
        "ebpf:connection.port: expected number, received string",
        "ebpf:connection.hst: unknown property",
        "ebpf:preview: expected one of host, offline",
        "ebpf:autoRefresh: expected boolean, received string",
        "ebpf:colour: unknown property",
      ],
    );
  });

  it("reports what contradicts itself, beside what is wrong by itself", async () => {
    const { failures } = await check({
      autoRefresh: "true",
      preview: "offline",
      connection: '{"host":"a","transport":"local","proxy":{"host":"b","port":0}}',
    });
    assert.equal(failures.length, 3);
    assert.match(failures[0]!, /^ebpf:connection\.proxy\.port: /);
    assert.match(failures[1]!, /^ebpf:autoRefresh: .*preview is offline/);
    assert.match(failures[2]!, /^ebpf:connection\.proxy: .*transport is local/);
  });

  it("reports a connection that is no JSON", async () => {
    assert.match(
      (await check({ connection: "{edge-1" })).failures.join(),
      /ebpf:connection: expected object/,
    );
  });

  it("takes what a preview does not know yet, at any depth", async () => {
    for (const connection of [UNKNOWN, { host: UNKNOWN, proxy: { host: UNKNOWN } }]) {
      const { inputs, failures } = await check({ connection, password: UNKNOWN });
      assert.deepEqual(failures, []);
      assert.deepEqual(inputs, { connection, password: UNKNOWN });
    }
  });

  it("marks each secret, also where nobody else did", async () => {
    const text = '{"host":"a","proxy":{"host":"b","password":"hunter2"}}';
    const { inputs } = await check({ privateKey: "k", owner: "o", connection: text });
    assert.deepEqual(inputs, { privateKey: secret("k"), owner: "o", connection: secret(text) });
    const { inputs: open } = await check({ connection: '{"host":"a"}' });
    assert.deepEqual(open, { connection: '{"host":"a"}' });
    const { inputs: nested } = await check({ connection: { host: "a", password: "p" } });
    assert.deepEqual(nested, { connection: { host: "a", password: secret("p") } });
  });

  it("leaves what the engine keeps beside it alone", async () => {
    const { failures } = await check({ version: "0.1.0", pluginDownloadURL: "u", mode: "plugin" });
    assert.deepEqual(failures, []);
  });

  it("says which settings differ, and replaces nothing", async () => {
    const diff = async (olds: Properties, news: Properties) => {
      const request = new pb.DiffRequest().setUrn("urn").setOlds(struct(olds)).setNews(struct(news));
      return (await engine.call<pb.DiffRequest, pb.DiffResponse>("diffConfig", request)).toObject();
    };
    const before = { connection: '{"host":"a","port":22}', owner: "o" };
    const same = await diff(before, { ...before, connection: '{"port":22,"host":"a"}' });
    assert.equal(same.changes, pb.DiffResponse.DiffChanges.DIFF_NONE);
    const other = await diff(before, { connection: '{"host":"b","port":22}', preview: "offline" });
    assert.equal(other.changes, pb.DiffResponse.DiffChanges.DIFF_SOME);
    assert.deepEqual(other.replacesList, []);
    const { ADD, DELETE, UPDATE } = pb.PropertyDiff.Kind;
    assert.deepEqual(Object.fromEntries(other.detaileddiffMap.map(([name, { kind }]) => [name, kind])), {
      connection: UPDATE,
      owner: DELETE,
      preview: ADD,
    });
  });

  it("is refused as a whole when it is wrong, with every problem", async () => {
    await assert.rejects(
      engine.configure({ preview: "x", owner: 1 }),
      /preview: expected one of.*\n.*owner/s,
    );
  });

  it("says that a resource came before its configuration", async () => {
    await assert.rejects(engine.check(urnOf("Attachment", "web"), attachment), /not configured yet/);
  });

  it("unwraps secrets, which the engine sends as such whatever was agreed", async () => {
    await engine.configure({
      connection: secret('{"host":"edge-1","privateKey":"KEY"}'),
      preview: "offline",
    });
    const { inputs, failures } = await engine.check(urnOf("Attachment", "web"), attachment);
    assert.deepEqual(failures, []);
    await engine.create(urnOf("Attachment", "web"), inputs);
    assert.deepEqual(engine.host.dials, [{ host: "edge-1", privateKey: "KEY" }]);
  });

  it("lends a connection's credentials to resources of its host, whose states then hold none", async () => {
    const proxy = { host: "bastion", password: "p" };
    await engine.configure({
      connection: JSON.stringify({ host: "edge-1", privateKey: "KEY", proxy }),
      preview: "offline",
    });
    const { inputs } = await engine.check(urnOf("Attachment", "web"), attachment);
    assert.deepEqual(inputs["connection"], { host: "edge-1", proxy: { host: "bastion" } });
    const { outputs } = await engine.create(urnOf("Attachment", "web"), inputs);
    assert.doesNotMatch(JSON.stringify(outputs), /KEY|"p"/);
    assert.deepEqual(engine.host.dials, [{ host: "edge-1", privateKey: "KEY", proxy }]);
    await engine.delete(urnOf("Attachment", "web"), "id", outputs);
    assert.deepEqual(engine.host.dials[1], engine.host.dials[0]);
  });

  it("lends nothing to another host, nor to a connection with credentials of its own", async () => {
    await engine.configure({ connection: '{"host":"edge-1","privateKey":"KEY"}', preview: "offline" });
    for (const connection of [{ host: "edge-2" }, { host: "edge-1", password: "own" }]) {
      const { inputs } = await engine.check(urnOf("Attachment", "web"), { ...attachment, connection });
      await engine.create(urnOf("Attachment", "web"), inputs);
      assert.deepEqual(engine.host.dials.at(-1), connection);
    }
  });

  it("wins over the state's credentials where it names some by themselves", async () => {
    await engine.configure({ privateKey: "NEW", preview: "offline" });
    const connection = { host: "edge-1", privateKey: "OLD" };
    const { inputs } = await engine.check(urnOf("Attachment", "web"), { ...attachment, connection });
    await engine.create(urnOf("Attachment", "web"), inputs);
    assert.deepEqual(engine.host.dials.at(-1), { host: "edge-1", privateKey: "NEW" });
  });
});
