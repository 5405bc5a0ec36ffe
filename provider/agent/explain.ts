/** errno of calls that nobody explained closer, in the codes that a user can act on. */
import { isErrno, memlockLimit } from "../bpf";
import { EbpfError } from "../errors";

export function explain(thrown: unknown): EbpfError {
  const error = EbpfError.from(thrown);
  if (!EbpfError.is(error, "libbpf")) return error;
  if (isErrno(error, "ENOSPC", "ENOMEM", "E2BIG")) {
    return new EbpfError(
      "limit",
      error.message,
      { resource: "kernel memory or map size" },
      { cause: error, remedy: "lower the sizes of maps, or free memory on the host" },
    );
  }
  if (isErrno(error, "EPERM", "EACCES")) return permission(error);
  if (isErrno(error, "EEXIST", "EBUSY"))
    return new EbpfError("conflict", error.message, {}, { cause: error });
  if (isErrno(error, "EOPNOTSUPP", "ENOTSUPP")) {
    return new EbpfError(
      "unsupported",
      error.message,
      { feature: error.details.function },
      { cause: error, remedy: "use a newer kernel" },
    );
  }
  return error;
}

/** Below Linux 5.11 a small RLIMIT_MEMLOCK is EPERM too. */
function permission(error: EbpfError<"libbpf">): EbpfError {
  const { softBytes } = memlockLimit();
  const limited =
    softBytes === Infinity ? "" : `, or a higher RLIMIT_MEMLOCK (now ${softBytes} bytes) below Linux 5.11`;
  return new EbpfError(
    "permission",
    error.message,
    { needed: `root${limited}` },
    {
      cause: error,
      remedy: "log in as root, or as a user who may run sudo without a password",
    },
  );
}
