/**
 * C structs as tables of fields: natural alignment of LP64, little endian, the same on x86-64 and arm64.
 * A test compares every size and offset with clang's.
 */
import { koffi } from "./koffi";

/** A number is that many bytes (`char name[16]`). */
export type FieldType = "u8" | "u32" | "s32" | "u64" | "pointer" | number;

/** Bytes behind a pointer; text gets its NUL. */
export type Pointee = ArrayBufferView | string | undefined;

type Encoded<T> = T extends "u64"
  ? bigint | number
  : T extends "pointer"
    ? Pointee
    : T extends number
      ? Buffer
      : number;
type Decoded<T> = T extends "u64" | "pointer" ? bigint : T extends number ? Buffer : number;

type Fields = Record<string, FieldType>;
export type EncodedFields<F extends Fields> = { [N in keyof F]?: Encoded<F[N]> };
export type DecodedFields<F extends Fields> = { [N in keyof F]: Decoded<F[N]> };

/** Pointed-at buffers live as long as the struct that points at them. */
const pointees = new WeakMap<Buffer, Pointee[]>();

export class Struct<F extends Fields> {
  readonly offsets: { readonly [N in keyof F]: number };
  readonly size: number;

  /** `name` as in C; `fields` in C's order; a first field `sz` is set to the size by `encode`. */
  constructor(
    readonly name: string,
    private readonly fields: F,
  ) {
    let offset = 0;
    let widest = 1;
    const offsets: Record<string, number> = {};
    for (const [field, type] of Object.entries(fields)) {
      const [size, alignment] = measure(type);
      offset = Math.ceil(offset / alignment) * alignment;
      offsets[field] = offset;
      offset += size;
      widest = Math.max(widest, alignment);
    }
    this.offsets = offsets as { [N in keyof F]: number };
    this.size = Math.ceil(offset / widest) * widest;
  }

  /** Missing fields are zero. */
  encode(values: EncodedFields<F> = {}): Buffer {
    const buffer = Buffer.alloc(this.size);
    const kept: Pointee[] = [];
    const sized = "sz" in this.fields ? { sz: this.size, ...values } : values;
    for (const [field, value] of Object.entries(sized)) {
      if (value !== undefined)
        write(buffer, this.offsets[field] as number, this.fields[field] as FieldType, value, kept);
    }
    if (kept.length > 0) pointees.set(buffer, kept);
    return buffer;
  }

  /** What the kernel did not fill (an older one) reads as zero. */
  decode(buffer: Buffer): DecodedFields<F> {
    const values: Record<string, unknown> = {};
    for (const [field, type] of Object.entries(this.fields)) {
      values[field] = read(buffer, this.offsets[field] as number, type);
    }
    return values as DecodedFields<F>;
  }
}

function measure(type: FieldType): [size: number, alignment: number] {
  if (typeof type === "number") return [type, 1];
  if (type === "u8") return [1, 1];
  return type === "u32" || type === "s32" ? [4, 4] : [8, 8];
}

function write(buffer: Buffer, offset: number, type: FieldType, value: unknown, kept: Pointee[]): void {
  if (typeof type === "number") (value as Buffer).copy(buffer, offset, 0, type);
  else if (type === "u8") buffer.writeUInt8(value as number, offset);
  else if (type === "u32") buffer.writeUInt32LE((value as number) >>> 0, offset);
  else if (type === "s32") buffer.writeInt32LE(value as number, offset);
  else if (type === "u64") buffer.writeBigUInt64LE(BigInt(value as number | bigint), offset);
  else {
    const pointee = typeof value === "string" ? Buffer.from(`${value}\0`) : (value as ArrayBufferView);
    kept.push(pointee);
    buffer.writeBigUInt64LE(koffi.address(pointee), offset);
  }
}

function read(buffer: Buffer, offset: number, type: FieldType): unknown {
  if (typeof type === "number") return buffer.subarray(offset, offset + type);
  if (type === "u8") return buffer.readUInt8(offset);
  if (type === "u32") return buffer.readUInt32LE(offset);
  if (type === "s32") return buffer.readInt32LE(offset);
  return buffer.readBigUInt64LE(offset);
}

/** Text up to the first NUL. */
export function cText(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}
