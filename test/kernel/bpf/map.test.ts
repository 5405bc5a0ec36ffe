import assert from "node:assert/strict";
import { EbpfError } from "../../../provider/errors";
import { isErrno, MapHandle, possibleCpus, type MapCreation, type MapType } from "../../../provider/bpf";
import { bpftool, closesEverything, loadHook, PrivateBpffs, u32 } from "./support";

function create(type: MapType, more: Partial<MapCreation> = {}): MapHandle {
  return MapHandle.create({ type, name: "t", keySize: 4, valueSize: 8, maxEntries: 100, ...more });
}

function u64(...values: number[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => bytes.writeBigUInt64LE(BigInt(value), 8 * index));
  return bytes;
}

function read(map: MapHandle): Map<string, string> {
  const { keySize } = map.info();
  const all = new Map<string, string>();
  for (const { keys, values, count } of map.records()) {
    for (let i = 0; i < count; i++) {
      const value = values.subarray(i * map.valueBytes, (i + 1) * map.valueBytes);
      all.set(keys.toString("hex", i * keySize, (i + 1) * keySize), value.toString("hex"));
    }
  }
  return all;
}

describe("MapHandle", () => {
  closesEverything();

  it("creates what bpftool shows", () => {
    using map = create("hash", { name: "shown", flags: 1, maxEntries: 7 });
    const shown = bpftool("map", "show", "id", String(map.info().id)) as Record<string, unknown>;
    assert.deepEqual(
      [
        shown["type"],
        shown["name"],
        shown["bytes_key"],
        shown["bytes_value"],
        shown["max_entries"],
        shown["flags"],
      ],
      ["hash", "shown", 4, 8, 7, 1],
    );
    assert.ok(map.memlockBytes() > 0);
  });

  it("looks up, updates and deletes one record", () => {
    using map = create("hash");
    assert.equal(map.lookup(u32(1)), undefined);
    map.update(u32(1), u64(10));
    assert.deepEqual(map.lookup(u32(1)), u64(10));
    assert.throws(
      () => map.update(u32(1), u64(11), 1),
      (error) => isErrno(error, "EEXIST"),
    );
    assert.equal(map.delete(u32(1)), true);
    assert.equal(map.delete(u32(1)), false);
  });

  for (const type of ["hash", "lru_hash", "array"] as const) {
    it(`carries packed records of a ${type} by batch`, () => {
      // an LRU evicts before it is full
      using map = create(type, { maxEntries: type === "lru_hash" ? 10_000 : 1000 });
      const numbers = Array.from({ length: 1000 }, (_, index) => index);
      map.updateBatch(u32(...numbers), u64(...numbers.map((n) => n * 3)), 1000);
      const all = read(map);
      assert.equal(all.size, 1000);
      assert.equal(all.get(u32(999).toString("hex")), u64(2997).toString("hex"));
      const dump = bpftool("map", "dump", "id", String(map.info().id)) as unknown[];
      assert.equal(dump.length, 1000);
    });
  }

  it("carries records of an LPM trie, by batch or one by one", () => {
    using map = create("lpm_trie", { keySize: 8, flags: 1 });
    const keys = Buffer.concat([u32(24), Buffer.from([203, 0, 113, 0]), u32(8), Buffer.from([10, 0, 0, 0])]);
    map.updateBatch(keys, u64(1, 2), 2);
    assert.deepEqual(map.lookup(Buffer.concat([u32(32), Buffer.from([10, 9, 8, 7])])), u64(2));
    assert.equal(read(map).size, 2);
    assert.equal(map.deleteBatch(keys, 2), 2);
    assert.equal(read(map).size, 0);
  });

  it("reads a map that has no batch commands one by one", () => {
    using inner = create("array", { maxEntries: 1 });
    using outer = create("hash_of_maps", { valueSize: 4, inner });
    outer.updateReference(u32(5), inner);
    assert.deepEqual([...read(outer).values()], [u32(inner.info().id).toString("hex")]);
  });

  it("deletes those of many keys that are there, and counts them", () => {
    using map = create("hash");
    map.updateBatch(u32(1, 2, 3, 4), u64(1, 2, 3, 4), 4);
    assert.equal(map.deleteBatch(u32(9, 1, 8, 3, 7), 5), 2);
    assert.deepEqual([...read(map).keys()].sort(), [u32(2), u32(4)].map((key) => key.toString("hex")).sort());
  });

  it("looks up many keys and tells which were there", () => {
    using map = create("hash");
    map.updateBatch(u32(1, 3), u64(10, 30), 2);
    const { values, found } = map.lookupMany(u32(1, 2, 3), 3);
    assert.deepEqual([...found], [1, 0, 1]);
    assert.deepEqual(values, u64(10, 0, 30));
  });

  it("holds one value per possible CPU, padded to 8 bytes", () => {
    for (const type of ["percpu_hash", "percpu_array"] as const) {
      using map = create(type, { valueSize: 4, maxEntries: 2 });
      assert.equal(map.valueBytes, 8 * possibleCpus());
      const value = u64(...Array.from({ length: possibleCpus() }, (_, cpu) => cpu + 1));
      map.updateBatch(u32(0, 1), Buffer.concat([value, value]), 2);
      assert.deepEqual(map.lookup(u32(1)), value);
      assert.equal(read(map).size, 2);
    }
  });

  it("pushes, peeks and pops queue and stack in their order", () => {
    for (const [type, order] of [
      ["queue", [1, 2]],
      ["stack", [2, 1]],
    ] as const) {
      using map = create(type, { keySize: 0 });
      map.push(u64(1));
      map.push(u64(2));
      assert.deepEqual(map.peek(), u64(order[0]));
      assert.deepEqual([map.pop(), map.pop(), map.pop()], [u64(order[0]), u64(order[1]), undefined]);
    }
  });

  it("puts a program into a prog_array", () => {
    const { program, runs } = loadHook("xdp_verdict");
    try {
      using array = create("prog_array", { valueSize: 4 });
      array.updateReference(u32(3), program);
      assert.equal(array.lookup(u32(3))?.readUInt32LE(), program.info().id);
    } finally {
      program.close();
      runs.close();
    }
  });

  it("says when it is frozen, and takes no writes then", () => {
    using map = create("array");
    assert.equal(map.frozen(), false);
    map.freeze();
    assert.equal(map.frozen(), true);
    assert.throws(
      () => map.update(u32(0), u64(1)),
      (error) => isErrno(error, "EPERM"),
    );
  });

  it("fails with E2BIG when it is full, and keeps what it took", () => {
    using map = create("hash", { maxEntries: 2 });
    assert.throws(
      () => map.updateBatch(u32(1, 2, 3), u64(1, 2, 3), 3),
      (error) => isErrno(error, "E2BIG"),
    );
    assert.equal(read(map).size, 2);
  });

  it("refuses buffers shorter than the records they should hold", () => {
    using map = create("hash");
    assert.throws(() => map.updateBatch(u32(1), u64(1, 2), 2), RangeError);
  });

  it("is the same map by id and by pin", () => {
    const bpffs = new PrivateBpffs();
    try {
      using map = create("hash");
      map.pin(bpffs.at("map"));
      using byPin = MapHandle.fromPin(bpffs.at("map"));
      using byId = MapHandle.fromId(map.info().id);
      assert.deepEqual([byPin.info().id, byId.info().id], [map.info().id, map.info().id]);
      assert.throws(
        () => map.pin(bpffs.at("map")),
        (error) => isErrno(error, "EEXIST"),
      );
      assert.throws(
        () => MapHandle.fromPin(bpffs.at("nope")),
        (error) => isErrno(error, "ENOENT"),
      );
    } finally {
      bpffs.remove();
    }
  });

  it("names type and map when the kernel refuses to create it", () => {
    assert.throws(
      () => create("hash", { name: "bad", maxEntries: 0 }),
      (error) => EbpfError.is(error, "libbpf") && error.message === "create hash map bad: EINVAL",
    );
  });
});
