/** What libbpf prints. Kept in memory instead of stderr, and attached to the error that follows. */
import { koffi } from "./koffi";

/** `enum libbpf_print_level`: warnings and information are kept, debug is not. */
const LIBBPF_INFO = 1;
const LONGEST = 4096;
const MOST = 20;

const messages: string[] = [];

/** What libbpf said since the last call, one line, without its prefix. Empties the buffer. */
export function takeMessages(): string {
  return messages.splice(0).join("; ");
}

/**
 * A `libbpf_print_fn_t` for the life of the process.
 *
 * Its `va_list` is passed on as `void *`: on x86-64 the type is an array, which decays to a pointer; on arm64 it
 * is a struct of 32 bytes, which AAPCS64 passes by reference (rule B.4). Either way the callee gets the same pointer.
 */
export function registerPrinter(
  vsnprintf: (text: Buffer, size: number, format: bigint, list: bigint) => unknown,
): bigint {
  const text = Buffer.alloc(LONGEST);
  const print = (level: number, format: bigint, list: bigint): number => {
    if (level > LIBBPF_INFO || messages.length >= MOST) return 0;
    vsnprintf(text, LONGEST, format, list);
    const line = text.toString("utf8", 0, text.indexOf(0));
    messages.push(line.replace(/^libbpf: /, "").trim());
    return 0;
  };
  return koffi.register(print, koffi.pointer(koffi.proto("int(int level, void *format, void *list)")));
}
