/** Loaded programs: info, test runs, pins. Loading is object.ts' business. */
import { readFileSync } from "node:fs";
import { checkCode } from "./errno";
import { KernelObject, openPin, readInfo } from "./kernel-object";
import { libbpf } from "./library";
import type { MapHandle } from "./map";
import { cText } from "./struct";
import { bpf_prog_info, bpf_test_run_opts } from "./structs";
import { programTypeName, type ProgramType } from "./uapi";

export interface ProgramInfo {
  id: number;
  type: ProgramType;
  /** At most 15 bytes: the kernel cuts longer names. */
  name: string;
  /** 16 hex digits; equal code has equal tags. */
  tag: string;
  /** Instructions the verifier walked; 0 below Linux 5.16, which does not tell. */
  verifiedInstructions: number;
  /** Bytes of machine code; 0 when the JIT is off or a reader may not know. */
  jitedBytes: number;
  /** Bytes of verified BPF code. */
  translatedBytes: number;
  /** Ascending is not promised. */
  mapIds: number[];
  /** 0: none. */
  btfId: number;
  /** Nanoseconds since boot. */
  loadTimeNs: bigint;
  /** Of an offloaded program; 0: none. */
  ifindex: number;
  gplCompatible: boolean;
  /** Only counted while kernel.bpf_stats_enabled is set. */
  runCount: bigint;
  runTimeNs: bigint;
}

export interface TestRun {
  /** A packet for network programs. */
  data?: Uint8Array;
  /** Bytes to receive of the changed packet; default 256 more than `data`. */
  dataOutSize?: number;
  /** Bytes of `struct xdp_md`, `struct __sk_buff` …; Linux 5.2 for skb, 5.18 for xdp. */
  context?: Uint8Array;
  /** Default 1. */
  repeat?: number;
  /** `BPF_F_TEST_…` */
  flags?: number;
}

export interface TestRunResult {
  returnValue: number;
  data: Buffer;
  context: Buffer;
  /** Mean of one run. */
  durationNs: number;
}

export class ProgramHandle extends KernelObject {
  /** Takes ownership. Internal to this folder. */
  constructor(fd: number) {
    super(fd, "program");
  }

  static fromId(id: number): ProgramHandle {
    return new ProgramHandle(
      checkCode("bpf_prog_get_fd_by_id", libbpf.bpf_prog_get_fd_by_id(id), `open program ${id}`),
    );
  }

  static fromPin(path: string): ProgramHandle {
    return new ProgramHandle(openPin(path, "program"));
  }

  info(): ProgramInfo {
    const counted = readInfo(this, bpf_prog_info);
    const map_ids = Buffer.alloc(4 * counted.nr_map_ids);
    const info =
      map_ids.length === 0
        ? counted
        : readInfo(this, bpf_prog_info, { map_ids, nr_map_ids: counted.nr_map_ids });
    return {
      id: info.id,
      type: programTypeName(info.type),
      name: cText(info.name),
      tag: info.tag.toString("hex"),
      verifiedInstructions: info.verified_insns,
      jitedBytes: info.jited_prog_len,
      translatedBytes: info.xlated_prog_len,
      mapIds: Array.from({ length: counted.nr_map_ids }, (_, index) => map_ids.readUInt32LE(4 * index)),
      btfId: info.btf_id,
      loadTimeNs: info.load_time,
      ifindex: info.ifindex,
      gplCompatible: (info.gpl_compatible & 1) === 1,
      runCount: info.run_cnt,
      runTimeNs: info.run_time_ns,
    };
  }

  /** Locked memory in bytes, as /proc/self/fdinfo tells it. */
  memlockBytes(): number {
    const match = /^memlock:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${this.fd}`, "utf8"));
    return Number(match?.[1] ?? 0);
  }

  /** BPF_PROG_TEST_RUN. Which program types can: 4.12 for xdp and tc, 5.10 for raw_tracepoint. */
  testRun({ data, dataOutSize, context, repeat = 1, flags = 0 }: TestRun): TestRunResult {
    const dataOut = Buffer.alloc(data === undefined ? 0 : (dataOutSize ?? data.length + 256));
    const contextOut = Buffer.alloc(context?.length ?? 0);
    const opts = bpf_test_run_opts.encode({
      data_in: data,
      data_size_in: data?.length ?? 0,
      data_out: data === undefined ? undefined : dataOut,
      data_size_out: dataOut.length,
      ctx_in: context,
      ctx_size_in: context?.length ?? 0,
      ctx_out: context === undefined ? undefined : contextOut,
      ctx_size_out: contextOut.length,
      repeat,
      flags,
    });
    checkCode("bpf_prog_test_run_opts", libbpf.bpf_prog_test_run_opts(this.fd, opts), "test-run program");
    const result = bpf_test_run_opts.decode(opts);
    return {
      returnValue: result.retval,
      data: dataOut.subarray(0, result.data_size_out),
      context: contextOut.subarray(0, result.ctx_size_out),
      durationNs: result.duration,
    };
  }

  /** Makes the program hold a map that its code does not name. Linux 5.10. */
  bindMap(map: MapHandle): void {
    checkCode("bpf_prog_bind_map", libbpf.bpf_prog_bind_map(this.fd, map.fd, null), "bind map to program");
  }
}
