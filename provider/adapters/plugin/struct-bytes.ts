/**
 * google.protobuf.Struct as bytes, and as plain JSON, without its classes between: for a hundred thousand rules those take
 * ten seconds and a gigabyte at each call.
 */
import { EbpfError } from "../../errors";
import type { Properties } from "../../lifecycle";

const tag = (field: number, wireType: number): number => (field << 3) | wireType;

/** The one field of Struct and of ListValue; the key in an entry of Struct. */
const FIRST = tag(1, 2);
const ENTRY_VALUE = tag(2, 2);
/** The fields of Value. */
const NULL = tag(1, 0);
const NUMBER = tag(2, 1);
const STRING = tag(3, 2);
const BOOLEAN = tag(4, 0);
const STRUCT = tag(5, 2);
const LIST = tag(6, 2);

/** Without the members of these names. Fails with `internal` on what is no Struct. */
export function decodeStruct(encoded: Uint8Array, leftOut: readonly string[] = []): Properties {
  const bytes = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  let at = 0;

  function varint(): number {
    let byte = bytes[at++]!;
    let value = byte & 0x7f;
    for (let shift = 7; byte > 0x7f; shift += 7) {
      byte = bytes[at++]!;
      value |= (byte & 0x7f) << shift;
    }
    return value;
  }

  /** Where the part ends whose length is read next. */
  function end(): number {
    const length = varint();
    return at + length;
  }

  function string(): string {
    const last = end();
    const text = bytes.toString("utf8", at, last);
    at = last;
    return text;
  }

  function struct(last: number, without: readonly string[] = []): Properties {
    const object: Properties = {};
    while (at < last) {
      expectTag(FIRST);
      let key = "";
      let member: unknown = null;
      for (const entryEnd = end(); at < entryEnd;) {
        if (bytes[at] === FIRST) {
          at++;
          key = string();
        } else {
          expectTag(ENTRY_VALUE);
          const memberEnd = end();
          if (without.includes(key)) at = memberEnd;
          else member = value(memberEnd);
        }
      }
      if (!without.includes(key)) object[key] = member;
    }
    return object;
  }

  function list(last: number): unknown[] {
    const items: unknown[] = [];
    while (at < last) {
      expectTag(FIRST);
      items.push(value(end()));
    }
    return items;
  }

  function value(last: number): unknown {
    let result: unknown = null;
    while (at < last) {
      const field = bytes[at++];
      if (field === STRING) result = string();
      else if (field === STRUCT) result = struct(end());
      else if (field === LIST) result = list(end());
      else if (field === BOOLEAN) result = varint() !== 0;
      else if (field === NUMBER) {
        result = bytes.readDoubleLE(at);
        at += 8;
      } else if (field === NULL) {
        varint();
        result = null;
      } else throw strange(at - 1);
    }
    return result;
  }

  function expectTag(expected: number): void {
    if (bytes[at++] !== expected) throw strange(at - 1);
  }

  return struct(bytes.length, leftOut);
}

function strange(at: number): EbpfError {
  return new EbpfError("internal", `read what the engine sent: byte ${at} is no part of a Struct`, {});
}

/** Longest varint of a length. */
const VARINT_BYTES = 5;
const FIRST_BYTES = 4096;

/** What is undefined is left out, in lists null. */
export function encodeStruct(properties: Properties): Uint8Array {
  // from the end to the start: the length of a part, which stands before it, is known when the part is there
  let bytes = Buffer.allocUnsafe(FIRST_BYTES);
  let at = bytes.length;

  function makeRoom(size: number): void {
    if (at >= size) return;
    const used = bytes.length - at;
    const larger = Buffer.allocUnsafe(2 * bytes.length + size);
    bytes.copy(larger, larger.length - used, at);
    at = larger.length - used;
    bytes = larger;
  }

  function putVarint(value: number): void {
    makeRoom(VARINT_BYTES);
    if (value < 0x80) bytes[--at] = value;
    else {
      const size = Math.ceil((32 - Math.clz32(value)) / 7);
      at -= size;
      for (let place = at; place < at + size; place++, value >>>= 7)
        bytes[place] = value > 0x7f ? (value & 0x7f) | 0x80 : value;
    }
  }

  /** Length and tag, before a part that is all that `used` bytes were followed by. */
  function putHead(used: number, field: number): void {
    putVarint(bytes.length - at - used);
    putVarint(field);
  }

  function putString(text: string, field: number): void {
    const used = bytes.length - at;
    const size = Buffer.byteLength(text);
    makeRoom(size);
    at -= size;
    bytes.write(text, at);
    putHead(used, field);
  }

  function putStruct(object: Properties): void {
    for (const key of Object.keys(object).reverse()) {
      if (object[key] === undefined) continue;
      const used = bytes.length - at;
      putValue(object[key]);
      putHead(used, ENTRY_VALUE);
      putString(key, FIRST);
      putHead(used, FIRST);
    }
  }

  function putList(items: readonly unknown[]): void {
    for (let index = items.length - 1; index >= 0; index--) {
      const used = bytes.length - at;
      putValue(items[index]);
      putHead(used, FIRST);
    }
  }

  function putValue(value: unknown): void {
    const used = bytes.length - at;
    if (typeof value === "string") putString(value, STRING);
    else if (typeof value === "number") {
      makeRoom(8);
      bytes.writeDoubleLE(value, (at -= 8));
      putVarint(NUMBER);
    } else if (typeof value === "boolean") {
      putVarint(value ? 1 : 0);
      putVarint(BOOLEAN);
    } else if (value === null || value === undefined) {
      putVarint(0);
      putVarint(NULL);
    } else if (Array.isArray(value)) {
      putList(value);
      putHead(used, LIST);
    } else {
      putStruct(value as Properties);
      putHead(used, STRUCT);
    }
  }

  putStruct(properties);
  return bytes.subarray(at);
}
