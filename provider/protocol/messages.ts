/**
 * The agent's verbs: parameters and results. JSON-RPC method names equal the keys of AgentVerbs.
 * Errors travel as WireError (provider/errors.ts) in the JSON-RPC error's `data`.
 * `Uint8Array` values travel as binary bodies (see rpc framing), everything else is JSON.
 */
import type { WireError } from "../errors";
import type {
  EventsParams,
  EventsResult,
  ExplainParams,
  ExplainResult,
  FlowsParams,
  FlowsResult,
  PlaneFacts,
  PolicyShowParams,
} from "./policy";
import type {
  EntriesReadParams,
  EntriesReadResult,
  HookPlace,
  HookQueryResult,
  MapShowResult,
  MapTarget,
  ProgramFacts,
  ProgramTarget,
} from "./queries";
import type { Spec } from "./spec";
import type { Status } from "./status";

/** Raised when either end would misread the other. An agent answers only its own version. */
export const PROTOCOL_VERSION = 2;

export interface AgentVerbs {
  hello(params: HelloParams): HelloResult;
  /** The SSH connection of this session; `null`: there is none, as with the transport `local`. */
  "session.flow"(params: Record<string, never>): SshFlow | null;
  plan(params: PlanParams): PlanResult;
  apply(params: ApplyParams): Status;
  /** To be called over a connection that was dialled after the apply. */
  confirm(params: ConfirmParams): ConfirmResult;
  /** An answer per id, in their order. */
  observe(params: { ids: string[] }): ObserveAnswer[];
  remove(params: RemoveParams): RemoveResult;
  /** Back to what `keepPrevious` kept. */
  rollBack(params: RollBackParams): RollBackResult;
  /** A command of the operator's, such as a rollout's health check. */
  run(params: RunParams): RunResult;
  list(params: Record<string, never>): RecordSummary[];
  /** Which of the digests the host lacks. */
  "blob.has"(params: { digests: string[] }): string[];
  /** Verified against the digest, written atomically. Several at once to save round trips. */
  "blob.put"(params: { blobs: Record<string, Uint8Array> }): null;
  /** By digest. Fails with `not-found` for one that the host lacks. */
  "blob.get"(params: { digests: string[] }): Record<string, Uint8Array>;
  probe(params: Record<string, never>): HostFeatures;
  testRun(params: TestRunParams): TestRunResult;
  /** Brings recorded Specs back after a reboot, all or the named ones. */
  restore(params: { ids?: string[] }): RestoreResult[];
  "program.show"(params: { program: ProgramTarget }): ProgramFacts;
  "map.show"(params: { map: MapTarget }): MapShowResult;
  "entries.read"(params: EntriesReadParams): EntriesReadResult;
  "hook.query"(params: HookPlace): HookQueryResult;
  "policy.show"(params: PolicyShowParams): PlaneFacts[];
  "policy.flows"(params: FlowsParams): FlowsResult;
  /** Waits a second for events, and not longer. One reader at a time: fails with `locked` for another. */
  "policy.events"(params: EventsParams): EventsResult;
  "policy.explain"(params: ExplainParams): ExplainResult;
}

export type Verb = keyof AgentVerbs;
export type ParamsOf<V extends Verb> = Parameters<AgentVerbs[V]>[0];
export type ResultOf<V extends Verb> = ReturnType<AgentVerbs[V]>;

/** JSON-RPC notification `progress`, agent to operator, while a verb runs. */
export interface Progress {
  verb: Verb;
  id?: string;
  message: string;
  done?: number;
  total?: number;
}

export interface HelloParams {
  protocol: number;
  /** SSH_CONNECTION of the login, where it had one. */
  sshConnection?: string;
}

/** A TCP connection as the host sees it. */
export interface SshFlow {
  peer: { address: string; port: number };
  local: { address: string; port: number };
}

export interface HelloResult {
  protocol: number;
  /** sha256 of the agent's bundle, or `development`. */
  agent: string;
  pid: number;
  /** `uname -r`. */
  kernel: string;
  architecture: "x64" | "arm64";
  bootId: string;
}

export interface PlanParams {
  spec: Spec;
  /** Objects that the host does not hold yet; nothing of them is stored. */
  blobs: Record<string, Uint8Array>;
  /** As of the apply that may follow: what can go back may be bolder. */
  confirm?: ApplyParams["confirm"];
}

