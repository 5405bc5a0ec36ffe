/** One call of the engine, as the lifecycle sees it. */
import type { CallOptions } from "../transport/session";

export type Severity = "info" | "warning";

export interface Call {
  /** Shows a line to the user, at the resource where the adapter can. */
  report(message: string, severity?: Severity): void;
  /** Shows many lines that explain an error, where the adapter can show them at the resource. */
  explain?(text: string): void;
  /** Aborted when the engine cancels, or when the resource's time is up. */
  signal?: AbortSignal;
}

/** For a verb of the host within a call of the engine. */
export function during({ signal }: Pick<Call, "signal">): Pick<CallOptions, "signal"> {
  return signal === undefined ? {} : { signal };
}
