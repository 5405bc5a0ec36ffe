/** Little-endian reads that cannot leave their bytes: damage becomes an EbpfError, never a RangeError. */
import { EbpfError } from "../errors";

export function damaged(message: string, remedy?: string): EbpfError<"invalid"> {
  return new EbpfError("invalid", message, {}, remedy === undefined ? {} : { remedy });
}

export class ByteView {
  readonly bytes: Buffer;

  /** `what` names the bytes in messages, e.g. `section .BTF`. */
  constructor(
    bytes: Uint8Array,
    readonly what: string,
  ) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  u8(offset: number): number {
    return this.bytes.readUInt8(this.within(offset, 1));
  }

  u16(offset: number): number {
    return this.bytes.readUInt16LE(this.within(offset, 2));
  }

  u32(offset: number): number {
    return this.bytes.readUInt32LE(this.within(offset, 4));
  }

  i32(offset: number): number {
    return this.bytes.readInt32LE(this.within(offset, 4));
  }

  u64(offset: number): bigint {
    return this.bytes.readBigUInt64LE(this.within(offset, 8));
  }

  i64(offset: number): bigint {
    return this.bytes.readBigInt64LE(this.within(offset, 8));
  }

  /** An unsigned 64-bit file offset, size or address. */
  size(offset: number): number {
    const value = this.u64(offset);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw damaged(`read ${this.what}: ${value} at byte ${offset} is no sensible size`);
    }
    return Number(value);
  }

  slice(offset: number, size: number, what = this.what): ByteView {
    this.within(offset, size);
    return new ByteView(this.bytes.subarray(offset, offset + size), what);
  }

  /** The NUL-terminated string at `offset`. */
  text(offset: number): string {
    this.within(offset, 1);
    const end = this.bytes.indexOf(0, offset);
    if (end < 0) throw damaged(`read ${this.what}: the string at byte ${offset} does not end`);
    return this.bytes.toString("utf8", offset, end);
  }

  private within(offset: number, size: number): number {
    if (!(Number.isInteger(offset) && offset >= 0 && size >= 0 && offset + size <= this.length)) {
      throw damaged(
        `read ${this.what}: truncated, ${size} bytes at ${offset} are outside its ${this.length} bytes`,
      );
    }
    return offset;
  }
}