export interface PlanResult {
  /** What apply would do, in words: `swap 2 links`, `map "blocked" grows from 1024 to 4096 entries: data is migrated`. */
  changes: string[];
  /** Worth knowing, no obstacle. */
  warnings: PlanNote[];
  /** apply would fail. */
  problems: WireError[];
  /** Per entrypoint that was verified. */
  programs: Record<string, { verifiedInstructions: number; jitedBytes: number }>;
  /** As the Status would have them. */
  swappedLinks: string[];
}

export interface PlanNote {
  /** Name of the Spec's part the note is about. */
  part?: string;
  message: string;
}

export interface ApplyParams {
  spec: Spec;
  /** Checked inputs less credentials; stored in the Record, answered by observe. */
  inputs: unknown;
  /** Minted by each create, kept by updates. A create over an existing Record adopts it and takes this one. */
  incarnation: string;
  /** Keeps the Spec that was there before, with its blobs, until an apply of another one without this. */
  keepPrevious?: boolean;
  /**
   * A change goes back to what was there before, unless `confirm` is called in time; `revertsAt` of the Status says
   * until when. Nothing waits where nothing changes: the same Spec once more, or its repair.
   */
  confirm?: { withinSeconds: number };
  /** As by `blob.put` right before: what is small needs no round trip of its own. */
  blobs?: Record<string, Uint8Array>;
}

export interface ConfirmParams {
  id: string;
  incarnation: string;
  /** What is to stay: a Record of another Spec is left as it is. */
  specDigest: string;
}

export interface ConfirmResult {
  confirmed: boolean;
  /** Why not. */
  reason?: string;
}

export interface ObserveResult {
  status: Status;
  inputs: unknown;
}

/** `null`: no Record and no pin. What fails for one Spec leaves the others their answers. */
export type ObserveAnswer = ObserveResult | { error: WireError } | null;

export interface RemoveParams {
  id: string;
  incarnation: string;
  /**
   * While another Record refers to it, it stays without an error, and goes with the last of those. An apply in between
   * keeps it.
   */
  whenUnused?: boolean;
}

export interface RemoveResult {
  /** false: nothing was there, or the Record belongs to a later incarnation. */
  removed: boolean;
  reason?: string;
}

export interface RollBackParams {
  id: string;
  incarnation: string;
  /** What is to be undone: a Record of another Spec is left as it is. */
  specDigest: string;
}

export interface RollBackResult {
  rolledBack: boolean;
  /** Why not. */
  reason?: string;
  /** What the host now holds; absent: nothing, as before. */
  restored?: ObserveResult;
}

export interface RunParams {
  /** For `sh -c`, as the agent's user: root. */
  command: string;
  timeoutSeconds: number;
}

export interface RunResult {
  /** `null`: it was ended by a signal, or ran out of time. */
  exitCode: number | null;
  timedOut: boolean;
  /** The end of what it wrote to stdout and stderr. */
  output: string;
}

export interface RecordSummary {
  id: string;
  incarnation: string;
  revision: number;
  /** ISO 8601, host's clock. */
  appliedAt: string;
  specDigest: string;
  programs: string[];
  maps: string[];
  links: string[];
  /** Present when the Record could not be read. */
  damaged?: string;
}

export interface HostFeatures {
  kernel: string;
  architecture: "x64" | "arm64";
  libbpf: string;
  /** Kernel has BTF (/sys/kernel/btf/vmlinux). */
  btf: boolean;
  bpffs: boolean;
  /** Where it is mounted. */
  cgroup2: string | null;
  /** Path of the cgroup that maps made here are charged to, from Linux 5.11 on; `null`: the kernel counts no memory. */
  memoryCgroup: string | null;
  possibleCpus: number;
  jit: boolean;
  lsms: string[];
  programTypes: string[];
  mapTypes: string[];
  /** Feature name → present, e.g. `tcxLink`, `xdpLink`, `perfLink`, `lpmBatch`. */
  links: Record<string, boolean>;
}

export interface TestRunParams {
  spec: string;
  entrypoint: string;
  data: Uint8Array;
  repeat: number;
}

export interface TestRunResult {
  returnValue: number;
  data: Uint8Array;
  durationNs: number;
}

export interface RestoreResult {
  id: string;
  restored: boolean;
  /** What a user should know of it; absent when there is nothing. */
  notes?: string[];
  error?: WireError;
}
