import type { EbpfError } from "../errors";

/** Something was done, but not to the end, or nobody knows: the state must keep what can be cleaned up. */
export class PartialError extends Error {
  constructor(
    override readonly cause: EbpfError,
    readonly id: string,
    /** As of state.ts. */
    readonly properties: Record<string, unknown>,
  ) {
    super(cause.message);
  }
}
