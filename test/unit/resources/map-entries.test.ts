import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { parseType } from "../../../provider/btf";
import { EbpfError, type Problem } from "../../../provider/errors";
import { openSources } from "../../../provider/sources";
import { type CheckedMapEntries, mapEntries } from "../../../provider/resources/map-entries";

const common = { connection: { host: "edge-1" }, specId: "p/s/MapEntries/rows", drift: [] };
const blocked = {
  spec: "p/s/Program/filter",
  map: "blocked",
  type: "hash",
  keySize: 4,
  valueSize: 4,
  maxEntries: 8,
  keyLayout: parseType("u32"),
  valueLayout: parseType("u32"),
};
const row = { key: 1, value: 2 };

/** As the lifecycle does it: inputs, files, what follows from them. */
async function check(args: Record<string, unknown>): Promise<CheckedMapEntries | Problem[]> {
  const parsed = mapEntries.inputs.safeParse({ ...common, map: blocked, ...args });
  if (!parsed.success) {
    return parsed.error.issues.map(({ path: at, message }) => ({ property: at.join("."), reason: message }));
  }
  try {
    const result = mapEntries.resolve(parsed.data, await openSources(mapEntries.sources(parsed.data)));
    return "problems" in result ? result.problems : (result.checked as CheckedMapEntries);
  } catch (error) {
    assert.ok(EbpfError.is(error, "invalid"), String(error));
    return error.context.problems ?? [];
  }
}

async function checked(args: Record<string, unknown>): Promise<CheckedMapEntries> {
  const result = await check(args);
  assert.ok(!Array.isArray(result), JSON.stringify(result));
  return result;
}

async function refused(args: Record<string, unknown>): Promise<string[]> {
  const result = await check(args);
  assert.ok(Array.isArray(result), "checked");
  return result.map(({ property, reason }) => `${property}: ${reason}`);
}

