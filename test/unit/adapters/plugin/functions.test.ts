import assert from "node:assert/strict";
import * as pb from "@pulumi/pulumi/proto/provider_pb";
import { Workshop } from "../../btf/compile";
import { Engine, type Properties, struct } from "./engine";

describe("functions of the plugin", () => {
  const workshop = new Workshop();
  let engine: Engine;

  before(async () => {
    engine = await Engine.start();
  });

  after(() => {
    engine.stop();
    workshop.remove();
  });

  async function invoke(name: string, args: Properties): Promise<Properties> {
    const request = new pb.InvokeRequest().setTok(`ebpf:index:${name}`).setArgs(struct(args));
    const response = await engine.call<pb.InvokeRequest, pb.InvokeResponse>("invoke", request);
    return response.getReturn()!.toJavaScript() as Properties;
  }

  it("answer about an object without a host", async () => {
    const answer = await invoke("inspectObject", { source: workshop.object("objects.bpf.c") });
    assert.notDeepEqual(answer["entrypoints"], {});
    assert.deepEqual(engine.host.dials, []);
  });

  it("say where a connection may come from, and take the provider's", async () => {
    await assert.rejects(invoke("getHostFeatures", {}), /no connection.*ebpf:connection/);
    await engine.configure({ connection: '{"host":"edge-1","privateKey":"KEY"}' });
    await assert.rejects(invoke("getHostFeatures", {}), /the lifecycle has no business with probe/);
    assert.deepEqual(engine.host.dials, [{ host: "edge-1", privateKey: "KEY" }]);
  });

  it("name all arguments that are wrong, and the functions there are", async () => {
    await assert.rejects(
      invoke("inspectObject", { file: 1 }),
      /source: is missing[^]*file: unknown property/,
    );
    await assert.rejects(invoke("getProgramme", {}), /getProgramme.*there are getHostFeatures/);
  });
});
