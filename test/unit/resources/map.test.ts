import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { digestOf, type MapPart } from "../../../provider/protocol/spec";
import { map } from "../../../provider/resources/map";
import { MAP_TYPES } from "../../../provider/resources/map-shape";
import type { Source } from "../../../provider/sources/source";
import { Workshop } from "../btf/compile";

function resolve(change: Record<string, unknown>, sources: Source[] = []) {
  const args = map.inputs.parse({
    connection: { host: "h" },
    specId: "p/s/Map/my-sessions",
    drift: [],
    ...change,
  });
  return map.resolve(args, sources);
}

function partOf(change: Record<string, unknown>, sources: Source[] = []): MapPart {
  const result = resolve(change, sources);
  assert.ok("checked" in result, JSON.stringify(result));
  return map.compile(result.checked).maps[0]!;
}

function problemsOf(change: Record<string, unknown>): string[] {
  const result = resolve(change);
  assert.ok("problems" in result, "it was accepted");
  return result.problems.map(({ property, reason }) => `${property}: ${reason}`);
}

describe("Map", () => {
  const hash = { type: "hash", key: "u32", value: "u64", maxEntries: 8 };

  it("lays out declared types, and gives the kernel their BTF", () => {
    const { btf, ...part } = partOf({ ...hash, value: "{ packets: u64, last: u8 }" });
    assert.deepEqual(part, {
      name: "my-sessions",
      type: "hash",
      keySize: 4,
      valueSize: 16,
      maxEntries: 8,
      flags: 0,
      mapDataPolicy: "fail",
    });
    assert.equal(Buffer.from(btf!.raw, "base64").readUInt16LE(0), 0xeb9f);
    assert.ok(btf!.keyTypeId > 0 && btf!.valueTypeId > 0);
  });

  it("has a default for everything that the kernel fixes", () => {
    const facts = (change: Record<string, unknown>) => {
      const { keySize, valueSize, flags } = partOf({ maxEntries: 4096, ...change });
      return { keySize, valueSize, flags };
    };
    assert.deepEqual(facts({ type: "array", value: "u64" }), { keySize: 4, valueSize: 8, flags: 0 });
    assert.deepEqual(facts({ type: "prog_array" }), { keySize: 4, valueSize: 4, flags: 0 });
    assert.deepEqual(facts({ type: "ringbuf" }), { keySize: 0, valueSize: 0, flags: 0 });
    assert.deepEqual(facts({ type: "queue", value: "u32" }), { keySize: 0, valueSize: 4, flags: 0 });
    assert.deepEqual(facts({ type: "stack_trace" }), { keySize: 4, valueSize: 1016, flags: 0 });
    assert.deepEqual(facts({ type: "lpm_trie", key: "cidr4", value: "u32" }), {
      keySize: 8,
      valueSize: 4,
      flags: 1,
    });
    assert.deepEqual(facts({ type: "arena", maxEntries: 4 }), { keySize: 0, valueSize: 0, flags: 1 << 10 });
    assert.deepEqual(facts({ type: "task_storage", value: "u64", maxEntries: undefined }), {
      keySize: 4,
      valueSize: 8,
      flags: 1,
    });
  });

  it("adds up flags by name and the NUMA node", () => {
    assert.equal(
      partOf({ ...hash, flags: ["no_prealloc", "rdonly_prog"], numaNode: 0 }).flags,
      1 | 4 | (1 << 7),
    );
  });

  it("takes the shape of inner maps", () => {
    const outer = { type: "hash_of_maps", key: "u32", maxEntries: 4 };
    const { inner } = partOf({ ...outer, inner: { type: "array", value: "u64", maxEntries: 2 } });
    assert.equal(inner!.valueSize, 8);
    assert.deepEqual(problemsOf(outer), [
      "inner: is missing: a map of type hash_of_maps needs the shape of its inner maps",
    ]);
    assert.match(
      problemsOf({ ...outer, inner: { type: "hash", key: "u32", maxEntries: 1 } })[0]!,
      /^inner\.value: /,
    );
  });

  it("reports all problems together", () => {
    assert.deepEqual(problemsOf({ type: "ringbuf", key: "u32", value: "u32", maxEntries: 5000 }), [
      "key: a map of type ringbuf has no keys",
      "value: a map of type ringbuf has no values",
      "maxEntries: a map of type ringbuf has a power of two of at least 4096 bytes, such as 8192; not 5000",
    ]);
    assert.deepEqual(problemsOf({ type: "hash" }).length, 3);
    assert.match(problemsOf({ ...hash, value: "{ a: u7 }" })[0]!, /^value/);
    assert.deepEqual(problemsOf({}), ["type: is missing: give a type, or `btf`"]);
  });

  it("knows every type that can stand alone", () => {
    const given: Record<string, unknown> = { key: undefined, value: undefined, maxEntries: 4096 };
    for (const type of MAP_TYPES) {
      const inner = type.endsWith("_of_maps")
        ? { inner: { type: "array", value: "u32", maxEntries: 1 } }
        : {};
      const found = resolve({ ...given, type, ...inner });
      const properties = "problems" in found ? found.problems.map(({ property }) => property) : [];
      assert.ok(
        properties.every((property) => ["key", "value", "maxEntries"].includes(property)),
        `${type}: ${properties.join()}`,
      );
    }
  });

  it("replaces for another type only under mapDataPolicy replace", () => {
    const checked = (change: Record<string, unknown>) => {
      const result = resolve({ ...hash, ...change });
      assert.ok("checked" in result);
      return result.checked;
    };
    const lru = { type: "lru_hash" };
    assert.deepEqual(map.replaces!(checked({}), checked(lru)), []);
    assert.deepEqual(map.replaces!(checked({}), checked({ ...lru, mapDataPolicy: "replace" })), [
      "type",
      "shape.type",
    ]);
    assert.deepEqual(map.replaces!(checked({}), checked({ mapDataPolicy: "replace" })), []);
  });

  describe("with the BTF of an object", () => {
    let workshop: Workshop;
    let sources: Source[];
    before(() => {
      workshop = new Workshop();
      const bytes = readFileSync(workshop.object("objects.bpf.c"));
      const blob = digestOf(bytes);
      sources = [
        { kind: "object", property: "btf.source", fileName: "objects.o", blob, sourceDigest: blob, bytes },
      ];
    });
    after(() => workshop.remove());

    it("takes its definition, and what is said beside wins", () => {
      const btf = { source: "objects.o", map: "flows" };
      const { type, keySize, valueSize, maxEntries, flags } = partOf({ btf }, sources);
      assert.deepEqual(
        { type, keySize, valueSize, maxEntries, flags },
        { type: "lru_hash", keySize: 16, valueSize: 16, maxEntries: 4096, flags: 2 },
      );
      assert.equal(partOf({ btf, maxEntries: 9 }, sources).maxEntries, 9);
      const outer = partOf({ btf: { source: "objects.o", map: "outer" } }, sources);
      assert.equal(outer.inner!.maxEntries, 16);
    });

    it("names the maps there are", () => {
      const result = resolve({ btf: { source: "objects.o", map: "flow" } }, sources);
      assert.match(
        JSON.stringify(result),
        /objects\.o has no map \\"flow\\"; it has maps: .*did you mean \\"flows\\"\?/,
      );
    });
  });
});
