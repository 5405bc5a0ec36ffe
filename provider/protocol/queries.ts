/**
 * Questions about what a host's kernel holds, whoever put it there: parameters and answers of the verbs behind
 * provider/functions. Nothing here changes anything. Optional members are absent, never `undefined`, on the wire.
 */
import type { MapRef, ProgramRef } from "./spec";

/** A loaded program: of a Spec, by the kernel's id, or by a path in bpffs. */
export type ProgramTarget = ProgramRef | { programId: number } | { pin: string };

/** A map: of a Spec, by the kernel's id, or by a path in bpffs. */
export type MapTarget = MapRef | { mapId: number } | { pin: string };

export interface ProgramFacts {
  programId: number;
  /** At most 15 bytes: the kernel cuts longer names. */
  name: string;
  /** `bpf_prog_type` in lower case. */
  type: string;
  /** 16 hex digits; equal code has equal tags. */
  tag: string;
  /** Instructions the verifier walked; 0 below Linux 5.16, which does not tell. */
  verifiedInstructions: number;
  /** Bytes of machine code. */
  jitedBytes: number;
  /** Bytes that its memory is charged with. */
  memlockBytes: number;
  /** Maps that it uses. */
  mapIds: number[];
  /** ISO 8601, host's clock. */
  loadedAt: string;
  /** Decimal; counted only while sysctl kernel.bpf_stats_enabled is set. */
  runCount: string;
  runTimeNs: string;
  /** Id of the Spec that loaded it; absent: not of pulumi-ebpf. */
  spec?: string;
}

export interface MapFacts {
  mapId: number;
  /** At most 15 bytes: the kernel cuts longer names. */
  name: string;
  /** `bpf_map_type` in lower case. */
  type: string;
  keySize: number;
  /** Of one CPU. */
  valueSize: number;
  maxEntries: number;
  /** `map_flags` of bpf(2). */
  flags: number;
  frozen: boolean;
  memlockBytes: number;
  /** Id of the Spec that made it; absent: not of pulumi-ebpf. */
  spec?: string;
  /** Some Spec declares secret values in it. */
  secret: boolean;
}

export interface MapShowResult {
  map: MapFacts;
  /** Types of keys and values, where the map was created with BTF: raw BTF and the ids in it. */
  btf?: { raw: Uint8Array; keyTypeId: number; valueTypeId: number };
}

export interface EntriesReadParams {
  map: MapTarget;
  /** Most entries of the answer. */
  limit: number;
  /** base64 key of the last entry that the caller has: the answer begins after it. */
  after?: string;
  /** base64: these keys only, in this order; an LPM trie answers each with its longest match. */
  keys?: string[];
}

export interface EntriesReadResult {
  /** `count` keys, packed. */
  keys: Uint8Array;
  /** `count` values, packed; of a per-CPU map `cpus` values each, padded to 8 bytes. */
  values: Uint8Array;
  count: number;
  cpus: number;
  /** There are more: give the last key as `after`. */
  more: boolean;
}

/** A place in the kernel that runs programs. */
export type HookPlace =
  /** All of xdp, tcx and tc on a network interface, of the host or of a network namespace there. */
  | { interface: string; netns?: string }
  /** Absolute path of a cgroup v2 directory. */
  | { cgroup: string }
  /** `category/name`. */
  | { tracepoint: string }
  | { rawTracepoint: string };

/** A program on a hook. */
export interface AttachedFacts {
  /** As the hooks of an Attachment: `xdp`, `tcx`, `tc`, `cgroup`, `tracepoint`, `rawTracepoint`. */
  hook: string;
  programId: number;
  programName: string;
  /** `bpf_prog_type` in lower case. */
  programType: string;
  programTag: string;
  /** 0: attached without a link, or by one that the kernel does not name. */
  linkId: number;
  /** Id of the Spec that attached it; absent: somebody else did. */
  spec?: string;
  /** Of the hook: `mode`, `direction`, `position`, `priority`, `handle`, `attach`. */
  facts: Record<string, string | number>;
}

export interface HookQueryResult {
  /** Hook by hook, each in the order in which its programs run. */
  attachments: AttachedFacts[];
  /** What could not be looked at, in words. */
  notes: string[];
}
