/**
 * One ELF object in libbpf's hands: opened, configured, loaded, closed. Nothing is attached or pinned here
 * unless a map is told to; what outlives the object is duplicated into handles.
 */
import { EbpfError } from "../errors";
import { checkCode, checkPointer, isErrno } from "./errno";
import { libbpf } from "./library";
import { takeMessages } from "./messages";
import { ObjectMap } from "./object-map";
import { ObjectProgram } from "./object-program";
import { bpf_object_open_opts } from "./structs";
import { summarizeVerifierLog } from "./verifier-log";

export interface OpenOptions {
  /** At most 15 bytes reach the kernel: prefix of `.rodata`, `.bss` … map names. */
  name: string;
  /** BTF of the kernel, for hosts without /sys/kernel/btf/vmlinux. */
  btfCustomPath?: string;
}

/** BPF_LOG_BUF_SIZE: the longest log that all kernels take. */
const LOG_BYTES = (1 << 24) - 1;
/** Where each program's log starts in the region they share. */
const LOG_STRIDE = 64;

export class BpfObject {
  private readonly allPrograms: ObjectProgram[] = [];
  private readonly allMaps: ObjectMap[] = [];

  private constructor(
    private pointer: bigint | null,
    private readonly name: string,
    /** libbpf reads sections from it until the object is loaded. */
    private readonly source: Uint8Array | string,
  ) {
    for (let next = this.nextProgram(null); next !== null; next = this.nextProgram(next)) {
      this.allPrograms.push(new ObjectProgram(next));
    }
    for (let next = this.nextMap(null); next !== null; next = this.nextMap(next)) {
      this.allMaps.push(new ObjectMap(next));
    }
  }

  /** From bytes, or from a file. @throws EbpfError "libbpf" for what is no BPF object. */
  static open(source: Uint8Array | string, { name, btfCustomPath }: OpenOptions): BpfObject {
    takeMessages();
    const opts = bpf_object_open_opts.encode({ object_name: name, btf_custom_path: btfCustomPath });
    const [fn, pointer] =
      typeof source === "string"
        ? (["bpf_object__open_file", libbpf.bpf_object__open_file(source, opts)] as const)
        : (["bpf_object__open_mem", libbpf.bpf_object__open_mem(source, source.length, opts)] as const);
    return new BpfObject(checkPointer(fn, pointer, `open object ${name}`), name, source);
  }

  programs(): readonly ObjectProgram[] {
    return this.allPrograms;
  }

  maps(): readonly ObjectMap[] {
    return this.allMaps;
  }

  /** @throws EbpfError "not-found" */
  program(name: string): ObjectProgram {
    return this.find(this.allPrograms, "entrypoint", name);
  }

  /**
   * By name in the source; internal maps by section: `.rodata`, `.bss`.
   * @throws EbpfError "not-found"
   */
  map(name: string): ObjectMap {
    return this.find(this.allMaps, "map", name);
  }

  private find<T extends { name: string }>(all: T[], what: string, name: string): T {
    const found = all.find((one) => one.name === name);
    if (found !== undefined) return found;
    throw new EbpfError(
      "not-found",
      `find ${what} ${name} in ${this.name}: it has ${all.map((one) => one.name).join(", ") || "none"}`,
      { what, name },
    );
  }

  /**
   * Creates the maps and loads every program that is set to autoload; all or nothing.
   * @param logLevel above 0 the verifier also tells of accepted programs: `program.log()`. 4 is statistics only.
   * @throws EbpfError "verifier" with the whole log, or "libbpf": EAGAIN where signals ended the verification again
   * and again (kernel/bpf/verifier.c, do_check), as those of a profiler do. The object can only be closed then.
   */
  load({ logLevel = 0 } = {}): void {
    takeMessages();
    const chosen = this.allPrograms.filter((program) => program.autoload);
    // At level 0 only a rejected program writes, and it is the last to be loaded: one region does for all, each
    // program's log begins at its own offset, and the first offset that holds text tells who it was.
    const stride = logLevel === 0 ? LOG_STRIDE : LOG_BYTES;
    const region = Buffer.allocUnsafeSlow(stride * Math.max(0, chosen.length - 1) + LOG_BYTES);
    chosen.forEach((program, index) => {
      program.setLog(region.subarray(index * stride, index * stride + LOG_BYTES), logLevel);
    });
    const rc = libbpf.bpf_object__load(this.opened());
    try {
      checkCode("bpf_object__load", rc, `load object ${this.name}`);
    } catch (error) {
      if (isErrno(error, "EAGAIN")) throw interrupted(error);
      const rejected = (logLevel === 0 ? chosen : [...chosen].reverse()).find(
        (program) => program.log() !== "",
      );
      throw rejected === undefined ? error : rejection(rejected, error);
    }
  }

  /** Frees what was not duplicated into handles. Idempotent. */
  close(): void {
    if (this.pointer === null) return;
    libbpf.bpf_object__close(this.pointer);
    this.pointer = null;
    for (const part of [...this.allPrograms, ...this.allMaps]) part.invalidate();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private opened(): bigint {
    if (this.pointer === null) throw new RangeError(`use of the closed object ${this.name}`);
    return this.pointer;
  }

  private nextProgram(previous: bigint | null): bigint | null {
    return libbpf.bpf_object__next_program(this.opened(), previous);
  }

  private nextMap(previous: bigint | null): bigint | null {
    return libbpf.bpf_object__next_map(this.opened(), previous);
  }
}

function interrupted(cause: unknown): EbpfError {
  const remedy = "run it without what sends this process signals, as a profiler does";
  return EbpfError.from(cause).with({ remedy });
}

function rejection(program: ObjectProgram, cause: unknown): EbpfError<"verifier"> {
  const log = program.log();
  const { summary, sourceLine } = summarizeVerifierLog(log);
  const where = sourceLine === undefined ? "" : ` at ${sourceLine}`;
  return new EbpfError(
    "verifier",
    `verifier rejects ${program.name}: ${summary}${where}`,
    { entrypoint: program.name, summary, log, ...(sourceLine === undefined ? {} : { sourceLine }) },
    { cause },
  );
}
