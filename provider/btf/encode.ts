/**
 * JSON to bytes. What a value may be, by layout:
 *
 * - integer: a whole number, or text in decimal or 0x form (needed beyond 2^53). `be`: the number as people say it.
 *   `ipv4`, and `be` of 4 bytes: also `192.0.2.1`.
 * - bool: true, false, 1, 0. float: a number, or `NaN`, `Infinity`, `-Infinity`. enum: a name or a number.
 * - char array: text (UTF-8, padded with NUL), or one number per byte.
 * - byte array: one number per byte; `0x…` with two digits per byte; an IPv4, IPv6 or MAC address where 4, 16 or 6
 *   bytes fit it. bytes of unknown type: the same but for addresses.
 * - struct: an object with every member; those of anonymous structs count as the parent's. Padding is zero.
 *   LPM-trie key (u32 prefix length, 4 or 16 bytes of address): also `203.0.113.0/24`.
 * - union: an object with exactly one member. array: a list of exactly its length.
 * - pointer: an integer. What the kernel owns (timers, locks, kptrs) is left out and becomes zero.
 */
import { invalid, type Problem } from "../errors";
import { parseAddress, parseCidr, parseMac } from "./addresses";
import { integerRange, parseInteger, writeBits, writeInteger } from "./integers";
import {
  type EnumLayout,
  type IntLayout,
  isByteArray,
  isText,
  kernelField,
  type MemberLayout,
  type StructLayout,
  type TypeLayout,
  typeName,
} from "./layout";
import { chosenMembers, cidrShape, memberNames, namesOf, promoted } from "./members";

/**
 * The bytes of one value. `path` is what problems are named by, e.g. `entries[3].value`.
 * Fails with EbpfError `invalid` that lists every problem of the value.
 */
export function encode(layout: TypeLayout, json: unknown, path = "value"): Buffer {
  const problems: Problem[] = [];
  const bytes = encodeInto(layout, json, path, problems);
  if (problems.length > 0) throw invalid(`encode ${path} as ${typeName(layout)}`, problems);
  return bytes;
}

/** As `encode`, but adds to `problems` (of many rows, say) instead of failing; the bytes count only if none came. */
export function encodeInto(layout: TypeLayout, json: unknown, path: string, problems: Problem[]): Buffer {
  const out = Buffer.alloc(layout.size);
  new Encoder(out, problems).value(layout, json, path, 0);
  return out;
}

type JsonObject = Record<string, unknown>;

class Encoder {
  constructor(
    private readonly out: Buffer,
    private readonly problems: Problem[],
  ) {}

  value(layout: TypeLayout, json: unknown, path: string, offset: number): void {
    const owned = kernelField(layout);
    if (owned !== undefined) return this.fail(path, `the kernel owns this ${owned}; leave it out`);
    switch (layout.kind) {
      case "int":
      case "enum":
      case "pointer": {
        const value = this.integer(layout, json, path, layout.size * 8);
        const bigEndian = layout.kind === "int" && layout.format !== undefined;
        if (value !== undefined) writeInteger(this.out, offset, layout.size, value, bigEndian);
        return;
      }
      case "float":
        return this.float(layout.size, json, path, offset);
      case "struct":
        return this.struct(layout, json, path, offset);
      case "union":
        return this.union(layout, json, path, offset);
      case "bytes":
        return this.bytes(layout, json, path, offset);
      case "array":
        if (isText(layout) && typeof json === "string") return this.text(layout.size, json, path, offset);
        if (
          isText(layout) ||
          isByteArray(layout) ||
          (layout.format !== undefined && typeof json === "string")
        ) {
          return this.bytes(layout, json, path, offset);
        }
        if (!Array.isArray(json) || json.length !== layout.count) {
          return this.fail(
            path,
            `expected a list of ${layout.count} for ${typeName(layout)}, got ${shown(json)}`,
          );
        }
        for (let index = 0; index < layout.count; index++) {
          this.value(layout.element, json[index], `${path}[${index}]`, offset + index * layout.element.size);
        }
    }
  }

  private fail(property: string, reason: string): void {
    this.problems.push({ property, reason });
  }

