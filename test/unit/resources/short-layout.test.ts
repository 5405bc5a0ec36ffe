import assert from "node:assert/strict";
import { parseType, type TypeLayout } from "../../../provider/btf";
import { fullLayout, shortLayout } from "../../../provider/resources/short-layout";

describe("Layouts in checked inputs", () => {
  const plain = ["u8", "s64", "be16", "bool", "char", "f64", "ipv4"];
  const nested = ["ipv6", "mac", "cidr6", "bytes:16", "text:8", "u32[2][3]", "enum:1 { PASS = 0, DROP = 1 }"];
  const members = "{ a: u8, b: { c: be32, d: u64[2] }, e: union { v4: ipv4, v6: ipv6 } }";
  // offsets, names, bit-fields and tags that no declared type has
  const foreign: TypeLayout = {
    kind: "struct",
    name: "flow",
    size: 24,
    members: [
      { name: "flag", offsetBits: 3, bits: 2, type: { kind: "int", size: 16, signed: false } },
      { name: "next", offsetBits: 128, type: { kind: "pointer", size: 8, tag: "kptr" } },
    ],
  };

  it("come back the same, whatever the type", () => {
    for (const layout of [...[...plain, ...nested, members].map((text) => parseType(text)), foreign]) {
      const travelled = JSON.parse(JSON.stringify(shortLayout(layout))) as ReturnType<typeof shortLayout>;
      assert.deepEqual(fullLayout(travelled), layout);
      assert.deepEqual(fullLayout(layout), layout);
    }
  });

  it("are a word for a simple type, inside of structs too", () => {
    for (const text of plain) assert.equal(shortLayout(parseType(text)), text);
    const short = shortLayout(parseType(members)) as Exclude<ReturnType<typeof shortLayout>, string>;
    assert.equal(short.members![0]!.type, "u8");
  });
});
