import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import {
  formatAddress,
  formatMac,
  masked,
  parseCidr,
  parseIpv4,
  parseIpv6,
  parseMac,
} from "../../../provider/btf/addresses";

/** Text that is nearly an address. */
const nearly = fc.string({ unit: fc.constantFrom(..."0123456789abcfg:.:%"), maxLength: 24 });

describe("addresses", () => {
  it("accepts the IPv4 text that Node accepts", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), nearly), (text) =>
        assert.equal(parseIpv4(text) !== undefined, isIPv4(text), text),
      ),
      { numRuns: 3000 },
    );
    for (const text of ["", "1.2.3", "1.2.3.4.", "01.2.3.4", "1.2.3.256", "1..2.3", " 1.2.3.4"]) {
      assert.equal(parseIpv4(text), undefined, text);
    }
  });

  it("accepts the IPv6 text that Node accepts, less zone ids", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV6(), nearly), (text) => {
        assert.equal(parseIpv6(text) !== undefined, isIPv6(text) && !text.includes("%"), text);
      }),
      { numRuns: 3000 },
    );
  });

  it("writes IPv6 as RFC 5952 does, and reads it back", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (array) => {
        const bytes = Buffer.from(array.map((byte) => (byte % 3 === 0 ? 0 : byte)));
        const text = formatAddress(bytes);
        assert.deepEqual(parseIpv6(text), bytes);
        if (!text.includes(".")) assert.equal(new URL(`http://[${text}]/`).hostname, `[${text}]`);
      }),
      { numRuns: 1000 },
    );
    assert.equal(formatAddress(parseIpv6("0:0:0:0:0:0:0:0") as Buffer), "::");
    assert.equal(formatAddress(parseIpv6("2001:DB8:0:0:1:0:0:1") as Buffer), "2001:db8::1:0:0:1");
    assert.equal(formatAddress(parseIpv6("::ffff:c000:201") as Buffer), "::ffff:192.0.2.1");
  });

  it("reads MAC addresses with one kind of separator", () => {
    assert.equal(formatMac(parseMac("02-AB-00-00-00-01") as Buffer), "02:ab:00:00:00:01");
    for (const text of ["02:00:00:00:00", "02:00-00:00:00:01", "0200.0000.0001", "02:00:00:00:00:0g"]) {
      assert.equal(parseMac(text), undefined, text);
    }
  });

  it("masks an address bit by bit", () => {
    const ones = Buffer.alloc(4, 0xff);
    for (let prefix = 0; prefix <= 32; prefix++) {
      const expected = prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0;
      assert.equal(masked(ones, prefix).readUInt32BE(0), expected);
    }
  });

  it("says the right network when host bits are set", () => {
    assert.equal(
      parseCidr("2001:db8::1/32", 16),
      "2001:db8::1/32 has bits set beyond its prefix; write 2001:db8::/32",
    );
    assert.match(String(parseCidr("10.0.0.0", 4)), /such as 203.0.113.0\/24/);
    assert.match(String(parseCidr("10.0.0.0/08", 4)), /expected an IPv4 network/);
  });
});
