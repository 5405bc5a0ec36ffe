/**
 * Bytes to JSON: the forms that `encode` takes, so that what was decoded encodes to the same bytes (padding aside).
 *
 * Integers of 8 bytes and more are decimal strings always, smaller ones numbers; enums are names where one fits; text
 * that is not UTF-8 is a list of bytes; a union shows its first largest member; what the kernel owns is left out.
 */
import { EbpfError } from "../errors";
import { formatAddress, formatMac, masked } from "./addresses";
import { readBits, readInteger } from "./integers";
import {
  type ArrayLayout,
  isText,
  kernelField,
  type MemberLayout,
  type StructLayout,
  type TypeLayout,
  typeName,
} from "./layout";
import { promoted, widestMember } from "./members";

/** Fails with EbpfError `invalid` when there are fewer bytes than the type has. */
export function decode(layout: TypeLayout, bytes: Uint8Array): unknown {
  if (bytes.length < layout.size) {
    throw new EbpfError(
      "invalid",
      `decode ${typeName(layout)}: it has ${layout.size} bytes, got ${bytes.length}`,
      {},
    );
  }
  return value(layout, Buffer.from(bytes.buffer, bytes.byteOffset, layout.size), 0);
}

function value(layout: TypeLayout, bytes: Buffer, offset: number): unknown {
  const own = bytes.subarray(offset, offset + layout.size);
  switch (layout.kind) {
    case "int":
      if (layout.format === "ipv4" && layout.size === 4) return formatAddress(own);
      return integer(layout, readInteger(own, 0, layout.size, layout.signed, layout.format !== undefined));
    case "enum":
      return integer(layout, readInteger(own, 0, layout.size, layout.signed, false));
    case "pointer":
      return integer(layout, readInteger(own, 0, layout.size, false, false));
    case "float": {
      const number = layout.size === 4 ? own.readFloatLE(0) : own.readDoubleLE(0);
      return Number.isFinite(number) ? number : `${number}`;
    }
    case "bytes":
      return `0x${own.toString("hex")}`;
    case "array":
      return array(layout, own);
    case "struct":
    case "union":
      return struct(layout, own);
  }
}

function integer(layout: TypeLayout, number: bigint): unknown {
  if (layout.kind === "enum") {
    const name = Object.entries(layout.values).find(([, of]) => BigInt(of) === number)?.[0];
    if (name !== undefined) return name;
  }
  if (layout.kind === "int" && layout.bool && number <= 1n) return number === 1n;
  return layout.size >= 8 ? number.toString() : Number(number);
}

function array(layout: ArrayLayout, own: Buffer): unknown {
  switch (layout.format) {
    case "hex":
      return `0x${own.toString("hex")}`;
    case "mac":
      return formatMac(own);
    case "ipv4":
    case "ipv6":
      return formatAddress(own);
  }
  if (isText(layout)) return text(own);
  return Array.from({ length: layout.count }, (_, index) =>
    value(layout.element, own, index * layout.element.size),
  );
}

function text(own: Buffer): string | number[] {
  let end = own.length;
  while (end > 0 && own[end - 1] === 0) end--;
  const used = own.subarray(0, end);
  const string = used.toString("utf8");
  return used.includes(0) || !Buffer.from(string, "utf8").equals(used) ? [...own] : string;
}

function struct(layout: StructLayout, own: Buffer): unknown {
  if (layout.format === "ipv4" || layout.format === "ipv6") return formatAddress(own);
  if (layout.format === "cidr4" || layout.format === "cidr6") {
    const prefix = own.readUInt32LE(0);
    const address = own.subarray(4);
    // a key that the data plane wrote with host bits set has no CIDR text of its own
    if (prefix <= address.length * 8 && masked(address, prefix).equals(address)) {
      return `${formatAddress(address)}/${prefix}`;
    }
  }
  const result: [string, unknown][] = [];
  members(layout, own, 0, result);
  return Object.fromEntries(result);
}

function members(layout: StructLayout, bytes: Buffer, offset: number, result: [string, unknown][]): void {
  const widest = layout.kind === "union" ? widestMember(layout) : undefined;
  for (const member of layout.kind === "union" ? (widest === undefined ? [] : [widest]) : layout.members) {
    const anonymous = promoted(member);
    if (anonymous !== undefined) members(anonymous, bytes, offset + member.offsetBits / 8, result);
    else if (kernelField(member.type) === undefined && member.type.size > 0) {
      result.push([member.name, memberValue(member, bytes, offset)]);
    }
  }
}

function memberValue({ type, bits, offsetBits }: MemberLayout, bytes: Buffer, offset: number): unknown {
  if (bits === undefined) return value(type, bytes, offset + offsetBits / 8);
  const signed = (type.kind === "int" || type.kind === "enum") && type.signed;
  return integer(type, readBits(bytes, offset * 8 + offsetBits, bits, signed));
}