describe("MapEntries", () => {
  it("compiles to rows of the referenced map", async () => {
    const inputs = await checked({ entries: [row], mode: "authoritative" });
    assert.deepEqual(mapEntries.compile(inputs), {
      format: 1,
      id: "p/s/MapEntries/rows",
      objects: [],
      maps: [],
      entries: [
        {
          name: "entries",
          map: { spec: "p/s/Program/filter", map: "blocked" },
          keySize: 4,
          valueSize: 4,
          mode: "authoritative",
          manifest: inputs.content.manifest,
          count: 1,
          references: [],
          keyLayout: blocked.keyLayout,
          valueLayout: blocked.valueLayout,
        },
      ],
      links: [],
    });
  });

  it("manages only the given keys unless told otherwise", async () => {
    assert.equal((await checked({ entries: [row] })).mode, "own");
  });

  it("gives equal rows an equal digest, and a changed value another", async () => {
    const first = await checked({ entries: [row] });
    const same = await checked({ entries: [{ key: "1", value: "0x2" }] });
    const other = await checked({ entries: [{ key: 1, value: 3 }] });
    assert.equal(same.content.manifest, first.content.manifest);
    assert.notEqual(other.content.manifest, first.content.manifest);
  });

  it("keeps of a file its path, digest and count, and tells the format by the name", async () => {
    const directory = mkdtempSync(path.join(tmpdir(), "ebpf-map-entries-"));
    try {
      const file = path.join(directory, "feed.csv");
      writeFileSync(file, "key,value\n1,2\n");
      const inputs = await checked({ file });
      const inProgram = await checked({ entries: [row] });
      assert.deepEqual(inputs.content, inProgram.content);
      assert.equal(inputs.entries, undefined);
      assert.equal(inputs.file, file);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("asks for the format of a file whose name does not tell it", async () => {
    assert.match(
      (await refused({ file: "./feed" }))[0]!,
      /^format: the name \.\/feed does not tell the format/,
    );
  });

  it("refuses both entries and file, and neither", async () => {
    assert.deepEqual(await refused({}), ["entries: give either entries or file"]);
    assert.deepEqual(await refused({ entries: [row], file: "./a.csv" }), [
      "entries: give either entries or file",
    ]);
  });

  it("names row and property of what does not fit", async () => {
    const [reason] = await refused({ entries: [row, { key: 2, value: "DROP" }] });
    assert.match(reason!, /^entries\[1\]\.value: expected an integer for u32, got "DROP"/);
  });

  it("reads an address in a plain u32 where formats say so, and names what they cannot mean", async () => {
    const inputs = await checked({ entries: [{ key: "192.0.2.1", value: 2 }], formats: { key: "ipv4" } });
    const raw = { ...blocked, keyLayout: undefined, valueLayout: undefined };
    const bytes = await checked({ map: raw, entries: [{ key: "0xc0000201", value: "0x02000000" }] });
    assert.equal(inputs.content.manifest, bytes.content.manifest);
    assert.deepEqual(mapEntries.compile(inputs).entries[0]!.keyLayout, {
      ...blocked.keyLayout,
      format: "ipv4",
    });
    assert.deepEqual(await refused({ entries: [row], formats: { key: "mac", "value.peer": "be" } }), [
      'formats["key"]: set the format mac: it does not fit u32',
      'formats["value.peer"]: set the format be: u32 has no member peer',
    ]);
  });

  it("sends one value for all CPUs, or a value for each", async () => {
    const map = { ...blocked, type: "percpu_hash" };
    assert.equal((await checked({ map, entries: [row] })).content.perCpu, "all");
    const each = await checked({ map, entries: [{ key: 1, value: { perCpu: [1, 2] } }] });
    assert.equal(mapEntries.compile(each).entries[0]!.perCpu, "each");
  });

  it("refuses maps that take no rows, with the cause", async () => {
    const ring = {
      ...blocked,
      type: "ringbuf",
      keySize: 0,
      valueSize: 0,
      keyLayout: undefined,
      valueLayout: undefined,
    };
    assert.deepEqual(await refused({ map: ring, entries: [row] }), [
      'map: "blocked" is a map of type ringbuf: it has no keys',
    ]);
    assert.match(
      (await refused({ map: { ...blocked, type: "sockmap" }, entries: [row] }))[0]!,
      /running processes/,
    );
  });

  describe("of kernel objects", () => {
    const calls = { ...blocked, type: "prog_array", keyLayout: undefined, valueLayout: undefined };
    const parse = {
      spec: "p/s/Program/parser",
      entrypoint: "parse",
      type: "xdp",
      connection: { host: "edge-1", password: "x" },
    };
    const maps = { ...blocked, type: "hash_of_maps", valueLayout: undefined };
    const inner = { ...blocked, map: "inner", connection: { host: "edge-1", password: "x" } };

    it("makes references of entrypoints, and keeps nothing of how their host is reached", async () => {
      const inputs = await checked({ map: calls, entries: [{ key: 3, value: parse }] });
      const part = mapEntries.compile(inputs).entries[0]!;
      assert.deepEqual(part.references, [
        {
          key: Buffer.from("03000000", "hex").toString("base64"),
          program: { spec: parse.spec, entrypoint: "parse" },
        },
      ]);
      assert.equal(part.count, 0);
      assert.ok(!JSON.stringify(inputs).includes("password"));
    });

    it("makes references of maps, and checks to the same inputs again", async () => {
      const inputs = await checked({ map: maps, entries: [{ key: 1, value: inner }] });
      assert.deepEqual(inputs.content.references?.[0]?.map, { spec: inner.spec, map: "inner" });
      assert.deepEqual(await checked({ map: maps, entries: inputs.entries }), inputs);
    });

    it("refuses bytes, the wrong kind of object, keys given twice, and files", async () => {
      assert.match(
        (await refused({ map: maps, entries: [row] }))[0]!,
        /^entries\[0\]\.value: expected a map/,
      );
      assert.match(
        (await refused({ map: calls, entries: [{ key: 1, value: inner }] }))[0]!,
        /expected an entrypoint/,
      );
      const twice = [1, 1].map((key) => ({ key, value: parse }));
      assert.deepEqual(await refused({ map: calls, entries: twice }), [
        "entries[1].key: has the same key as entries[0]",
      ]);
      assert.match((await refused({ map: calls, file: "./calls.csv" }))[0]!, /^file: rows of a prog_array/);
    });
  });

  it("answers how many rows there are, and how many of them the map holds", async () => {
    const inputs = await checked({ entries: [row] });
    const entries = { entries: { matching: 0, declared: 1 } };
    const status = { entries } as unknown as Parameters<typeof mapEntries.outputs>[1];
    assert.deepEqual(mapEntries.outputs(inputs, status), { rows: { count: 1, matching: 0 } });
  });

  it("blames the rows for what does not fit, and the map for what it is not", async () => {
    const inputs = await checked({ entries: [row] });
    const blamed = (error: EbpfError) => mapEntries.blame!(error, inputs);
    assert.equal(blamed(new EbpfError("limit", "", { resource: "map blocked" })), "entries");
    assert.equal(blamed(new EbpfError("limit", "", { resource: "memory" })), undefined);
    assert.equal(blamed(new EbpfError("invalid", "", {})), "map");
    assert.equal(blamed(new EbpfError("not-found", "", { what: "Spec", name: blocked.spec })), "map");
    assert.equal(blamed(new EbpfError("not-found", "", { what: "map", name: "inner" })), "entries");
    assert.equal(blamed(new EbpfError("transport", "", { phase: "closed" })), undefined);
  });
});
