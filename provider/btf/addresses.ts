/** IPv4, IPv6, CIDR and MAC text to bytes and back. Strict: one spelling error is no address. */

const DOT = 46;
const COLON = 58;

/** `192.0.2.1` as a number, most significant byte first. No leading zeros: some readers take them as octal. */
export function parseIpv4(text: string): number | undefined {
  let address = 0;
  let part = -1;
  let dots = 0;
  for (let index = 0; index <= text.length; index++) {
    const code = index === text.length ? DOT : text.charCodeAt(index);
    if (code === DOT) {
      if (part < 0) return undefined;
      address = address * 256 + part;
      part = -1;
      dots++;
    } else {
      if (code < 48 || code > 57 || part === 0) return undefined;
      part = (part < 0 ? 0 : part * 10) + code - 48;
      if (part > 255) return undefined;
    }
  }
  return dots === 4 ? address : undefined;
}

/** 16 bytes in network order. Zone ids (`%eth0`) are refused: they are no part of an address. */
export function parseIpv6(text: string): Buffer | undefined {
  const { length } = text;
  const groups: number[] = [];
  let gap = text.startsWith("::") ? 0 : -1;
  for (let at = gap < 0 ? 0 : 2; at < length;) {
    let group = 0;
    let end = at;
    for (let digit; end < length && (digit = hexDigit(text.charCodeAt(end))) >= 0; end++)
      group = group * 16 + digit;
    if (text.charCodeAt(end) === DOT) {
      const embedded = parseIpv4(text.slice(at));
      if (embedded === undefined) return undefined;
      groups.push(Math.floor(embedded / 65536), embedded % 65536);
      break;
    }
    if (end === at || end - at > 4) return undefined;
    groups.push(group);
    if (end === length) break;
    if (text.charCodeAt(end) !== COLON || end + 1 === length) return undefined;
    at = end + 1;
    if (text.charCodeAt(at) === COLON) {
      if (gap >= 0) return undefined;
      gap = groups.length;
      at++;
    }
  }
  if (gap < 0 ? groups.length !== 8 : groups.length > 7) return undefined;
  const bytes = Buffer.alloc(16);
  const zeros = 8 - groups.length;
  groups.forEach((group, index) =>
    bytes.writeUInt16BE(group, (index < gap || gap < 0 ? index : index + zeros) * 2),
  );
  return bytes;
}

/** Of a character code; -1: it is none. */
export function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const letter = code | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}

/** Six pairs of hex digits with `:` or `-` between. */
export function parseMac(text: string): Buffer | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$|^[0-9a-f]{2}(-[0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return Buffer.from(text.replaceAll(/[:-]/g, ""), "hex");
}

/** The bytes of an address of 4 or 16 bytes. */
export function parseAddress(text: string, size: 4 | 16): Buffer | undefined {
  if (size === 16) return parseIpv6(text);
  const address = parseIpv4(text);
  if (address === undefined) return undefined;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(address);
  return bytes;
}

/** A network, or the reason (for a message) why the text is none of this family. */
export function parseCidr(text: string, size: 4 | 16): { address: Buffer; prefix: number } | string {
  const family = size === 4 ? "IPv4" : "IPv6";
  const [host = "", length = "", more] = text.split("/");
  const address = parseAddress(host, size);
  const bits = size * 8;
  const example = size === 4 ? "203.0.113.0/24" : "2001:db8::/32";
  if (address === undefined || more !== undefined || !/^(0|[1-9]\d{0,2})$/.test(length)) {
    return `expected an ${family} network such as ${example}, got ${JSON.stringify(text)}`;
  }
  const prefix = Number(length);
  if (prefix > bits) return `the prefix length of ${text} is more than ${bits}`;
  const network = masked(address, prefix);
  if (!network.equals(address)) {
    return `${text} has bits set beyond its prefix; write ${formatAddress(network)}/${prefix}`;
  }
  return { address, prefix };
}

/** The address with all bits after the prefix cleared. */
export function masked(address: Buffer, prefix: number): Buffer {
  return Buffer.from(
    address.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, prefix - index * 8)))),
  );
}

/** Whether the first `count` bits of two addresses of one family are the same. */
export function sameBits(a: Buffer, b: Buffer, count: number): boolean {
  if (a.length !== b.length) return false;
  for (let bit = 0; bit < count; bit += 8) {
    const mask = count - bit >= 8 ? 0xff : (0xff00 >> (count - bit)) & 0xff;
    if (((a[bit >> 3]! ^ b[bit >> 3]!) & mask) !== 0) return false;
  }
  return true;
}

/** Text of 4 bytes (IPv4) or 16 (IPv6, as RFC 5952 spells it). */
export function formatAddress(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  if (/^(0,){5}ffff,/.test(groups.join())) return `::ffff:${bytes.subarray(12).join(".")}`;
  let [start, length] = [0, 0];
  for (let from = 0; from < 8; from++) {
    let run = 0;
    while (groups[from + run] === "0") run++;
    if (run > length) [start, length] = [from, run];
  }
  if (length < 2) return groups.join(":");
  return `${groups.slice(0, start).join(":")}::${groups.slice(start + length).join(":")}`;
}

export function formatMac(bytes: Buffer): string {
  return (bytes.toString("hex").match(/../g) ?? []).join(":");
}
