/**
 * Values between protobuf's Struct and the lifecycle's plain JSON. In a message a Struct is an empty object that stands for
 * the bytes that came, or go: `readMessage` and `writeMessage` know them.
 */
import { BinaryReader, BinaryWriter, type Message } from "google-protobuf";
import { Struct } from "google-protobuf/google/protobuf/struct_pb";
import type { Properties } from "../../lifecycle";
import { fromEngine } from "../wire";
import { decodeStruct, encodeStruct } from "./struct-bytes";

const bytesOf = new WeakMap<Struct, Uint8Array>();

/**
 * Without the properties of these names, which then cost nothing. Undefined stays so: the engine tells nothing from an
 * empty set of properties.
 */
export function fromStruct(struct: Struct, leftOut?: readonly string[]): Properties;
export function fromStruct(struct: Struct | undefined, leftOut?: readonly string[]): Properties | undefined;
export function fromStruct(struct: Struct | undefined, leftOut?: readonly string[]): Properties | undefined {
  return struct === undefined ? undefined : fromEngine(rawOf(struct, leftOut));
}

/** As the engine has it, its own properties and secrets included. */
export function rawOf(struct: Struct, leftOut?: readonly string[]): Properties {
  return decodeStruct(bytesOf.get(struct) ?? struct.serializeBinary(), leftOut);
}

export function toStruct(properties: Properties): Struct {
  const struct = new Struct();
  bytesOf.set(struct, encodeStruct(properties));
  return struct;
}

/** As protoc makes the class of a message. */
export interface MessageClass<M extends Message = Message> {
  new (): M;
  deserializeBinaryFromReader(message: M, reader: BinaryReader): M;
  serializeBinaryToWriter(message: M, writer: BinaryWriter): void;
}

export function readMessage<M extends Message>(type: MessageClass<M>, bytes: Uint8Array): M {
  const reader = new BinaryReader(bytes);
  const { readMessage } = reader;
  reader.readMessage = (inner, read) => {
    if (inner instanceof Struct) bytesOf.set(inner, reader.readBytes());
    else readMessage.call(reader, inner, read);
  };
  return type.deserializeBinaryFromReader(new type(), reader);
}

export function writeMessage<M extends Message>(type: MessageClass<M>, message: M): Uint8Array {
  const writer = new BinaryWriter();
  const { writeMessage } = writer;
  writer.writeMessage = (field, inner, write) => {
    const bytes = inner instanceof Struct ? bytesOf.get(inner) : undefined;
    if (bytes === undefined) writeMessage.call(writer, field, inner, write);
    else writer.writeBytes(field, bytes);
  };
  type.serializeBinaryToWriter(message, writer);
  return writer.getResultBuffer();
}
