/**
 * The one error class of pulumi-ebpf and its wire form. Shared by the operator's side and the agent.
 *
 * Owns: error codes, their typed details, and the text a user finally reads.
 * Does not own: translation from errno (provider/bpf) or from ssh2 (provider/transport).
 */

/** What each error code carries besides its message. Plain JSON only. */
export interface ErrorDetails {
  /** An input is wrong. Several of them travel together in `problems`. */
  invalid: Record<string, never>;
  /** The kernel's verifier refused an entrypoint. `log` is the whole log. */
  verifier: { entrypoint: string; summary: string; sourceLine?: string; log: string };
  /** The host lacks a kernel or library feature. */
  unsupported: { feature: string; minimumKernel?: string; hostKernel?: string };
  /** A libbpf or system call failed for a reason none of the other codes covers. */
  libbpf: { function: string; errno: number; errnoName: string };
  /** The way to the host failed. */
  transport: { phase: "config" | "dial" | "host-key" | "auth" | "exec" | "deliver" | "protocol" | "closed" };
  /** A named thing (interface, map, entrypoint, Record, file) does not exist. */
  "not-found": { what: string; name: string };
  /** Somebody else owns the place, or two wishes exclude each other. */
  conflict: { owner?: string };
  /** The login may not do this on the host. */
  permission: { needed: string };
  /** Map contents would be lost or cannot be carried over. */
  "data-loss": { map: string; reason: string };
  /** A limit of the host: disk, memory, RLIMIT_MEMLOCK, map size. */
  limit: { resource: string; needed?: string };
  /** A Record, intent or blob on the host is damaged or of a newer format. */
  record: { id: string };
  /** An undo could not be completed: some links run the old, some the new program. */
  mixed: { old: string[]; new: string[] };
  /** A change was not confirmed in time: the host went back to what it had before, or it is not known whether it did. */
  unconfirmed: { wentBack: boolean };
  /** Another apply holds the host's lock. */
  locked: { holder: string };
  /** The operation was cancelled. */
  cancelled: Record<string, never>;
  /** A defect of pulumi-ebpf itself. */
  internal: { stack?: string };
}

export type ErrorCode = keyof ErrorDetails;

/** One wrong input. `property` is a path such as `xdp.interface` or `entries[3].key`. */
export interface Problem {
  property: string;
  reason: string;
}

export interface ErrorContext {
  /** Path of the input property that caused it, if one did. */
  property?: string;
  /** `[user@]host[:port]`. Filled in by the transport when the agent did not know it. */
  host?: string;
  /** What the reader can do about it; an imperative clause. */
  remedy?: string;
  /** More than one wrong input. */
  problems?: Problem[];
}

export interface WireError extends ErrorContext {
  code: ErrorCode;
  message: string;
  details: ErrorDetails[ErrorCode];
}

/**
 * `message` is a lower-case verb phrase with object and cause: `attach xdp to eth9: no such interface`.
 * Never match on it; match on `code` and `details`.
 */
export class EbpfError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = "EbpfError";
  readonly context: ErrorContext;

  constructor(
    readonly code: C,
    message: string,
    readonly details: ErrorDetails[C],
    context: ErrorContext & { cause?: unknown } = {},
  ) {
    const { cause, ...rest } = context;
    super(message, cause === undefined ? undefined : { cause });
    this.context = rest;
  }

  /** Narrows to one code: `if (EbpfError.is(error, "not-found")) error.details.name`. */
  static is<C extends ErrorCode>(error: unknown, ...codes: C[]): error is EbpfError<C> {
    return error instanceof EbpfError && (codes as ErrorCode[]).includes(error.code as ErrorCode);
  }

  /** Any thrown value as an EbpfError; what we did not foresee becomes `internal`. */
  static from(thrown: unknown): EbpfError {
    if (thrown instanceof EbpfError) return thrown as EbpfError;
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new EbpfError("internal", message, stack === undefined ? {} : { stack }, { cause: thrown });
  }

  /** The same error with the host, property or remedy filled in where they were missing. */
  with(context: ErrorContext): EbpfError<C> {
    const error = new EbpfError(this.code, this.message, this.details, { ...context, ...this.context });
    error.cause = this.cause;
    return error;
  }

  toWire(): WireError {
    return JSON.parse(
      JSON.stringify({ ...this.context, code: this.code, message: this.message, details: this.details }),
    ) as WireError;
  }

  static fromWire(wire: WireError): EbpfError {
    const { code, message, details, ...context } = wire;
    return new EbpfError(code, message, details, context);
  }

  /** One or more lines for people: host, property, message, remedy; no stack. */
  render(): string {
    const { host, property, remedy, problems = [] } = this.context;
    const head = [host, property].filter((part) => part !== undefined).join(": ");
    const lines = [
      `${head === "" ? "" : `${head}: `}${this.message}${remedy === undefined ? "" : `; ${remedy}`}`,
    ];
    for (const problem of problems) {
      lines.push(`  ${problem.property === "" ? "" : `${problem.property}: `}${problem.reason}`);
    }
    return lines.join("\n");
  }
}

/** Several wrong inputs as one error. */
export function invalid(
  message: string,
  problems: Problem[],
  context: ErrorContext = {},
): EbpfError<"invalid"> {
  return new EbpfError("invalid", message, {}, { ...context, problems });
}

/** One or more problems as the error to be thrown: the first, which names the others. */
export function allOf([first, ...others]: EbpfError[]): EbpfError {
  if (others.length === 0) return first!;
  return first!.with({ problems: others.map(({ message }) => ({ property: "", reason: message })) });
}
