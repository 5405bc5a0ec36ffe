/** Integers of any width in little-endian memory, network byte order and bit-fields. */

/** Smallest and largest value of `bits` bits. */
export function integerRange(bits: number, signed: boolean): [bigint, bigint] {
  const width = BigInt(bits);
  return signed ? [-(1n << (width - 1n)), (1n << (width - 1n)) - 1n] : [0n, (1n << width) - 1n];
}

/** A JSON integer: a whole number up to 2^53, or text in decimal or 0x form. */
export function parseInteger(json: unknown): bigint | undefined {
  if (typeof json === "number") return Number.isSafeInteger(json) ? BigInt(json) : undefined;
  if (typeof json !== "string" || json.length > 64) return undefined;
  const match = /^(-?)(\d+|0x[0-9a-f]+)$/i.exec(json);
  if (match === null) return undefined;
  const magnitude = BigInt(match[2] as string);
  return match[1] === "-" ? -magnitude : magnitude;
}

export function writeInteger(
  out: Buffer,
  offset: number,
  size: number,
  value: bigint,
  bigEndian: boolean,
): void {
  let rest = BigInt.asUintN(size * 8, value);
  for (let index = 0; index < size; index++) {
    out[offset + (bigEndian ? size - 1 - index : index)] = Number(rest & 0xffn);
    rest >>= 8n;
  }
}

export function readInteger(
  bytes: Buffer,
  offset: number,
  size: number,
  signed: boolean,
  bigEndian: boolean,
): bigint {
  let value = 0n;
  for (let index = 0; index < size; index++) {
    value = (value << 8n) | BigInt(bytes.readUInt8(offset + (bigEndian ? index : size - 1 - index)));
  }
  return signed ? BigInt.asIntN(size * 8, value) : value;
}

/** Into bits that are zero. `offsetBits` counts from the least significant bit of byte 0, as BTF does on little-endian targets. */
export function writeBits(out: Buffer, offsetBits: number, bits: number, value: bigint): void {
  for (let index = 0; index < bits; index++) {
    const at = offsetBits + index;
    if ((value >> BigInt(index)) & 1n) out[at >> 3] = out.readUInt8(at >> 3) | (1 << (at & 7));
  }
}

export function readBits(bytes: Buffer, offsetBits: number, bits: number, signed: boolean): bigint {
  let value = 0n;
  for (let index = bits - 1; index >= 0; index--) {
    const at = offsetBits + index;
    value = (value << 1n) | BigInt((bytes.readUInt8(at >> 3) >> (at & 7)) & 1);
  }
  return signed ? BigInt.asIntN(bits, value) : value;
}
