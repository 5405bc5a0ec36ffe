import assert from "node:assert/strict";
import { type EbpfError } from "../../../provider/errors";
import { runFunction } from "../../../provider/functions";
import { openSources } from "../../../provider/sources";
import { Workshop } from "../btf/compile";

describe("inspectObject", () => {
  let workshop: Workshop;
  before(() => {
    workshop = new Workshop();
  });
  after(() => workshop.remove());

  const open = () => assert.fail("it asks no host");
  const inspect = async (args: Record<string, unknown>) =>
    (await runFunction("inspectObject", args, { open, openSources })).outputs;

  it("names programs, maps and globals with their types, and no section as a map", async () => {
    const { fileName, license, entrypoints, maps, globals } = await inspect({
      source: workshop.object("objects.bpf.c"),
    });
    assert.match(String(fileName), /object\.o$/);
    assert.match(String(license), /GPL/);
    assert.deepEqual((entrypoints as Record<string, unknown>)["first"], {
      section: "xdp",
      type: "xdp",
      attachType: "xdp",
    });
    const { blocked } = maps as Record<string, Record<string, unknown>>;
    assert.equal(blocked?.["type"], "lpm_trie");
    assert.deepEqual(
      Object.keys(maps as object).filter((name) => name.startsWith(".")),
      [],
    );
    for (const { section, size } of Object.values(
      globals as Record<string, { section: string; size: number }>,
    )) {
      assert.match(section, /^\./);
      assert.ok(size > 0);
    }
  });

  it("names the property of what it cannot read", async () => {
    await assert.rejects(inspect({ source: "./none.o" }), (error: EbpfError) => {
      assert.match(error.render(), /source.*none\.o/s);
      return true;
    });
    await assert.rejects(inspect({ source: __filename }), (error: EbpfError) => {
      assert.match(error.render(), /source/);
      return true;
    });
  });
});
