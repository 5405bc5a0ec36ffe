import assert from "node:assert/strict";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TextContent } from "../../../provider/protocol/policy";
import { Host } from "../lifecycle/host";
import { setInputs } from "../lifecycle/policies";

type Properties = Record<string, unknown>;

describe("AddressSet", () => {
  const offline = { "ebpf:preview": "offline" };
  let directory: string;
  let file: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "ebpf-set-"));
    file = join(directory, "networks.txt");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  async function check(change: Properties = {}, olds?: Properties) {
    const host = new Host();
    const outcome = await host.lifecycle(offline).check("AddressSet", olds, setInputs(change));
    const problems = outcome.failures.map(({ property, reason }) => `${property}: ${reason}`);
    return { ...outcome, content: outcome.inputs["content"] as TextContent, problems, host };
  }

  function inFile(text: string): Promise<Awaited<ReturnType<typeof check>>> {
    writeFileSync(file, text);
    return check({ cidrs: undefined, file });
  }

  it("has the same content from a list and from a file, whose digest alone lies in the state", async () => {
    const list = await check();
    const { content, inputs } = await inFile("198.51.100.0/24\n2001:db8:7::/48\n");
    assert.deepEqual(content, list.content);
    assert.equal(content.count, 2);
    assert.equal(inputs["cidrs"], undefined);
  });

  it("compiles to a part whose networks lie in chunks", async () => {
    const host = new Host();
    const lifecycle = host.lifecycle(offline);
    const { inputs } = await lifecycle.check("AddressSet", undefined, setInputs());
    await lifecycle.create("AddressSet", inputs);
    const { spec } = host.records.get("shop/prod/AddressSet/offices")!;
    assert.deepEqual(spec.addressSet, { networks: inputs["content"] });
    const chunks = [...host.blobs.values()].map((bytes) => Buffer.from(bytes).toString());
    assert.ok(chunks.includes("198.51.100.0/24\n2001:db8:7::/48\n"));
  });

  it("refuses wrong networks of a list, each at its place", async () => {
    const { problems } = await check({ cidrs: ["10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/33", "office"] });
    assert.deepEqual(problems, [
      "cidrs[1]: 10.0.0.1/8 has bits set beyond its prefix; write 10.0.0.0/8",
      "cidrs[2]: the prefix length of 10.0.0.0/33 is more than 32",
      'cidrs[3]: expected an IPv4 network such as 203.0.113.0/24, got "office"',
    ]);
  });

  it("refuses wrong networks of a file, by line", async () => {
    const { problems } = await inFile("# feed\n\n10.0.0.0/8 # ours\n10.0.0.1/8\n2001:db8::1/32\n192.0.2.1\n");
    assert.deepEqual(problems, [
      "file: networks.txt: line 4: 10.0.0.1/8 has bits set beyond its prefix; write 10.0.0.0/8",
      "file: networks.txt: line 5: 2001:db8::1/32 has bits set beyond its prefix; write 2001:db8::/32",
      'file: networks.txt: line 6: expected an IPv4 network such as 203.0.113.0/24, got "192.0.2.1"',
    ]);
  });

  it("refuses a file with more than a million networks, and one that is not there", async () => {
    const { problems } = await inFile("10.0.0.0/8\n".repeat(1_000_001));
    assert.deepEqual(problems, [`file: ${file}: 1000001 networks are more than 1000000`]);
    const missing = await check({ cidrs: undefined, file: "./nowhere.txt" });
    assert.deepEqual(missing.problems, ["file: ./nowhere.txt: no such file"]);
  });

  it("needs one of cidrs and file", async () => {
    for (const change of [{ cidrs: undefined }, { file: "./networks.txt" }]) {
      assert.deepEqual((await check(change)).problems, ["cidrs: give either cidrs or file"]);
    }
  });

  it("sees that a file changed between check and apply", async () => {
    const host = new Host();
    const lifecycle = host.lifecycle(offline);
    writeFileSync(file, "10.0.0.0/8\n");
    const { inputs } = await lifecycle.check("AddressSet", undefined, setInputs({ cidrs: undefined, file }));
    writeFileSync(file, "11.0.0.0/8\n");
    utimesSync(file, 1, 1);
    await assert.rejects(
      lifecycle.create("AddressSet", inputs),
      /its local file changed between check and apply/,
    );
    assert.ok(!host.verbs().includes("apply"));
  });

  it("says in preview how many networks it will have", async () => {
    const { inputs } = await check();
    assert.deepEqual((await check({ cidrs: ["10.0.0.0/8"] }, inputs)).host.reports, [
      "offices: 1 networks, 2 before",
    ]);
    assert.deepEqual((await check({}, inputs)).host.reports, []);
  });
});
