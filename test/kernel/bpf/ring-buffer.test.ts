import assert from "node:assert/strict";
import { BpfObject, isErrno, MapHandle, type ProgramHandle, RingBuffer } from "../../../provider/bpf";
import { bpftool, closesEverything, compile } from "./support";

/** A header of 8 bytes and the number, in a ring of a page. */
const ROOM = 4096 / 16;
const XDP_DROP = 1;
const XDP_PASS = 2;

describe("RingBuffer", () => {
  let program: ProgramHandle;
  let map: MapHandle;

  beforeEach(() => {
    using object = BpfObject.open(compile("ring"), { name: "ring" });
    object.load();
    program = object.program("tell").handle();
    map = object.map("ring").handle();
  });
  afterEach(() => {
    program.close();
    map.close();
  });
  closesEverything();

  /** Verdict of the last run. */
  function run(times: number): number {
    return program.testRun({ data: Buffer.alloc(64), repeat: times }).returnValue;
  }

  function numbers(records: Buffer[]): number[] {
    return records.map((record) => Number(record.readBigUInt64LE()));
  }

  it("takes records in their order, each once, at most as many as are asked for", () => {
    using ring = new RingBuffer(map);
    assert.deepEqual(ring.take(10), []);
    run(5);
    assert.deepEqual(numbers(ring.take(2)), [1, 2]);
    assert.deepEqual(numbers(ring.take(2)), [3, 4]);
    assert.deepEqual(numbers(ring.take(2)), [5]);
    run(1);
    const kept = ring.take(10);
    run(ROOM);
    assert.deepEqual(numbers(kept), [6], "what was taken is no view of what the kernel writes again");
  });

  it("makes room by taking: a full ring refuses records, and goes on where it was read", () => {
    using ring = new RingBuffer(map);
    assert.equal(run(ROOM - 1), XDP_PASS);
    assert.equal(run(2), XDP_DROP);
    assert.deepEqual(numbers(ring.take(3)), [1, 2, 3]);
    assert.equal(run(3), XDP_PASS);
    const rest = numbers(ring.take(1000));
    assert.deepEqual(rest.slice(0, 2), [4, 5]);
    assert.deepEqual(rest.slice(-3), [ROOM + 2, ROOM + 3, ROOM + 4]);
  });

  it("outlives the handle of its map, and gives the map back when it closes", () => {
    const { id } = map.info();
    const ring = new RingBuffer(map);
    map.close();
    run(1);
    assert.deepEqual(numbers(ring.take(10)), [1]);
    program.close();
    assert.equal((bpftool("map", "show", "id", String(id)) as { type: string }).type, "ringbuf");
    ring.close();
    ring.close();
    assert.throws(() => ring.take(1), RangeError);
  });

  it("refuses a map of another type", () => {
    using array = MapHandle.create({ type: "array", name: "t", keySize: 4, valueSize: 8, maxEntries: 1 });
    assert.throws(
      () => new RingBuffer(array),
      (error) => isErrno(error, "EINVAL"),
    );
  });
});
