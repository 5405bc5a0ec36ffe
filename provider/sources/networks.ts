/**
 * A file of networks: one CIDR a line, IPv4 or IPv6; `#` begins a comment, blank lines are skipped.
 *
 * Lines that are just a network are read as bytes, a million in a tenth of a second; all others as text, by parseCidr,
 * which also says what is wrong with them.
 */
import { hexDigit, parseCidr } from "../btf/addresses";

const NEWLINE = 10;
const DOT = 46;
const SLASH = 47;
const DIGIT_0 = 48;
const COLON = 58;

/** The networks alone, each with `\n` after it. Calls `refuse` for each line that holds no network. */
export function readNetworks(bytes: Buffer, refuse: (line: number, reason: string) => void): Buffer {
  const pieces: Buffer[] = [];
  /** Where the lines begin that can be taken over as they are. */
  let plain = 0;
  for (let at = 0, line = 1; at < bytes.length; line++) {
    const end = networkAt(bytes, at);
    if (end > at && bytes[end] === NEWLINE) {
      at = end + 1;
      continue;
    }
    const newline = bytes.indexOf(NEWLINE, at);
    const next = newline < 0 ? bytes.length : newline + 1;
    const network = withoutComment(bytes.toString("utf8", at, next), line);
    pieces.push(bytes.subarray(plain, at));
    plain = at = next;
    if (network === "") continue;
    const parsed = parseCidr(network, network.includes(":") ? 16 : 4);
    if (typeof parsed === "string") refuse(line, parsed);
    else pieces.push(Buffer.from(`${network}\n`));
  }
  if (pieces.length === 0) return bytes;
  return Buffer.concat([...pieces, bytes.subarray(plain)]);
}

function withoutComment(text: string, line: number): string {
  const comment = text.indexOf("#");
  const content = comment < 0 ? text : text.slice(0, comment);
  return (line === 1 ? content.replace(/^\uFEFF/, "") : content).trim();
}

/** Where a network that begins at `at` ends; -1 where there is none, or one that is better read as text. */
function networkAt(bytes: Buffer, at: number): number {
  const end = ipv4At(bytes, at);
  return end > at ? end : ipv6At(bytes, at);
}

function ipv4At(bytes: Buffer, at: number): number {
  let address = 0;
  for (let parts = 1; parts <= 4; parts++) {
    const start = at;
    let part = 0;
    for (let digit; (digit = bytes[at]! - DIGIT_0) >= 0 && digit <= 9; at++) part = part * 10 + digit;
    if (at === start || at - start > 3 || part > 255) return -1;
    if (bytes[start] === DIGIT_0 && at - start > 1) return -1;
    if (bytes[at++] !== (parts === 4 ? SLASH : DOT)) return -1;
    address = (address << 8) | part;
  }
  const prefix = prefixAt(bytes, at);
  if (prefix > 32 || (prefix < 32 && address << prefix !== 0)) return -1;
  return at + digitsOf(prefix);
}

/** Of the one address that is being read. */
const groups = new Uint16Array(8);

function ipv6At(bytes: Buffer, at: number): number {
  let count = 0;
  let gap = -1;
  if (bytes[at] === COLON && bytes[at + 1] === COLON) {
    gap = 0;
    at += 2;
  }
  while (bytes[at] !== SLASH) {
    const start = at;
    let group = 0;
    for (let digit; (digit = hexDigit(bytes[at]!)) >= 0; at++) group = group * 16 + digit;
    if (at === start || at - start > 4 || count === 8) return -1;
    groups[count++] = group;
    if (bytes[at] === SLASH) break;
    if (bytes[at++] !== COLON) return -1;
    if (bytes[at] === SLASH) return -1;
    if (bytes[at] !== COLON) continue;
    if (gap >= 0) return -1;
    gap = count;
    at++;
  }
  if (gap < 0 ? count !== 8 : count > 7) return -1;
  const prefix = prefixAt(bytes, ++at);
  if (prefix > 128) return -1;
  for (let index = 0; index < count; index++) {
    const place = gap < 0 || index < gap ? index : 8 - count + index;
    const inside = Math.min(16, Math.max(0, prefix - place * 16));
    if ((groups[index]! & (0xffff >> inside)) !== 0) return -1;
  }
  return at + digitsOf(prefix);
}

/** A number of at most three digits without leading zeros; else 999, which no family has. */
function prefixAt(bytes: Buffer, at: number): number {
  const start = at;
  let prefix = 0;
  for (let digit; (digit = bytes[at]! - DIGIT_0) >= 0 && digit <= 9; at++) prefix = prefix * 10 + digit;
  const digits = at - start;
  return digits === 0 || digits > 3 || (digits > 1 && bytes[start] === DIGIT_0) ? 999 : prefix;
}

function digitsOf(prefix: number): number {
  return prefix < 10 ? 1 : prefix < 100 ? 2 : 3;
}
