import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  type ComparableShape,
  compareShapes,
  type DeclaredType,
  parseType,
  readObject,
} from "../../../provider/btf";
import { Workshop } from "./compile";

const shape = (value: DeclaredType, more: Partial<ComparableShape> = {}): ComparableShape => {
  const layout = parseType(value);
  return {
    type: "hash",
    keySize: 4,
    valueSize: layout.size,
    maxEntries: 8,
    flags: 0,
    value: layout,
    ...more,
  };
};

const reasons = (before: DeclaredType, after: DeclaredType) =>
  compareShapes(shape(before), shape(after)).map(({ reason }) => reason);

describe("compareShapes", () => {
  it("finds no difference in equal shapes", () => {
    const value = { a: "u8", b: { union: { x: "u32", y: "ipv4" } }, c: "text:16" };
    assert.deepEqual(compareShapes(shape(value), shape(value)), []);
  });

  it("names each changed part", () => {
    const inner = shape("u32");
    assert.deepEqual(
      compareShapes(
        shape("u32", { inner, numaNode: 1 }),
        shape("u32", {
          type: "lru_hash",
          keySize: 8,
          maxEntries: 16,
          flags: 1,
          mapExtra: "3",
          inner: { ...inner, maxEntries: 9 },
        }),
      ),
      [
        { part: "type", reason: "its type changes from hash to lru_hash" },
        { part: "keySize", reason: "the key's size in bytes changes from 4 to 8" },
        { part: "maxEntries", reason: "the number of entries changes from 8 to 16" },
        { part: "flags", reason: "the flags change from 0x0 to 0x1" },
        { part: "numaNode", reason: "the NUMA node changes from 1 to any" },
        { part: "mapExtra", reason: "map_extra changes from 0 to 3" },
        { part: "inner", reason: "inner map: the number of entries changes from 8 to 9" },
      ],
    );
    assert.deepEqual(compareShapes(shape("u32"), shape("u32", { inner })), [
      { part: "inner", reason: "it gets an inner map" },
    ]);
  });

  it("sees members of one size that changed places", () => {
    assert.deepEqual(reasons({ packets: "u64", bytes: "u64" }, { bytes: "u64", packets: "u64" }), [
      "value.packets moves from byte 0 to byte 8",
      "value.bytes moves from byte 8 to byte 0",
    ]);
  });

  it("sees renamed members, other signs, enum numbers and counts", () => {
    assert.deepEqual(reasons({ a: "u32" }, { b: "u32" }), ["value.a is gone", "value.b is new at byte 0"]);
    assert.deepEqual(reasons("u32", "s32"), ["value changes from u32 to s32"]);
    assert.deepEqual(reasons({ enum: { A: 1, B: 2 } }, { enum: { A: 2, C: 2 } }), [
      "value: A changes from 1 to 2",
    ]);
    assert.deepEqual(reasons("u16[4]", "u32[2]"), ["value changes from u16[4] to u32[2]"]);
    assert.deepEqual(reasons({ a: "u16[4]" }, { a: "u64" }), ["value.a changes from u16[4] to u64"]);
  });

  it("does not mind what changes no meaning: names of types, char's sign, formats, an unknown side", () => {
    assert.deepEqual(reasons("be32", "ipv4"), []);
    assert.deepEqual(reasons("u8[6]", "mac"), []);
    assert.deepEqual(compareShapes(shape("u32"), { ...shape("u32"), value: { kind: "bytes", size: 4 } }), []);
    const { value: _value, ...untyped } = shape("u32");
    assert.deepEqual(compareShapes(shape("u32"), untyped), []);
  });

  it("sees a lock that came, went or moved", () => {
    const workshop = new Workshop();
    try {
      const object = readObject(readFileSync(workshop.object("kernel-fields.bpf.c")));
      const before = object.maps.sessions;
      assert.ok(before?.value?.kind === "struct");
      assert.deepEqual(compareShapes(before, structuredClone(before)), []);
      const members = before.value.members.map((member) =>
        member.name === "lock" ? { ...member, type: parseType("u32") } : member,
      );
      assert.deepEqual(
        compareShapes(before, { ...before, value: { ...before.value, members } }).map(({ reason }) => reason),
        ["value.lock changes from bpf_spin_lock to u32"],
      );
    } finally {
      workshop.remove();
    }
  });
});
