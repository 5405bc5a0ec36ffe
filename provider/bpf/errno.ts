/**
 * The errno discipline: errno means something only when the result says failure, and only on the next line.
 */
import { koffi } from "./koffi";
import { constants } from "node:os";
import { EbpfError } from "../errors";
import { takeMessages } from "./messages";

/** libbpf's own codes, `enum libbpf_errno` of libbpf_legacy.h. */
const LIBBPF_ERRNO: Record<number, string> = {
  4000: "LIBBPF_ERRNO__LIBELF",
  4001: "LIBBPF_ERRNO__FORMAT",
  4002: "LIBBPF_ERRNO__KVERSION",
  4003: "LIBBPF_ERRNO__ENDIAN",
  4004: "LIBBPF_ERRNO__INTERNAL",
  4005: "LIBBPF_ERRNO__RELOC",
  4006: "LIBBPF_ERRNO__LOAD",
  4007: "LIBBPF_ERRNO__VERIFY",
  4008: "LIBBPF_ERRNO__PROG2BIG",
  4009: "LIBBPF_ERRNO__KVER",
  4010: "LIBBPF_ERRNO__PROGTYPE",
  4011: "LIBBPF_ERRNO__WRNGPID",
  4012: "LIBBPF_ERRNO__INVSEQ",
  4013: "LIBBPF_ERRNO__NLPARSE",
};

/** Linux' numbers of the names this package decides on; the same on x86-64 and arm64. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  E2BIG: 7,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  ERANGE: 34,
  EOPNOTSUPP: 95,
  ENOLINK: 67,
  ESTALE: 116,
  /** In the kernel only, no libc name: include/linux/errno.h. */
  ENOTSUPP: 524,
} as const;

const names = new Map<number, string>([
  ...Object.entries(constants.errno).map(([name, number]): [number, string] => [number, name]),
  ...Object.entries(Errno).map(([name, number]): [number, string] => [number, name]),
]);

/** `EPERM` for 1, `ENOTSUPP` for 524, `LIBBPF_ERRNO__FORMAT` for 4001, else `errno 9999`. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? LIBBPF_ERRNO[errno] ?? `errno ${errno}`;
}

/** Whether an error is a failed call with one of these errno. */
export function isErrno(thrown: unknown, ...names: (keyof typeof Errno)[]): boolean {
  return (
    EbpfError.is(thrown, "libbpf") &&
    names.some((name) => Errno[name] === (thrown as EbpfError<"libbpf">).details.errno)
  );
}

/**
 * The result of a call that says failure by a negative number.
 * @param doing what the call was for, a verb phrase: `attach xdp to ifindex 3`.
 * @throws EbpfError "libbpf" with errno, and with what libbpf itself said.
 */
export function checkCode(fn: string, rc: number, doing?: string): number {
  const errno = koffi.errno();
  if (rc >= 0) return rc;
  throw failure(fn, errno, doing);
}

/** The result of a call that says failure by NULL. Otherwise as checkCode. */
export function checkPointer<T>(fn: string, pointer: T | null, doing?: string): T {
  const errno = koffi.errno();
  if (pointer !== null) return pointer;
  throw failure(fn, errno, doing);
}

function failure(fn: string, errno: number, doing = fn): EbpfError<"libbpf"> {
  const name = errnoName(errno);
  const said = takeMessages();
  return new EbpfError("libbpf", `${doing}: ${name}${said === "" ? "" : ` (${said})`}`, {
    function: fn,
    errno,
    errnoName: name,
  });
}
