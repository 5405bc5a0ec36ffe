/** Status: what the kernel shows now, read back from it. Plain JSON. */
import type { AddressSetStatus, PolicyStatus } from "./policy";

export interface Status {
  id: string;
  /** Of the Record; `read` on the operator's side echoes the state's own instead. */
  incarnation: string;
  /** Counts applies; no decision rests on it. */
  revision: number;
  /** sha256 of the applied Spec's canonical JSON. */
  specDigest: string;
  programs: Record<string, ProgramStatus>;
  maps: Record<string, MapStatus>;
  entries: Record<string, EntriesStatus>;
  links: Record<string, LinkStatus>;
  policy?: PolicyStatus;
  addressSet?: AddressSetStatus;
  /** A change that still waits for its confirmation goes back at this time; ISO 8601, host's clock. */
  revertsAt?: string;
  /**
   * Links of other Specs that the last apply swapped to programs of this one, in words: `xdp on eth0 of
   * shop/prod/Attachment/web`. Of a Spec with objects; absent in Records of version 0.1.0.
   */
  swappedLinks?: string[];
  /** Record against kernel. Empty: all is as applied. */
  drift: DriftItem[];
  /** What the apply had to say: a gap, a mode that was chosen, entries that migration lost. Empty in `observe`. */
  notes: string[];
}

export interface ProgramStatus {
  programId: number;
  /** Kernel's program tag, 16 hex digits. */
  tag: string;
  /** `bpf_prog_type` in lower case, e.g. `xdp`. */
  type: string;
  /** Instructions the verifier walked; 0 when the kernel does not tell (< 5.16). */
  verifiedInstructions: number;
  jitedBytes: number;
  pin: string;
}

export interface MapStatus {
  mapId: number;
  type: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  frozen: boolean;
  pin: string;
}

export interface EntriesStatus {
  /** Declared entries found with the declared value. */
  matching: number;
  declared: number;
}

export interface LinkStatus {
  /** 0 for netlink attachments, which have no link. */
  linkId: number;
  programId: number;
  programTag: string;
  /** The hook that was really used: a `tcx` wish may have become `tc`. */
  hook: string;
  /** Facts of the hook, e.g. `{ ifindex, mode: "generic", position: 0 }`. */
  facts: Record<string, string | number | boolean>;
}

export type DriftCode =
  | "not-loaded"
  | "detached"
  | "other-program"
  | "moved"
  | "entry-changed"
  | "entry-missing"
  | "entry-extra"
  | "global-changed"
  | "pin-missing"
  | "map-replaced"
  | "unconfirmed"
  | "policy-changed"
  | "bypassable"
  | "incomplete"
  | "mixed";

/** One deviation. `message` is complete words, except that keys and values stand in `key`, `expected`, `found`. */
export interface DriftItem {
  code: DriftCode;
  /** Name of the Spec's part. */
  part: string;
  message: string;
  /** base64, with the part's keyLayout/valueLayout. */
  key?: string;
  expected?: string;
  found?: string;
}
