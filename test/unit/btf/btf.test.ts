import assert from "node:assert/strict";
import { type Btf, decode, encode, layoutOf, readBtf } from "../../../provider/btf";
import { EbpfError } from "../../../provider/errors";
import { bpftool, Workshop } from "./compile";

const strings = ["", "big", "LOW", "HIGH", "half", "tag", "pair", "first", "second", "ring"];
const offsetOf = (text: string) =>
  strings.slice(0, strings.indexOf(text)).reduce((sum, s) => sum + s.length + 1, 0);
const word = (kind: number, count: number, flag = 0) => ((flag << 31) | (kind << 24) | count) >>> 0;

/** Raw BTF of these words, as uapi/linux/btf.h lays them out. */
function blob(types: number[], header: Partial<{ magic: number; version: number }> = {}): Buffer {
  const text = Buffer.from(`${strings.join("\0")}\0`);
  const out = Buffer.alloc(24 + types.length * 4);
  out.writeUInt16LE(header.magic ?? 0xeb9f, 0);
  out.writeUInt8(header.version ?? 1, 2);
  [24, 0, types.length * 4, types.length * 4, text.length].forEach((value, at) =>
    out.writeUInt32LE(value, 4 + at * 4),
  );
  types.forEach((value, at) => out.writeUInt32LE(value >>> 0, 24 + at * 4));
  return Buffer.concat([out, text]);
}

// 1 ENUM64 with sign, 2 FLOAT, 3 INT, 4 STRUCT { 1, 2 }, 5 DECL_TAG of 4, 6 TYPE_TAG, 7 PTR to 6
const kinds = [
  ...[offsetOf("big"), word(19, 2, 1), 8, offsetOf("LOW"), -1, -1, offsetOf("HIGH"), 0, 1],
  ...[offsetOf("half"), word(16, 0), 4],
  ...[offsetOf("first"), word(1, 0), 4, (1 << 24) | 32],
  ...[offsetOf("pair"), word(4, 2), 16, offsetOf("first"), 1, 0, offsetOf("second"), 2, 64],
  ...[offsetOf("tag"), word(17, 0), 4, 0],
  ...[offsetOf("tag"), word(18, 0), 3],
  ...[0, word(2, 0), 6],
];

describe("readBtf", () => {
  const workshop = new Workshop();
  after(() => workshop.remove());

  it("reads the kinds that clang 14 does not write, as bpftool does", () => {
    const path = workshop.file("kinds.btf", blob(kinds));
    const { types } = bpftool<{ types: { kind: string; name: string }[] }>("btf", "dump", "file", path);
    const btf = readBtf(blob(kinds));
    assert.deepEqual(
      btf.types.slice(1).map((type) => [type.kind.toUpperCase(), "name" in type ? type.name : "(anon)"]),
      types.map(({ kind, name }) => [kind, name]),
    );
    assert.deepEqual(btf.types[1], {
      kind: "enum64",
      name: "big",
      size: 8,
      signed: true,
      values: [
        { name: "LOW", value: -1n },
        { name: "HIGH", value: 1n << 32n },
      ],
    });
  });

  it("gives their layouts", () => {
    const btf = readBtf(blob(kinds));
    const pair = layoutOf(btf, 4);
    const bytes = encode(pair, { first: "HIGH", second: -0.5 });
    assert.equal(bytes.toString("hex"), "0000000001000000000000bf00000000");
    assert.deepEqual(decode(pair, bytes), { first: "HIGH", second: -0.5 });
    assert.deepEqual(encode(pair, { first: "0x100000000", second: -0.5 }), bytes);
    assert.deepEqual(layoutOf(btf, 7), { kind: "pointer", size: 8, tag: "tag" });
  });

  const broken: [string, Buffer, RegExp][] = [
    ["a wrong magic number", blob([], { magic: 0x1234 }), /magic number is wrong/],
    ["big-endian BTF", blob([], { magic: 0x9feb }), /big-endian/],
    ["another version", blob([], { version: 2 }), /version 2 is unknown/],
    ["a kind that it does not know", blob([0, word(30, 0), 0]), /kind 30 .* is unknown; .*newer pulumi-ebpf/],
    ["a type that ends too early", blob([0, word(4, 9), 8]), /truncated/],
    ["no bytes", Buffer.alloc(0), /truncated/],
  ];
  for (const [what, bytes, reason] of broken) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => readBtf(bytes),
        (error: unknown) => EbpfError.is(error, "invalid") && reason.test(error.render()),
      );
    });
  }

  const contradictions: [string, number[]][] = [
    ["a typedef of itself", [offsetOf("ring"), word(8, 0), 1]],
    ["an array of itself", [0, word(3, 0), 0, 1, 1, 2]],
    ["a type that does not exist", [0, word(10, 0), 77]],
    ["a member outside its struct", [offsetOf("first"), word(1, 0), 4, 32, 0, word(4, 1), 2, 0, 1, 0]],
  ];
  for (const [what, types] of contradictions) {
    it(`refuses the layout of ${what}`, () => {
      const btf: Btf = readBtf(blob(types));
      assert.throws(() => layoutOf(btf, btf.types.length - 1), { code: "invalid" });
    });
  }

  it("takes a struct that contains itself for bytes at some depth, and ends", () => {
    const btf = readBtf(blob([offsetOf("ring"), word(4, 1), 8, offsetOf("first"), 1, 0]));
    assert.equal(layoutOf(btf, 1).size, 8);
  });
});
