import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { EbpfError } from "../../../provider/errors";
import type { ParamsOf } from "../../../provider/protocol/messages";
import { digestOf } from "../../../provider/protocol/spec";
import { UNKNOWN } from "../../../provider/resources/unknown";
import { Workshop } from "../btf/compile";
import { Host } from "./host";

describe("a Program's file", () => {
  let workshop: Workshop;
  let source: string;
  let blob: string;
  let host: Host;

  before(() => {
    workshop = new Workshop();
    source = workshop.file("filter.o", readFileSync(workshop.object("objects.bpf.c")));
    blob = digestOf(readFileSync(source));
  });
  after(() => workshop.remove());
  beforeEach(() => (host = new Host()));

  const inputsOf = (change: Record<string, unknown> = {}) => ({
    connection: { host: "edge-1" },
    specId: "shop/prod/Program/filter",
    source,
    ...change,
  });

  it("is shown to the host inline by a plan, so that nothing of it is stored there", async () => {
    await host.lifecycle().check("Program", undefined, inputsOf());
    assert.deepEqual(host.verbs(), ["plan"]);
    const { blobs } = host.calls[0]!.params as ParamsOf<"plan">;
    assert.deepEqual(Object.keys(blobs), [blob]);
    assert.equal(digestOf(blobs[blob]!), blob);
  });

  it("goes along with the apply while it is small", async () => {
    await createTwice(source);
    assert.deepEqual(host.verbs(), ["apply", "apply"]);
    for (const { params } of host.calls)
      assert.deepEqual(Object.keys((params as ParamsOf<"apply">).blobs!), [blob]);
  });

  it("is put on the host once when it is large", async () => {
    const large = Buffer.concat([readFileSync(source), Buffer.alloc(64 << 10)]);
    await createTwice(workshop.file("large.o", large));
    assert.deepEqual(host.verbs(), ["blob.has", "blob.put", "apply", "blob.has", "apply"]);
  });

  async function createTwice(object: string): Promise<void> {
    const lifecycle = host.lifecycle({ "ebpf:preview": "offline" });
    for (const name of ["a", "b"]) {
      const specId = `shop/prod/Program/${name}`;
      const { inputs } = await lifecycle.check("Program", undefined, inputsOf({ specId, source: object }));
      const { outputs } = await lifecycle.create("Program", inputs);
      assert.deepEqual(Object.keys(outputs["entrypoints"] as object).sort(), [
        "connecting",
        "first",
        "opening",
        "second",
        "tail",
      ]);
    }
  }

  it("must not change between check and create", async () => {
    const lifecycle = host.lifecycle({ "ebpf:preview": "offline" });
    const moving = workshop.file("moving.o", readFileSync(source));
    const { inputs } = await lifecycle.check("Program", undefined, inputsOf({ source: moving }));
    workshop.file(
      "moving.o",
      readFileSync(workshop.objectOf('int f(void) __attribute__((section("xdp")));int f(void){return 2;}')),
    );
    await assert.rejects(
      lifecycle.create("Program", inputs),
      /source: .*changed between check and apply; run `pulumi up` again/,
    );
    assert.deepEqual(host.records.size, 0);
  });

  it("is needed neither by refresh nor by destroy", async () => {
    const lifecycle = host.lifecycle({ "ebpf:preview": "offline" });
    const passing = workshop.file("passing.o", readFileSync(source));
    const { inputs } = await lifecycle.check("Program", undefined, inputsOf({ source: passing }));
    const { id, outputs } = await lifecycle.create("Program", inputs);
    rmSync(passing);
    assert.notEqual(await lifecycle.read("Program", id, outputs), null);
    await lifecycle.delete("Program", id, outputs);
    assert.equal(host.records.size, 0);
  });

  it("tells which links an update swaps: in the preview by the plan, afterwards by the Record", async () => {
    const links = ["xdp on eth0 of shop/prod/Attachment/web"];
    const lifecycle = host.lifecycle();
    const { inputs } = await lifecycle.check("Program", undefined, inputsOf());
    const { id, outputs } = await lifecycle.create("Program", inputs);
    assert.ok(!("swappedLinks" in outputs), "a Record of 0.1.0 does not know");
    const news = (await lifecycle.check("Program", inputs, inputsOf({ globals: { limit: 3 } }))).inputs;
    host.planned = { swappedLinks: links };
    assert.deepEqual((await lifecycle.preview("Program", id, outputs, news))["swappedLinks"], links);
    host.swappedLinks = links;
    const updated = await lifecycle.update("Program", id, outputs, news);
    assert.deepEqual(updated["swappedLinks"], links);
    assert.deepEqual((await lifecycle.read("Program", id, updated))!.outputs["swappedLinks"], links);
    const offline = host.lifecycle({ "ebpf:preview": "offline" });
    assert.equal((await offline.preview("Program", id, updated, inputs))["swappedLinks"], UNKNOWN);
  });

  it("that is missing is a failure of check at `source`", async () => {
    const { failures } = await host.lifecycle().check("Program", undefined, inputsOf({ source: "./nope.o" }));
    assert.deepEqual(
      failures.map(({ property }) => property),
      ["source"],
    );
  });

  it("that the verifier refuses is a failure at `source`, with its line and the kernel", async () => {
    const error = new EbpfError("verifier", "load first", {
      entrypoint: "first",
      summary: "R1 invalid mem access 'scalar'",
      sourceLine: "filter.bpf.c:41",
      log: "log",
    });
    host.planned = { problems: [error.toWire()] };
    const { failures } = await host.lifecycle().check("Program", undefined, inputsOf());
    assert.equal(failures[0]!.property, "source");
    assert.match(
      failures[0]!.reason,
      /^verifier rejects first on edge-1 \(kernel 6\.1\.0\): R1 invalid mem access 'scalar' at filter\.bpf\.c:41; full log in \//,
    );
    rmSync(failures[0]!.reason.replace(/^.* in /, ""));
  });
});
