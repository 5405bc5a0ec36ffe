/** Maps across revisions, and between Specs. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { EbpfError } from "../../../provider/errors";
import type { MapPart, Spec } from "../../../provider/protocol/spec";
import { bpftool, closesEverything } from "../bpf/support";
import {
  compileGuard,
  emptySpec,
  entriesId,
  entriesSpec,
  mapId,
  programId,
  programSpec,
  TestHost,
} from "./support";

const guard = compileGuard();
const larger = compileGuard("-DMAX_ENTRIES=4096");
const smaller = compileGuard("-DMAX_ENTRIES=2");
const narrow = compileGuard("-DVALUE=__u32");

describe("maps across revisions", function () {
  this.timeout(60_000);
  closesEverything();
  let host: TestHost;

  beforeEach(async () => {
    host = new TestHost();
    await host.agent.put(guard, larger, smaller, narrow);
    await host.agent.apply(programSpec(guard));
  });
  afterEach(async () => {
    await host.agent.remove(entriesId, programId, mapId);
    await host.remove();
  });

  const pin = (name: string, id = programId) =>
    `${host.roots.bpffs}/${host.pins(id).find((path) => path.endsWith(`/${name}`))}`;
  const dump = (name = "list") =>
    (bpftool("map", "dump", "pinned", pin(name)) as { formatted: { key: number; value: number } }[])
      .map(({ formatted: { key, value } }) => [key, value])
      .sort((a, b) => a[0]! - b[0]!);
  const mapIds = async () =>
    Object.fromEntries(
      Object.entries((await host.agent.observe(programId)).maps).map(([name, { mapId: id }]) => [name, id]),
    );
  const isCode = (code: string) => (error: unknown) => error instanceof EbpfError && error.code === code;
  const rows: [number, number][] = [
    [1, 10],
    [2, 20],
    [3, 30],
  ];

  async function applyRows(): Promise<void> {
    const entries = entriesSpec(rows);
    await host.agent.put(...entries.blobs);
    await host.agent.apply(entries.spec);
  }

  it("reuses maps of the same shape and .bss; .rodata, .data and prog_arrays are new", async () => {
    const before = await mapIds();
    await host.agent.apply(programSpec(guard, { verdict: 1 }));
    const after = await mapIds();
    const kept = Object.keys(after).filter((name) => after[name] === before[name]);
    assert.deepEqual(kept.sort(), [".bss", "counters", "list", "ports", "prefixes"]);
  });

  it("refuses a change of shape by default, and plan says so", async () => {
    const spec = programSpec(larger);
    await assert.rejects(host.agent.apply(spec), isCode("data-loss"));
    const { problems } = await host.agent.call("plan", { spec, blobs: {} });
    assert.match(problems[0]!.message, /change map "list": the number of entries changes from 1024 to 4096/);
    assert.deepEqual(await host.agent.drift(programId), []);
  });

  it("migrates what the map holds to a larger one, and says so in plan", async () => {
    await applyRows();
    const spec = programSpec(larger, { mapDataPolicy: "migrate" });
    const { changes } = await host.agent.call("plan", { spec, blobs: {} });
    assert.ok(
      changes.includes('map "list" grows from 1024 to 4096 entries: data is migrated'),
      changes.join(),
    );
    await host.agent.apply(spec);
    assert.deepEqual(dump(), rows);
    assert.deepEqual(await host.agent.drift(entriesId), []);
  });

  it("refuses to migrate to a map that is too small", async () => {
    await applyRows();
    await assert.rejects(
      host.agent.apply(programSpec(smaller, { mapDataPolicy: "migrate" })),
      isCode("data-loss"),
    );
    assert.deepEqual(dump(), rows);
  });

  it("fills a replaced map with the entries that point at it before any program uses it", async () => {
    await applyRows();
    execFileSync("bpftool", [
      "map",
      "update",
      "pinned",
      pin("list"),
      "key",
      "9",
      "0",
      "0",
      "0",
      "value",
      ..."10000000".split(""),
    ]);
    const status = await host.agent.apply(programSpec(larger, { mapDataPolicy: "replace" }));
    assert.deepEqual(status.drift, []);
    assert.deepEqual(dump(), rows);
    assert.deepEqual(await host.agent.drift(entriesId), []);
  });

  it("refuses a replacement that the entries of another Spec do not fit", async () => {
    await applyRows();
    await assert.rejects(host.agent.apply(programSpec(narrow, { mapDataPolicy: "replace" })), (error) => {
      assert.ok(EbpfError.is(error, "conflict"));
      assert.equal(error.details.owner, entriesId);
      return true;
    });
  });

  it("refuses to migrate what only the kernel can make, or what changes its meaning", async () => {
    await assert.rejects(
      host.agent.apply(programSpec(narrow, { mapDataPolicy: "migrate" })),
      isCode("data-loss"),
    );
    await host.agent.apply(programSpec(narrow, { mapDataPolicy: "replace" }));
  });

  it("shares a map between Specs, and refuses to make it anew under its users", async () => {
    const list: MapPart = {
      name: "shared",
      type: "hash",
      keySize: 4,
      valueSize: 8,
      maxEntries: 16,
      flags: 0,
      mapDataPolicy: "replace",
    };
    const shared: Spec = { ...emptySpec(mapId), maps: [list] };
    await host.agent.apply(shared);
    const { maps } = await host.agent.apply(
      programSpec(guard, { maps: { list: { spec: mapId, map: "shared" } } }),
    );
    assert.equal(maps.list, undefined);
    const id = (await host.agent.observe(mapId)).maps.shared!.mapId;
    const used = bpftool("prog", "show", "pinned", pin("xdp_guard")) as { map_ids: number[] };
    assert.ok(used.map_ids.includes(id));
    const renewed = { ...shared, maps: [{ ...list, maxEntries: 32 }] };
    await assert.rejects(
      host.agent.apply(renewed),
      (error) => EbpfError.is(error, "conflict") && error.details.owner === programId,
    );
    await assert.rejects(host.agent.call("remove", { id: mapId, incarnation: "one" }), (error) =>
      EbpfError.is(error, "conflict"),
    );
    const entries = entriesSpec(rows);
    await host.agent.put(...entries.blobs);
    await host.agent.apply(entries.spec);
    assert.deepEqual((bpftool("map", "dump", "pinned", pin("shared", mapId)) as unknown[]).length, 3);
  });

  it("repairs a global that was overwritten, by loading anew", async () => {
    const value = Buffer.alloc(4);
    value.writeUInt32LE(8);
    const globals = [{ name: "tunable", section: ".data", offset: 0, bytes: value.toString("base64") }];
    await host.agent.apply(programSpec(guard, { globals }));
    assert.deepEqual(await host.agent.drift(programId), []);
    const size = (bpftool("map", "show", "pinned", pin("%2Edata")) as { bytes_value: number }).bytes_value;
    const bytes = Array.from({ length: size }, () => "0");
    execFileSync("bpftool", [
      "map",
      "update",
      "pinned",
      pin("%2Edata"),
      "key",
      "0",
      "0",
      "0",
      "0",
      "value",
      ...bytes,
    ]);
    assert.match((await host.agent.drift(programId)).join(), /^global-changed/);
    assert.deepEqual((await host.agent.apply(programSpec(guard, { globals }))).drift, []);
  });
});
