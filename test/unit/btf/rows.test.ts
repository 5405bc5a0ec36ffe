import assert from "node:assert/strict";
import fc from "fast-check";
import { compileEncoder, decode, encode, parseType } from "../../../provider/btf";
import { EbpfError } from "../../../provider/errors";
import { typedValues } from "./arbitrary";

/** Leaves of a JSON value as columns. */
function flatten(json: unknown, path: string): [string, string][] {
  if (Array.isArray(json)) return json.flatMap((item, index) => flatten(item, `${path}[${index}]`));
  if (json !== null && typeof json === "object") {
    return Object.entries(json).flatMap(([name, item]) => flatten(item, `${path}.${name}`));
  }
  return [[path, `${json as string}`]];
}

function problemsOf(work: () => unknown): string[] {
  try {
    work();
  } catch (error) {
    assert.ok(EbpfError.is(error, "invalid"), String(error));
    return (error.context.problems ?? []).map(({ property, reason }) => `${property}: ${reason}`);
  }
  return [];
}

describe("compileEncoder", () => {
  it("writes the bytes that encode gives", () => {
    fc.assert(
      fc.property(typedValues, ({ type, value }) => {
        const layout = parseType(type);
        const cells = flatten(value, "value");
        const encoder = compileEncoder(
          layout,
          cells.map(([column]) => column),
          "value",
        );
        const out = Buffer.alloc(layout.size + 4, 0xee);
        assert.equal(
          encoder.write(
            cells.map(([, cell]) => cell),
            out,
            2,
          ),
          undefined,
        );
        assert.deepEqual(out.subarray(2, 2 + layout.size), encode(layout, value));
        assert.deepEqual([...out.subarray(0, 2), ...out.subarray(2 + layout.size)], [0xee, 0xee, 0xee, 0xee]);
      }),
      { numRuns: 1000 },
    );
  });

  it("agrees with encode on each cell, good or bad", () => {
    const types = [
      "enum { x = 1 }",
      "s64",
      "u8",
      "s16",
      "be16",
      "u32",
      "s32",
      "u64",
      "be64",
      "ipv4",
      "cidr4",
      "cidr6",
    ];
    const cells = fc.oneof(
      fc.string({ unit: fc.constantFrom(..."0123456789-x/.af"), maxLength: 20 }),
      fc.integer().map(String),
      fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }).map(String),
      fc.ipV4(),
      fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 33 })).map(([address, prefix]) => `${address}/${prefix}`),
      fc.integer({ min: 0, max: 32 }).map((prefix) => `${prefix < 8 ? 0 : 10}.0.0.0/${prefix}`),
    );
    for (const type of types) {
      const layout = parseType(type);
      const encoder = compileEncoder(layout, ["key"], "key");
      fc.assert(
        fc.property(cells, (cell) => {
          const out = Buffer.alloc(encoder.size);
          const expected = problemsOf(() => encode(layout, cell, "key"));
          const found = (encoder.write([cell], out, 0) ?? []).map(
            ({ property, reason }) => `${property}: ${reason}`,
          );
          assert.deepEqual(found, expected, `${type} ${cell}`);
          if (expected.length === 0) assert.deepEqual(out, encode(layout, cell), `${type} ${cell}`);
        }),
        { numRuns: 500 },
      );
    }
  });

  it("serves key and value from one row, whatever the order of the columns", () => {
    const columns = ["value.packets", "key.port", "key.addr", "value.action"];
    const key = compileEncoder(parseType({ addr: "ipv4", port: "be16" }), columns, "key");
    const value = compileEncoder(
      parseType({ packets: "u64", action: { enum: { DROP: 1 }, size: 1 } }),
      columns,
      "value",
    );
    const row = ["5", "443", "10.0.0.1", "DROP"];
    const out = Buffer.alloc(key.size + value.size, 0xff);
    assert.equal(key.write(row, out, 0), undefined);
    assert.equal(value.write(row, out, key.size), undefined);
    assert.equal(out.toString("hex"), "0a00000101bb0000" + "05000000000000000100000000000000");
  });

  it("takes bit-fields, anonymous members and the union member that the columns choose", () => {
    const layout = {
      kind: "struct" as const,
      size: 8,
      members: [
        { name: "low", offsetBits: 0, bits: 3, type: parseType("u32") },
        { name: "high", offsetBits: 3, bits: 5, type: parseType("s32") },
        { name: "", offsetBits: 32, type: parseType({ union: { port: "be16", word: "u32" } }) },
      ],
    };
    const encoder = compileEncoder(layout, ["v.high", "v.low", "v.port"], "v");
    const out = Buffer.alloc(8);
    assert.equal(encoder.write(["-1", "2", "443"], out, 0), undefined);
    assert.equal(out.toString("hex"), "fa00000001bb0000");
    assert.deepEqual(decode(layout, out), { low: 2, high: -1, word: 0xbb01 });
    assert.deepEqual(encoder.write(["16", "2", "443"], out, 0), [
      { property: "v.high", reason: '"16" does not fit 5 bits signed (-16 to 15)' },
    ]);
  });

  it("lists missing, unknown and double columns", () => {
    const layout = parseType({ a: "u8", b: { union: { x: "u8", y: "u8" } }, c: "u16[2]" });
    assert.deepEqual(
      problemsOf(() => compileEncoder(layout, ["k.a", "k.a", "k.z", "k.c[0]", "other"], "k")),
      [
        "k.b: give columns for exactly one of x, y",
        "k.c[1]: the column is missing; expected u16",
        "k.a: the column stands there twice",
        "k.z: no part of struct",
      ],
    );
  });

  it("names the column of a missing or wrong cell", () => {
    const encoder = compileEncoder(parseType({ a: "u8", b: "bool" }), ["k.a", "k.b"], "k");
    assert.deepEqual(encoder.write(["", "maybe"], Buffer.alloc(2), 0), [
      { property: "k.a", reason: 'expected an integer for u8, got ""' },
      { property: "k.b", reason: 'expected true or false, got "maybe"' },
    ]);
    assert.deepEqual(encoder.write(["1"], Buffer.alloc(2), 0), [{ property: "k.b", reason: "missing" }]);
  });
});
