import assert from "node:assert/strict";
import fc from "fast-check";
import {
  decode,
  decodePerCpu,
  type DeclaredType,
  encode,
  encodePerCpu,
  parseType,
  typeText,
  withFormat,
} from "../../../provider/btf";
import { EbpfError, type Problem } from "../../../provider/errors";
import { typedValues } from "./arbitrary";

function problemsOf(work: () => unknown): Problem[] {
  try {
    work();
  } catch (error) {
    assert.ok(EbpfError.is(error, "invalid"), String(error));
    return error.context.problems ?? [];
  }
  return [];
}

describe("encode and decode", () => {
  it("give back what was encoded", () => {
    fc.assert(
      fc.property(typedValues, ({ type, value }) => {
        const layout = parseType(type);
        const bytes = encode(layout, value);
        assert.equal(bytes.length, layout.size);
        const decoded = decode(layout, bytes);
        assert.deepEqual(decoded, value, typeText(type));
        assert.deepEqual(JSON.parse(JSON.stringify(decoded)), decoded);
      }),
      { numRuns: 2000 },
    );
  });

  const accepted: [DeclaredType, unknown, string][] = [
    ["u16", 258, "0201"],
    ["be16", 258, "0102"],
    ["be16", "0x1BB", "01bb"],
    ["s32", "-2", "feffffff"],
    ["u64", "18446744073709551615", "ffffffffffffffff"],
    ["be32", "192.0.2.1", "c0000201"],
    ["be32", 1, "00000001"],
    ["ipv4", "192.0.2.1", "c0000201"],
    ["ipv4", 0xc0000201, "c0000201"],
    ["u8[4]", "192.0.2.1", "c0000201"],
    ["u8[6]", "02:00:00:00:00:FF", "0200000000ff"],
    ["u8[16]", "::ffff:192.0.2.1", "00000000000000000000ffffc0000201"],
    ["u8[2]", "0xBEEF", "beef"],
    ["u8[2]", [190, 239], "beef"],
    ["bytes:2", "0xbeef", "beef"],
    ["text:4", "ab", "61620000"],
    ["char[2]", [0, 255], "00ff"],
    ["bool", 1, "01"],
    ["f64", "Infinity", "000000000000f07f"],
    [{ enum: { A: 1 } }, "A", "01000000"],
    [{ enum: { A: 1 } }, 9, "09000000"],
    [{ enum: { A: -1 } }, "A", "ffffffff"],
    [{ enum: { A: -1 } }, 0xffffffff, "ffffffff"],
    [{ enum: { A: "0x8000000000000000" }, size: 8 }, "A", "0000000000000080"],
    [{ union: { a: "u8", b: "be32" } }, { b: 1 }, "00000001"],
    ["cidr4", "0.0.0.0/0", "0000000000000000"],
  ];
  for (const [type, json, hex] of accepted) {
    it(`encodes ${JSON.stringify(json)} as ${typeText(type)}`, () => {
      assert.equal(encode(parseType(type), json).toString("hex"), hex);
    });
  }

  const refused: [DeclaredType, unknown, RegExp][] = [
    ["u8", 256, /^256 does not fit 8 bits unsigned \(0 to 255\)$/],
    ["u8", -1, /does not fit/],
    ["s8", 128, /-128 to 127/],
    ["u64", 2 ** 60, /write it as text/],
    ["u64", "18446744073709551616", /does not fit 64 bits/],
    ["u32", 1.5, /expected an integer for u32, got 1.5/],
    ["u32", "", /expected an integer/],
    ["u32", null, /expected an integer/],
    ["u32", "10.0.0.1", /needs a byte order/],
    ["ipv4", "10.0.0.256", /expected an IPv4 address or an integer/],
    ["ipv4", "010.0.0.1", /expected an IPv4/],
    ["bool", "yes", /expected true or false/],
    ["mac", "02:00:00:00:00", /or a MAC address/],
    ["u8[4]", [1, 2, 3], /expected 4 bytes, got 3/],
    ["u8[4]", [1, 2, 3, 256], /expected bytes \(0 to 255\), got 256 at \[3\]/],
    ["bytes:2", "0xabc", /expected 2 bytes as a list of numbers or 0x text, got/],
    ["bytes:2", "0xabcdef", /expected 2 bytes, 0xabcdef has 3/],
    ["text:2", "grün", /has 5 bytes, 2 fit/],
    ["text:4", "a\0b", /NUL/],
    ["f32", "1", /expected a number/],
    [{ enum: { PASS: 0, DROP: 1 } }, "DROPP", /expected one of PASS, DROP or a number/],
    [{ enum: { PASS: 0 }, size: 1 }, 256, /does not fit 8 bits/],
    [{ union: { a: "u8", b: "u8" } }, { a: 1, b: 1 }, /exactly one of a, b, not 2/],
    [{ union: { a: "u8", b: "u8" } }, {}, /exactly one of a, b/],
    ["u16[2]", [1], /expected a list of 2 for u16\[2\], got \[1\]/],
    [{ a: "u8" }, [1], /expected an object with a for struct/],
    ["cidr4", "10.0.0.7/24", /write 10.0.0.0\/24/],
    ["cidr4", "10.0.0.0/33", /more than 32/],
    ["cidr4", "2001:db8::/32", /expected an IPv4 network/],
    ["cidr6", "fe80::1%eth0/64", /expected an IPv6 network/],
    ["cidr4", { prefixlen: 33, addr: "10.0.0.0" }, /more than 32/],
  ];
  for (const [type, json, reason] of refused) {
    it(`refuses ${JSON.stringify(json)} as ${typeText(type)}`, () => {
      const problems = problemsOf(() => encode(parseType(type), json, "value"));
      assert.equal(problems.length, 1);
      assert.match(problems[0]?.reason ?? "", reason);
      assert.match(problems[0]?.property ?? "", /^value/);
    });
  }

  it("reports all problems of a value with their paths", () => {
    const layout = parseType({
      action: { enum: { PASS: 0 } },
      port: "be16",
      flow: { src: "ipv4", list: "u32[2]" },
    });
    const json = { action: "PSAS", prot: 1, flow: { src: "x", list: [1, "y"] } };
    assert.deepEqual(
      problemsOf(() => encode(layout, json, "entries[3].value")).map(({ property }) => property),
      [
        "entries[3].value.prot",
        "entries[3].value.action",
        "entries[3].value.port",
        "entries[3].value.flow.src",
        "entries[3].value.flow.list[1]",
      ],
    );
  });

  it("never fails otherwise, whatever the value", () => {
    fc.assert(
      fc.property(typedValues, fc.jsonValue(), ({ type }, json) => {
        problemsOf(() => encode(parseType(type), json));
      }),
      { numRuns: 1000 },
    );
  });

  it("decodes any bytes, and refuses too few", () => {
    fc.assert(
      fc.property(typedValues, fc.uint8Array({ minLength: 0, maxLength: 64 }), ({ type }, bytes) => {
        const layout = parseType(type);
        if (bytes.length >= layout.size) decode(layout, bytes);
        else assert.throws(() => decode(layout, bytes), { code: "invalid" });
      }),
      { numRuns: 1000 },
    );
  });

  it("shows a stored LPM key with host bits by its members", () => {
    const key = parseType("cidr4");
    assert.deepEqual(decode(key, Buffer.from("180000000a000007", "hex")), {
      prefixlen: 24,
      addr: "10.0.0.7",
    });
  });

  it("shows text that is not UTF-8 as bytes", () => {
    assert.deepEqual(decode(parseType("text:2"), Buffer.from([0xff, 0])), [255, 0]);
  });

  it("does not take inherited properties for members", () => {
    const problems = problemsOf(() => encode(parseType({ toString: "u8", constructor: "u8" }), {}));
    assert.equal(problems.length, 2);
  });

  describe("per CPU", () => {
    const layout = parseType({ packets: "u32", drops: "u64", last: "u8" });
    const value = (packets: number) => ({ packets, drops: "1", last: 2 });

    it("rounds each CPU's value up to 8 bytes", () => {
      const bytes = encodePerCpu(parseType("u32"), { perCpu: [1, 2] }, 2);
      assert.equal(bytes.toString("hex"), "01000000000000000200000000000000");
      assert.deepEqual(decodePerCpu(parseType("u32"), bytes, 2), { perCpu: [1, 2] });
    });

    it("gives one value to all CPUs", () => {
      const bytes = encodePerCpu(layout, value(7), 3);
      assert.deepEqual(decodePerCpu(layout, bytes, 3), { perCpu: [value(7), value(7), value(7)] });
    });

    it("refuses another number of CPUs, and names the CPU of a problem", () => {
      assert.deepEqual(
        problemsOf(() => encodePerCpu(layout, { perCpu: [value(1)] }, 2)),
        [{ property: "value.perCpu", reason: "has 1 values, the host has 2 possible CPUs" }],
      );
      const [problem] = problemsOf(() => encodePerCpu(layout, { perCpu: [value(1), value(-1)] }, 2));
      assert.equal(problem?.property, "value.perCpu[1].packets");
      assert.throws(() => decodePerCpu(layout, Buffer.alloc(8), 2), { code: "invalid" });
    });
  });

  describe("withFormat", () => {
    const layout = parseType({ saddr: "u32", tuple: { hw: "u8[6]", port: "u16" } });

    it("gives a plain integer a byte order and a text form", () => {
      const changed = withFormat(
        withFormat(withFormat(layout, "saddr", "ipv4"), "tuple.port", "be"),
        "tuple.hw",
        "mac",
      );
      const json = { saddr: "10.0.0.1", tuple: { hw: "02:00:00:00:00:01", port: 80 } };
      assert.equal(encode(changed, json).toString("hex"), "0a0000010200000000010050");
      assert.deepEqual(decode(changed, encode(changed, json)), json);
      assert.equal(encode(withFormat(parseType("u32"), "", "ipv4"), "10.0.0.1").toString("hex"), "0a000001");
    });

    it("refuses an unknown member, and a format that does not fit", () => {
      assert.throws(() => withFormat(layout, "daddr", "ipv4"), { code: "not-found" });
      assert.throws(() => withFormat(layout, "tuple.port", "ipv4"), { code: "invalid" });
      assert.throws(() => withFormat(layout, "saddr.x", "ipv4"), { code: "not-found" });
    });
  });
});
