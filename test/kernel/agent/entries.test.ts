import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { MapHandle, possibleCpus } from "../../../provider/bpf";
import { EbpfError } from "../../../provider/errors";
import type { MapPart, Spec } from "../../../provider/protocol/spec";
import { bpftool, closesEverything, u32 } from "../bpf/support";
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

describe("entries", function () {
  this.timeout(60_000);
  closesEverything();
  let host: TestHost;

  beforeEach(async () => {
    host = new TestHost();
    await host.agent.put(guard);
    await host.agent.apply(programSpec(guard));
  });
  afterEach(async () => {
    await host.agent.remove(entriesId, mapId, programId);
    await host.endSessions();
    host.assertEmpty();
    await host.remove();
  });

  const pin = (name: string, id = programId) =>
    `${host.roots.bpffs}/${host.pins(id).find((path) => path.endsWith(`/${name}`))}`;

  /** By bpftool. */
  function dump(name = "list"): [number, number][] {
    const rows = bpftool("map", "dump", "pinned", pin(name)) as {
      formatted: { key: number; value: number };
    }[];
    return rows
      .map(({ formatted: { key, value } }): [number, number] => [key, value])
      .sort((a, b) => a[0] - b[0]);
  }

  function set(key: number, value: number): void {
    const bytes = (size: number, number: number) => {
      const buffer = Buffer.alloc(size);
      buffer.writeUInt32LE(number);
      return [...buffer].map(String);
    };
    execFileSync("bpftool", [
      "map",
      "update",
      "pinned",
      pin("list"),
      "key",
      ...bytes(4, key),
      "value",
      ...bytes(8, value),
    ]);
  }

  async function apply(rows: [number, number][], changes: Parameters<typeof entriesSpec>[1] = {}) {
    const entries = entriesSpec(rows, changes);
    await host.agent.put(...entries.blobs);
    return host.agent.apply(entries.spec);
  }

  it("authoritative: what is not declared goes, and is drift", async () => {
    set(77, 1);
    await apply(
      [
        [1, 1],
        [2, 2],
      ],
      { mode: "authoritative" },
    );
    assert.deepEqual(dump(), [
      [1, 1],
      [2, 2],
    ]);
    set(78, 1);
    set(2, 9);
    const { drift, entries } = await host.agent.observe(entriesId);
    assert.deepEqual(
      drift.map(({ code, key }) => [code, Buffer.from(key!, "base64").readUInt32LE()]),
      [
        ["entry-changed", 2],
        ["entry-extra", 78],
      ],
    );
    assert.deepEqual(entries, { entries: { matching: 1, declared: 2 } });
    const again = await apply(
      [
        [1, 1],
        [2, 2],
      ],
      { mode: "authoritative" },
    );
    assert.deepEqual(again.drift, []);
    assert.deepEqual(dump(), [
      [1, 1],
      [2, 2],
    ]);
  });

  it("own: leaves other keys alone, and takes its own with it", async () => {
    set(77, 1);
    await apply([
      [1, 1],
      [2, 2],
    ]);
    assert.deepEqual(await host.agent.drift(entriesId), []);
    await apply([[2, 3]]);
    assert.deepEqual(dump(), [
      [2, 3],
      [77, 1],
    ]);
    await host.agent.remove(entriesId);
    assert.deepEqual(dump(), [[77, 1]]);
  });

  it("seed: written once, then the data plane's", async () => {
    await apply(
      [
        [1, 1],
        [2, 2],
      ],
      { mode: "seed" },
    );
    set(1, 100);
    execFileSync("bpftool", ["map", "delete", "pinned", pin("list"), "key", "2", "0", "0", "0"]);
    assert.deepEqual(await host.agent.drift(entriesId), []);
    await apply(
      [
        [1, 1],
        [2, 2],
        [3, 3],
      ],
      { mode: "seed" },
    );
    assert.deepEqual(dump(), [
      [1, 100],
      [3, 3],
    ]);
  });

  it("repairs what drifted although only other rows change", async () => {
    const rows = Array.from({ length: 20 }, (_, i): [number, number] => [i, i]);
    await apply(rows);
    set(3, 99);
    assert.equal((await host.agent.drift(entriesId)).length, 1);
    await apply([...rows.slice(0, 19), [19, 20]]);
    assert.deepEqual(await host.agent.drift(entriesId), []);
  });

  it("shows 20 differences, then a number", async () => {
    await apply(Array.from({ length: 30 }, (_, i): [number, number] => [i, i]));
    for (let i = 0; i < 30; i++) set(i, 99);
    const drift = await host.agent.drift(entriesId);
    assert.equal(drift.length, 21);
    assert.match(drift[20]!, /and 10 more entries of map "list" differ/);
  });

  it("keeps secret values out of drift", async () => {
    await apply([[1, 1]], { secret: true });
    set(1, 2);
    const [item] = (await host.agent.observe(entriesId)).drift;
    assert.equal(item!.expected, undefined);
    assert.equal(item!.found, undefined);
  });

  it("refuses what does not fit before it writes anything", async () => {
    const code = (wanted: string) => (error: unknown) => error instanceof EbpfError && error.code === wanted;
    await assert.rejects(apply([[1, 1]], { keySize: 8 }), code("invalid"));
    await assert.rejects(apply([[1, 1]], { valueSize: 4 }), code("invalid"));
    await assert.rejects(apply([[1, 1]], { perCpu: "all" }), code("invalid"));
    await assert.rejects(apply([[1, 1]], { map: { spec: programId, map: "nothing" } }), code("not-found"));
    await assert.rejects(
      apply([[1, 1]], { map: { spec: "a/b/Program/none", map: "list" } }),
      code("not-found"),
    );
    const many = Array.from({ length: 1025 }, (_, i): [number, number] => [i, i]);
    await assert.rejects(apply(many), code("limit"));
    for (let i = 0; i < 1020; i++) set(i + 5000, 1);
    await assert.rejects(apply(many.slice(0, 10)), code("limit"));
    assert.equal(dump().length, 1020);
    assert.equal(await host.agent.look(entriesId), null);
  });

  it("deletes first where a full map leaves no other way, and says so", async () => {
    const rows = Array.from({ length: 1024 }, (_, i): [number, number] => [i, i]);
    await apply(rows, { mode: "authoritative" });
    const { notes } = await apply(
      [...rows.slice(10), ...rows.slice(0, 10).map(([key]): [number, number] => [key + 9000, 1])],
      {
        mode: "authoritative",
      },
    );
    assert.match(notes.join(), /too full to add entries before deleting others/);
    assert.deepEqual(await host.agent.drift(entriesId), []);
  });

  it("writes one value for all CPUs, or one for each", async () => {
    const cpus = possibleCpus();
    const map = { spec: programId, map: "counters" };
    await apply([[1, 5]], { map, valueSize: 4, perCpu: "all" });
    const value = withMap("counters", (counters) => counters.lookup(u32(1))!);
    for (let cpu = 0; cpu < cpus; cpu++) assert.equal(value.readUInt32LE(cpu * 8), 5);
    assert.deepEqual(await host.agent.drift(entriesId), []);
    await host.agent.remove(entriesId);
    const after = withMap("counters", (counters) => counters.lookup(u32(1))!);
    assert.ok(after.every((byte) => byte === 0));
  });

  function withMap<T>(name: string, work: (map: MapHandle) => T): T {
    const map = MapHandle.fromPin(pin(name));
    try {
      return work(map);
    } finally {
      map.close();
    }
  }

  it("puts programs into a prog_array, and the next revision too", async () => {
    const references = [
      { key: u32(2).toString("base64"), program: { spec: programId, entrypoint: "xdp_guard" } },
    ];
    const changes = { map: { spec: programId, map: "jumps" }, valueSize: 4, references };
    await apply([], changes);
    const slot = () => withMap("jumps", (jumps) => jumps.lookup(u32(2))!.readUInt32LE());
    const program = async () => (await host.agent.observe(programId)).programs.xdp_guard!.programId;
    assert.equal(slot(), await program());
    await host.agent.apply(programSpec(guard, { verdict: 1 }));
    assert.equal(slot(), await program());
    assert.deepEqual(await host.agent.drift(entriesId), []);
    execFileSync("bpftool", ["map", "delete", "pinned", pin("jumps"), "key", "2", "0", "0", "0"]);
    assert.match((await host.agent.drift(entriesId)).join(), /^entry-missing/);
    await apply([], changes);
    assert.equal(slot(), await program());
  });

  /** As bpftool prints bytes: `0a 1b 00 00`. */
  const hexOf = (id: number) => [...u32(id)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");

  it("puts maps into a map of maps", async () => {
    const shape = { type: "hash", keySize: 4, valueSize: 8, maxEntries: 4, flags: 0 };
    const outer: MapPart = {
      ...shape,
      name: "outer",
      type: "hash_of_maps",
      valueSize: 4,
      mapDataPolicy: "fail",
      inner: shape,
    };
    const inner: MapPart = { ...shape, name: "inner", mapDataPolicy: "fail" };
    const spec: Spec = { ...emptySpec(mapId), maps: [outer, inner] };
    await host.agent.apply(spec);
    const references = [{ key: u32(9).toString("base64"), map: { spec: mapId, map: "inner" } }];
    const status = await apply([], { map: { spec: mapId, map: "outer" }, valueSize: 4, references });
    assert.deepEqual(status.entries, { entries: { matching: 1, declared: 1 } });
    const { maps } = await host.agent.observe(mapId);
    const dumped = execFileSync("bpftool", ["map", "dump", "pinned", pin("outer", mapId)], {
      encoding: "utf8",
    });
    assert.match(
      dumped,
      new RegExp(`inner_map_id[: ]+${maps.inner!.mapId}\\b|value:\\s*${hexOf(maps.inner!.mapId)}`),
    );
    await assert.rejects(host.agent.call("remove", { id: mapId, incarnation: "one" }), (error) =>
      EbpfError.is(error, "conflict"),
    );
  });
});
