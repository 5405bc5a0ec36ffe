/**
 * How a JSON-RPC message becomes bytes: `[u32 length of the JSON, big-endian][JSON][bytes of all binary values]`.
 *
 * Every `Uint8Array` of a message is lifted out of the JSON, which notes where it belongs and how long it is; so
 * 16 MB of ELF cost neither base64 nor a second parse. Values from the wire are views into the frame, not copies.
 * Message boundaries (Content-Length) are vscode-jsonrpc's.
 */
import type { Writable } from "node:stream";
import {
  AbstractMessageWriter,
  type ContentTypeDecoder,
  type Message,
  type MessageWriter,
} from "vscode-jsonrpc/node";

type Key = string | number;

/** The JSON part of a frame. Binary values follow in the order of `binary`. */
interface Envelope {
  message: unknown;
  binary: { path: Key[]; length: number }[];
}

const LENGTH_BYTES = 4;

/** One write, and so one packet, for each message: the library's own writer makes two, which costs a round trip. */
export class FrameWriter extends AbstractMessageWriter implements MessageWriter {
  constructor(private readonly stream: Writable) {
    super();
  }

  // async, so that a value that JSON cannot express rejects the call instead of throwing through the library
  async write(message: Message): Promise<void> {
    const parts = encode(message);
    const length = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const bytes = Buffer.concat([Buffer.from(`Content-Length: ${length}\r\n\r\n`), ...parts]);
    await new Promise<void>((resolve, reject) => {
      this.stream.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  end(): void {
    this.stream.end();
  }
}

export const decoder: ContentTypeDecoder = {
  name: "application/vnd.pulumi-ebpf",
  decode: async (frame) => decodeFrame(frame) as Message,
};

export function encodeFrame(message: unknown): Uint8Array {
  return Buffer.concat(encode(message));
}

function encode(message: unknown): Uint8Array[] {
  const values: Uint8Array[] = [];
  const envelope: Envelope = { message: undefined, binary: [] };
  envelope.message = lift(message, [], (path, value) => {
    envelope.binary.push({ path: [...path], length: value.byteLength });
    values.push(value);
  });
  const json = Buffer.from(JSON.stringify(envelope), "utf8");
  const length = Buffer.allocUnsafe(LENGTH_BYTES);
  length.writeUInt32BE(json.byteLength);
  return [length, json, ...values];
}

/** Fails on a frame that encodeFrame cannot have written. */
export function decodeFrame(frame: Uint8Array): unknown {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  if (bytes.byteLength < LENGTH_BYTES) throw new Error(`frame of ${bytes.byteLength} bytes has no length`);
  const end = LENGTH_BYTES + bytes.readUInt32BE();
  if (end > bytes.byteLength) {
    throw new Error(`frame of ${bytes.byteLength} bytes announces JSON up to byte ${end}`);
  }
  const envelope = JSON.parse(bytes.toString("utf8", LENGTH_BYTES, end)) as Envelope;
  if (typeof envelope !== "object" || envelope === null || !Array.isArray(envelope.binary)) {
    throw new Error("frame has no list of binary values");
  }
  let offset = end;
  for (const { path, length } of envelope.binary) {
    if (!Number.isSafeInteger(length) || length < 0 || offset + length > bytes.byteLength) {
      throw new Error(`frame of ${bytes.byteLength} bytes is cut short`);
    }
    put(envelope.message, path, bytes.subarray(offset, offset + length));
    offset += length;
  }
  if (offset !== bytes.byteLength) throw new Error(`frame has ${bytes.byteLength - offset} bytes too many`);
  return envelope.message;
}

/** `value` with null where a Uint8Array stands. Copies only what contains one. */
function lift(value: unknown, path: Key[], found: (path: Key[], value: Uint8Array) => void): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) {
    found(path, value);
    return null;
  }
  let copy: Record<Key, unknown> | undefined;
  for (const [key, child] of Object.entries(value)) {
    if (typeof child !== "object" || child === null) continue;
    path.push(key);
    const lifted = lift(child, path, found);
    path.pop();
    if (lifted === child) continue;
    copy ??= (Array.isArray(value) ? [...value] : { ...value }) as Record<Key, unknown>;
    copy[key] = lifted;
  }
  return copy ?? value;
}

function put(message: unknown, path: Key[], value: Uint8Array): void {
  let parent = message;
  const last = path.length - 1;
  for (const [index, key] of path.entries()) {
    // own keys only: a path may not lead into a prototype
    if (typeof parent !== "object" || parent === null || !Object.hasOwn(parent, key)) break;
    const holder = parent as Record<Key, unknown>;
    if (index === last) {
      holder[key] = value;
      return;
    }
    parent = holder[key];
  }
  throw new Error(`frame has a binary value for ${JSON.stringify(path)}, which its JSON lacks`);
}
