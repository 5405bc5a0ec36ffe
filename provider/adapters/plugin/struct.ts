/** Values between protobuf's Struct and the lifecycle's plain JSON. */
import { type JavaScriptValue, Struct } from "google-protobuf/google/protobuf/struct_pb";
import type { Properties } from "../../lifecycle";
import { fromEngine, toEngine } from "../wire";

/** Undefined stays so: the engine tells nothing from an empty set of properties. */
export function fromStruct(struct: Struct): Properties;
export function fromStruct(struct: Struct | undefined): Properties | undefined;
export function fromStruct(struct: Struct | undefined): Properties | undefined {
  return struct === undefined ? undefined : fromEngine(struct.toJavaScript());
}

export function toStruct(properties: Properties): Struct {
  return Struct.fromJavaScript(toEngine(properties) as Record<string, JavaScriptValue>);
}
