import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import {
  compareLayouts,
  type DeclaredType,
  encode,
  parseType,
  readObject,
  specials,
  typeText,
} from "../../../provider/btf";
import { EbpfError } from "../../../provider/errors";
import { declaredTypes } from "./arbitrary";
import { Workshop } from "./compile";

/** Declared words and how C says them. */
const inC: Record<string, string> = {
  u8: "__u8",
  u16: "__u16",
  u32: "__u32",
  u64: "__u64",
  s8: "__s8",
  s16: "__s16",
  s32: "__s32",
  s64: "__s64",
  be16: "__be16",
  be32: "__be32",
  be64: "__be64",
  bool: "_Bool",
  char: "char",
  f32: "float",
  f64: "double",
  ipv4: "__be32",
  ipv6: "struct octets16",
  mac: "struct octets6",
  "text:5": "struct text5",
  "bytes:3": "struct octets3",
};

let tag = 0;

/** A C declaration of `name` with this type. */
function declarationInC(declared: DeclaredType, name: string): string {
  if (typeof declared === "string") return `${inC[declared]} ${name}`;
  if (Array.isArray(declared)) return declarationInC(declared[0] as DeclaredType, `${name}[${declared[1]}]`);
  if (Object.hasOwn(declared, "enum")) {
    const { enum: names, size = 4 } = declared as { enum: Record<string, number>; size?: number };
    const prefix = `T${tag++}_`;
    const values = Object.entries(names).map(([key, value]) => `${prefix}${key} = ${value}`);
    return `enum { ${values.join(", ")} } ${size === 1 ? "__attribute__((packed))" : ""} ${name}`;
  }
  const kind = Object.hasOwn(declared, "union") ? "union" : "struct";
  const members = Object.entries(kind === "union" ? (declared as { union: object }).union : declared);
  return `${kind} { ${members.map(([key, type]) => `${declarationInC(type as DeclaredType, key)};`).join(" ")} } ${name}`;
}

describe("declared types", () => {
  let workshop: Workshop;
  before(() => (workshop = new Workshop()));
  after(() => workshop.remove());

  it("are laid out as clang lays out the same C", function () {
    this.timeout(60_000);
    const types = fc.sample(declaredTypes, 150);
    const object = workshop.objectOf(
      [
        "#include <linux/types.h>",
        "struct octets16 { __u8 bytes[16]; } __attribute__((aligned(4)));",
        "struct octets6 { __u8 bytes[6]; };",
        "struct octets3 { __u8 bytes[3]; };",
        "struct text5 { char text[5]; };",
        ...types.map((type, index) => `struct { ${declarationInC(type, "it")}; } g${index} = {};`),
      ].join("\n"),
    );
    const { globals } = readObject(readFileSync(object));
    for (const [index, type] of types.entries()) {
      const wrapper = globals[`g${index}`]?.type;
      assert.ok(wrapper?.kind === "struct", `g${index}`);
      const inClang = wrapper.members[0]?.type;
      assert.ok(inClang);
      const text = typeText(type);
      const ours = parseType(type);
      assert.equal(ours.size, inClang.size, text);
      assert.deepEqual(differences(ours, inClang), [], text);
    }
  });

  /** Less the wrapper structs of the C text, and the prefixes of its enum names. */
  function differences(
    ours: Parameters<typeof compareLayouts>[0],
    theirs: Parameters<typeof compareLayouts>[0],
  ) {
    return compareLayouts(ours, theirs, "it").filter(
      (reason) => !/ to struct (octets|text)\d+( \(\d+ to \d+ bytes\))?$/.test(reason),
    );
  }

  it("mean the same as text", () => {
    fc.assert(
      fc.property(declaredTypes, (type) => {
        const text = typeText(type);
        assert.deepEqual(parseType(text), parseType(type), text);
        assert.equal(typeText(text), text);
      }),
      { numRuns: 500 },
    );
  });

  it("keep the order of members in text", () => {
    assert.equal(typeText({ packets: "u64", bytes: "u64" }), "{ packets: u64, bytes: u64 }");
    assert.equal(typeText({ enum: { PASS: 0, DROP: 1 }, size: 1 }), "enum:1 { PASS = 0, DROP = 1 }");
    assert.equal(typeText([["u8[2]", 3], 4]), "u8[4][3][2]");
    const layout = parseType("{ z: u8, a: union { v4: ipv4, v6: ipv6 }, }");
    assert.deepEqual(layout.kind === "struct" && layout.members.map(({ name }) => name), ["z", "a"]);
  });

  it("accept a network for a key of an LPM trie", () => {
    assert.equal(encode(parseType("cidr4"), "10.0.0.0/8").toString("hex"), "080000000a000000");
    assert.equal(
      encode(parseType({ prefixlen: "u32", addr: "ipv4" }), "10.0.0.0/8").toString("hex"),
      "080000000a000000",
    );
    assert.equal(
      encode(parseType("cidr6"), { prefixlen: 64, addr: "2001:db8::" }).toString("hex"),
      "4000000020010db8000000000000000000000000",
    );
  });

  it("hold nothing that the kernel owns", () => {
    fc.assert(fc.property(declaredTypes, (type) => assert.deepEqual(specials(parseType(type)), [])));
  });

  const wrong: [DeclaredType, RegExp][] = [
    ["u9", /expected a type \(u8/],
    ["", /expected a type .*, got the end/],
    ["u8[", /expected a count/],
    ["u8[0]", /whole number from 1/],
    ["{ a: u8", /expected "}"/],
    ["{ a: u8, a: u8 }", /a stands there twice/],
    ["{ a: u8 } b", /expected the end of the type/],
    ["enum { A = x }", /expected a number/],
    ["bytes:0", /expected a type/],
    [["u8", 1.5], /whole number/],
    [["u8"] as unknown as DeclaredType, /an array is \[type, count\]/],
    [{}, /at least one member/],
    [{ "a b": "u8" }, /no name in C/],
    [{ enum: {} }, /at least one name/],
    [{ enum: { A: 256 }, size: 1 }, /whole number of 1 bytes/],
    [{ enum: { A: 1 }, size: 3 }, /1, 2, 4 or 8/],
    [{ union: "u8" } as unknown as DeclaredType, /an object of members/],
    [7 as unknown as DeclaredType, /expected a type such as/],
    [["u64", 1 << 30], /more than/],
    ["{a:".repeat(40), /nest at most/],
  ];
  for (const [type, reason] of wrong) {
    it(`refuse ${JSON.stringify(type).slice(0, 40)}`, () => {
      assert.throws(
        () => parseType(type, "key"),
        (error: unknown) => EbpfError.is(error, "invalid") && reason.test(error.render()),
      );
    });
  }

  it("report all their problems together, by path", () => {
    try {
      parseType({ a: "u9", b: { c: "u8[0]", "d e": "u8" } }, "value");
      assert.fail("accepted");
    } catch (error) {
      assert.ok(EbpfError.is(error, "invalid"));
      assert.deepEqual(
        error.context.problems?.map(({ property }) => property),
        ["value.a", "value.b.c", "value.b.d e"],
      );
    }
  });

  it("never fail otherwise, whatever the text", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(..."{}[]:,= u8be16ipv4enum-1"), maxLength: 30 }),
        (text) => {
          try {
            parseType(text);
          } catch (error) {
            assert.ok(EbpfError.is(error, "invalid"), String(error));
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});
