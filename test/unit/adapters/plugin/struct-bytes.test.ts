import assert from "node:assert/strict";
import { type JavaScriptValue, Struct } from "google-protobuf/google/protobuf/struct_pb";
import { decodeStruct, encodeStruct } from "../../../../provider/adapters/plugin/struct-bytes";
import { EbpfError } from "../../../../provider/errors";
import type { Properties } from "./engine";

const samples: [string, Properties][] = [
  ["nothing", {}],
  ["a value of each kind", { a: null, b: true, c: false, d: 0, e: -1.5, f: "", g: "text", h: [], i: {} }],
  ["numbers at their limits", { list: [2 ** 53, -(2 ** 53), 5e-324, Number.MAX_VALUE, -0] }],
  ["texts beyond ASCII", { größe: "αβγ", "": "🐝", "a.b": "日本語\n\0" }],
  [
    "objects and lists within each other",
    { a: [[], [[{ b: [{ c: {} }, null] }]], {}], d: { e: { f: [1] } } },
  ],
  [
    "parts of every length around a byte more of the length",
    Object.fromEntries(
      [126, 127, 128, 129, 4095, 4096, 16383, 16384, 2 ** 21].map((n) => [n, "x".repeat(n)]),
    ),
  ],
  [
    "more parts than the first buffer holds",
    { list: Array.from({ length: 5000 }, (_, i) => ({ i, s: `${i}` })) },
  ],
];

describe("A Struct as bytes", () => {
  for (const [what, properties] of samples) {
    it(`has ${what} as protobuf's own classes have it`, () => {
      const theirs = Struct.fromJavaScript(properties as Record<string, JavaScriptValue>);
      assert.deepEqual(Struct.deserializeBinary(encodeStruct(properties)).toJavaScript(), properties);
      assert.deepEqual(decodeStruct(theirs.serializeBinary()), properties);
    });
  }

  it("leaves out what is undefined, and has null for it in a list", () => {
    const encoded = encodeStruct({ a: undefined, b: [undefined, 1], c: { d: undefined } });
    assert.deepEqual(Struct.deserializeBinary(encoded).toJavaScript(), { b: [null, 1], c: {} });
  });

  it("keeps the order of members", () => {
    const names = ["b", "a", "c"];
    const encoded = encodeStruct(Object.fromEntries(names.map((name) => [name, 1])));
    assert.deepEqual(Object.keys(decodeStruct(encoded)), names);
  });

  it("is read without the members that nobody needs", () => {
    const encoded = encodeStruct({ a: { b: 1, c: 2 }, b: [{ a: 1 }], c: 3 });
    assert.deepEqual(decodeStruct(encoded, ["b"]), { a: { b: 1, c: 2 }, c: 3 });
  });

  it("reads a part of a larger buffer", () => {
    const encoded = encodeStruct({ a: "b" });
    const larger = new Uint8Array(encoded.length + 8).fill(255);
    larger.set(encoded, 4);
    assert.deepEqual(decodeStruct(larger.subarray(4, 4 + encoded.length)), { a: "b" });
  });

  it("refuses bytes that are no Struct", () => {
    assert.throws(
      () => decodeStruct(Buffer.from("no struct")),
      (thrown) => EbpfError.is(thrown, "internal"),
    );
  });
});
