/**
 * google.protobuf.Struct as bytes, and as plain JSON, without protobuf's classes between: for a hundred thousand rules those
 * take ten seconds and a gigabyte at each call. It is read by protobuf's own reader. Its writer, as protobufjs' one, takes six
 * times as long as what is here: both keep the place of every length.
 */
import { BinaryReader } from "google-protobuf";
import { EbpfError } from "../../errors";
import type { Properties } from "../../lifecycle";

/** The one field of Struct and of ListValue; the key in an entry of Struct. */
const FIRST = 1;
const ENTRY_VALUE = 2;
/** The fields of Value. */
const NULL = 1;
const NUMBER = 2;
const STRING = 3;
const BOOLEAN = 4;
const STRUCT = 5;
const LIST = 6;

/** Without the members of these names. Fails with `internal` on what is no Struct. */
export function decodeStruct(bytes: Uint8Array, leftOut: readonly string[] = []): Properties {
  try {
    return readStruct(new BinaryReader(bytes), leftOut);
  } catch (error) {
    throw new EbpfError("internal", "read what the engine sent: it is no Struct", {}, { cause: error });
  }
}

/** What `read` makes of the part that comes next. */
function readPart<T>(reader: BinaryReader, read: (reader: BinaryReader) => T): T {
  let result!: T;
  reader.readMessage(null, (_, inner) => (result = read(inner)));
  return result;
}

function readStruct(reader: BinaryReader, leftOut: readonly string[] = []): Properties {
  const object: Properties = {};
  while (reader.nextField()) {
    reader.readMessage(object, (_, entry) => {
      let key = "";
      let value: unknown = null;
      while (entry.nextField()) {
        if (entry.getFieldNumber() === FIRST) key = entry.readString();
        else if (leftOut.includes(key)) entry.skipField();
        else value = readPart(entry, readValue);
      }
      if (!leftOut.includes(key)) object[key] = value;
    });
  }
  return object;
}

function readList(reader: BinaryReader): unknown[] {
  const items: unknown[] = [];
  while (reader.nextField()) items.push(readPart(reader, readValue));
  return items;
}

function readValue(reader: BinaryReader): unknown {
  let value: unknown = null;
  while (reader.nextField()) {
    const field = reader.getFieldNumber();
    if (field === STRING) value = reader.readString();
    else if (field === STRUCT) value = readPart(reader, readStruct);
    else if (field === LIST) value = readPart(reader, readList);
    else if (field === BOOLEAN) value = reader.readBool();
    else if (field === NUMBER) value = reader.readDouble();
    else reader.skipField();
  }
  return value;
}

/** Of a field's tag. */
const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
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

  function putTag(field: number, wireType: number): void {
    putVarint((field << 3) | wireType);
  }

  /** Length and tag, before a part that is all that `used` bytes were followed by. */
  function putHead(used: number, field: number): void {
    putVarint(bytes.length - at - used);
    putTag(field, LENGTH);
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
      putTag(NUMBER, FIXED64);
    } else if (typeof value === "boolean") {
      putVarint(value ? 1 : 0);
      putTag(BOOLEAN, VARINT);
    } else if (value === null || value === undefined) {
      putVarint(0);
      putTag(NULL, VARINT);
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
