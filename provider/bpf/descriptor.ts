/** Ownership of file descriptors: each is owned by exactly one object, which closes it once. */
import { closeSync } from "node:fs";
import { checkCode } from "./errno";
import { libc } from "./library";

const open = new Set<Descriptor>();

/** An owned file descriptor. `close` is idempotent; `using` works too. */
export class Descriptor {
  private closed = false;

  /** Takes ownership of `number`. */
  constructor(
    private readonly number: number,
    readonly what: string,
  ) {
    open.add(this);
  }

  /** For calls made at once; do not keep it. */
  get fd(): number {
    if (this.closed) throw new RangeError(`use of a closed ${this.what}`);
    return this.number;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    open.delete(this);
    closeSync(this.number);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** What is open now, for tests that look for leaks: `program`, `map`, `link` … */
export function openDescriptors(): string[] {
  return [...open].map((descriptor) => descriptor.what);
}

/** fcntl.h */
const F_DUPFD_CLOEXEC = 1030;
/** 0 to 2 are standard input and output, which a careless child may replace. */
const LOWEST = 3;

/** A second descriptor of what libbpf owns; `fd` below 0 means it was not loaded. */
export function duplicate(fd: number, what: string): number {
  if (fd < 0) throw new RangeError(`use of ${what} before it was loaded`);
  return checkCode("fcntl", libc.fcntl(fd, F_DUPFD_CLOEXEC, "int", LOWEST), `duplicate ${what}`);
}