  private integer(layout: TypeLayout, json: unknown, path: string, bits: number): bigint | undefined {
    const value = integerOf(layout, json);
    // BTF of clang before 16 does not say whether an enum has a sign: both spellings of its bits are right
    const signed =
      layout.kind === "enum"
        ? typeof value === "bigint" && value < 0n
        : layout.kind === "int" && layout.signed;
    const [min, max] = integerRange(bits, signed);
    if (typeof value === "string") {
      this.fail(path, value);
    } else if (value < min || value > max) {
      this.fail(
        path,
        `${shown(json)} does not fit ${bits} bits ${signed ? "signed" : "unsigned"} (${min} to ${max})`,
      );
    } else {
      return value;
    }
    return undefined;
  }

  private float(size: number, json: unknown, path: string, offset: number): void {
    const special = json === "NaN" || json === "Infinity" || json === "-Infinity";
    if (typeof json !== "number" && !special) return this.fail(path, `expected a number, got ${shown(json)}`);
    if (size === 4) this.out.writeFloatLE(Number(json), offset);
    else this.out.writeDoubleLE(Number(json), offset);
  }

  private text(size: number, text: string, path: string, offset: number): void {
    const bytes = Buffer.from(text, "utf8");
    if (text.includes("\0"))
      return this.fail(path, "text may not contain NUL; give one number per byte instead");
    if (bytes.length > size) return this.fail(path, `${shown(text)} has ${bytes.length} bytes, ${size} fit`);
    bytes.copy(this.out, offset);
  }

  private bytes(layout: TypeLayout, json: unknown, path: string, offset: number): void {
    const bytes = bytesOf(layout, json);
    if (typeof bytes === "string") this.fail(path, bytes);
    else bytes.copy(this.out, offset);
  }

  private struct(layout: StructLayout, json: unknown, path: string, offset: number): void {
    const size = layout.format === "ipv4" ? 4 : layout.format === "ipv6" ? 16 : cidrShape(layout);
    if (typeof json === "string" && size !== undefined) {
      if (layout.format === "ipv4" || layout.format === "ipv6") return this.bytes(layout, json, path, offset);
      const network = parseCidr(json, size);
      if (typeof network === "string") return this.fail(path, network);
      this.out.writeUInt32LE(network.prefix, offset);
      network.address.copy(this.out, offset + 4);
      return;
    }
    const object = this.object(layout, json, path);
    if (object === undefined) return;
    this.members(layout.members, object, path, offset);
    const bits = layout.format === "cidr4" ? 32 : layout.format === "cidr6" ? 128 : undefined;
    const prefix = layout.members[0]?.name ?? "";
    if (bits !== undefined && this.out.readUInt32LE(offset) > bits) {
      this.fail(join(path, prefix), `the prefix length is more than ${bits}`);
    }
  }

  private members(members: MemberLayout[], object: JsonObject, path: string, offset: number): void {
    for (const member of members) {
      const at = offset + Math.floor(member.offsetBits / 8);
      const anonymous = promoted(member);
      if (anonymous?.kind === "struct") {
        this.members(anonymous.members, object, path, at);
      } else if (anonymous?.kind === "union") {
        this.choice(anonymous, object, path, at);
      } else if (Object.hasOwn(object, member.name) && object[member.name] !== undefined) {
        this.member(member, object[member.name], join(path, member.name), offset);
      } else if (kernelField(member.type) === undefined && member.type.size > 0) {
        this.fail(join(path, member.name), `missing; expected ${typeName(member.type)}`);
      }
    }
  }

  private member(member: MemberLayout, json: unknown, path: string, offset: number): void {
    const { bits, offsetBits, type } = member;
    if (bits === undefined) return this.value(type, json, path, offset + offsetBits / 8);
    const value = this.integer(type, json, path, bits);
    if (value !== undefined) writeBits(this.out, offset * 8 + offsetBits, bits, value);
  }

  private union(layout: StructLayout, json: unknown, path: string, offset: number): void {
    if (typeof json === "string" && layout.format !== undefined)
      return this.bytes(layout, json, path, offset);
    const object = this.object(layout, json, path);
    if (object !== undefined) this.choice(layout, object, path, offset);
  }

  private choice(union: StructLayout, object: JsonObject, path: string, offset: number): void {
    if (union.members.length === 0) return;
    const given = new Set(Object.keys(object).filter((name) => object[name] !== undefined));
    const chosen = chosenMembers(union, given);
    if (chosen.length === 1) return this.members(chosen, object, path, offset);
    const names = union.members.map((member) => namesOf(member).join(" + ")).join(", ");
    this.fail(path, `give exactly one of ${names}${chosen.length === 0 ? "" : `, not ${chosen.length}`}`);
  }

