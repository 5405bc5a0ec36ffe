/** What the engine sends in place of a value that a preview does not know, at any depth (sdk/go/common/resource/plugin/rpc.go). */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** Of a value that is as a whole there, unknown or missing. */
export function isKnown<T>(value: T | undefined): value is T {
  return value !== undefined && value !== UNKNOWN;
}
