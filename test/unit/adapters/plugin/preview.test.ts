import assert from "node:assert/strict";
import { EbpfError } from "../../../../provider/errors";
import { UNKNOWN } from "../../../../provider/lifecycle";
import { unreachable } from "../../lifecycle/host";
import { created, failed, plain, urn } from "./attachment";
import { Engine } from "./engine";

describe("preview of the plugin", () => {
  let engine: Engine;

  beforeEach(async () => {
    engine = await Engine.start();
  });

  afterEach(() => engine.stop());

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
    const { inputs, id, outputs } = await created(engine);
    const news = { ...inputs, xdp: { interface: "eth1" } };
    const planned = await engine.update(urn, id, outputs, news, { preview: true });
    assert.equal(planned["incarnation"], outputs["incarnation"]);
    assert.equal(planned["link"], UNKNOWN);
    assert.equal(engine.host.verbs().filter((verb) => verb === "apply").length, 1);
  });

  it("knows all outputs of an update that concerns only the way to the host, and asks nobody", async () => {
    const { inputs, id, outputs } = await created(engine);
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