  private object(layout: StructLayout, json: unknown, path: string): JsonObject | undefined {
    if (json === null || typeof json !== "object" || Array.isArray(json)) {
      const text = cidrShape(layout) === undefined ? "" : " or a network such as 203.0.113.0/24";
      this.fail(
        path,
        `expected an object with ${memberNames(layout).join(", ")} for ${typeName(layout)}${text}, got ${shown(json)}`,
      );
      return undefined;
    }
    const known = new Set(memberNames(layout));
    for (const name of Object.keys(json)) {
      if (!known.has(name)) {
        this.fail(join(path, name), `unknown member of ${typeName(layout)}; it has ${[...known].join(", ")}`);
      }
    }
    return json as JsonObject;
  }
}

/** The number, or the reason why it is none. */
function integerOf(layout: TypeLayout, json: unknown): bigint | string {
  if (layout.kind === "enum") return enumOf(layout, json);
  if (layout.kind === "int" && layout.bool) {
    if (json === true || json === 1) return 1n;
    if (json === false || json === 0) return 0n;
    return `expected true or false, got ${shown(json)}`;
  }
  if (layout.kind === "int" && typeof json === "string" && takesAddress(layout)) {
    const address = parseAddress(json, 4);
    if (address !== undefined) return BigInt(address.readUInt32BE(0));
  }
  const value = parseInteger(json);
  if (value !== undefined) return value;
  if (typeof json === "number" && Number.isInteger(json)) {
    return `${json} is beyond what a JSON number holds exactly; write it as text`;
  }
  if (
    layout.kind === "int" &&
    layout.size === 4 &&
    typeof json === "string" &&
    parseAddress(json, 4) !== undefined
  ) {
    return `${json} needs a byte order, which ${typeName(layout)} does not say; set the format "ipv4", or use __be32 in C`;
  }
  return `expected ${layout.kind === "int" && takesAddress(layout) ? "an IPv4 address or " : ""}an integer for ${typeName(layout)}, got ${shown(json)}`;
}

function takesAddress(layout: IntLayout): boolean {
  return layout.size === 4 && layout.format !== undefined;
}

function enumOf(layout: EnumLayout, json: unknown): bigint | string {
  if (typeof json === "string" && Object.hasOwn(layout.values, json))
    return BigInt(layout.values[json] as string);
  const value = parseInteger(json);
  if (value !== undefined) return value;
  const names = Object.keys(layout.values);
  const some = names.length > 20 ? `${names.slice(0, 20).join(", ")}, …` : names.join(", ");
  return `expected one of ${some} or a number for ${typeName(layout)}, got ${shown(json)}`;
}

function bytesOf(layout: TypeLayout, json: unknown): Buffer | string {
  const { size } = layout;
  if (Array.isArray(json)) {
    const wrong = json.findIndex((byte) => !Number.isInteger(byte) || byte < -128 || byte > 255);
    if (wrong >= 0) return `expected bytes (0 to 255), got ${shown(json[wrong])} at [${wrong}]`;
    return json.length === size
      ? Buffer.from(json as number[])
      : `expected ${size} bytes, got ${json.length}`;
  }
  if (typeof json === "string") {
    if (/^0x([0-9a-f]{2})*$/i.test(json)) {
      const bytes = Buffer.from(json.slice(2), "hex");
      return bytes.length === size ? bytes : `expected ${size} bytes, ${json} has ${bytes.length}`;
    }
    const address =
      layout.kind === "bytes"
        ? undefined
        : size === 6
          ? parseMac(json)
          : size === 4 || size === 16
            ? parseAddress(json, size)
            : undefined;
    if (address !== undefined) return address;
  }
  const forms: Record<number, string> = {
    4: " or an IPv4 address",
    6: " or a MAC address",
    16: " or an IPv6 address",
  };
  return `expected ${size} bytes as a list of numbers or 0x text${layout.kind === "bytes" ? "" : (forms[size] ?? "")}, got ${shown(json)}`;
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

/** The value in a message, cut where long. */
function shown(json: unknown): string {
  const text = json === undefined ? "nothing" : JSON.stringify(json);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
