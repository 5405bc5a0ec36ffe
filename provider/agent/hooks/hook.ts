/**
 * The shape of every file in this folder: one kind of attachment in the kernel.
 *
 * Owns: how a program gets onto a hook, how it is read back, exchanged and taken off. Does not own: pins,
 * Records, the order of actions (reconcile/). A later hook is one more file and one more line in registry.ts.
 */
import type { LinkHandle, ProgramHandle } from "../../bpf";
import type { EbpfError } from "../../errors";
import type { Hook } from "../../protocol/hooks";
import type { DriftCode } from "../../protocol/status";
import type { LinkRecord } from "../records";

/** What a hook may ask of the host. */
export interface HookScope {
  kernel: string;
  kernelAtLeast(major: number, minor: number): boolean;
  /** Directory for what must be remembered until the next boot. */
  runDirectory: string;
  /** In whose name: the Spec that attaches, and its part. */
  spec: string;
  part: string;
  /** Who loaded a program, in words: `Spec p/s/Program/x`, or `"name" (id 12)`. */
  ownerOf(programId: number): string;
  /** Kernel ids of the links of a Spec that are alive. */
  linkIdsOf(spec: string): number[];
  /** Attachments of other Specs of this hook type. */
  others(type: Hook["type"]): { spec: string; hook: Hook }[];
}

/** An attachment just made. `link` is null for netlink; else it wants a pin, and closing. */
export interface Attached {
  link: LinkHandle | null;
  record: LinkRecord;
  /** Worth telling the user. */
  notes: string[];
}

/** An attachment as the kernel shows it. */
export interface Seen {
  /** False: the hook is empty, or another interface or cgroup stands where it was. */
  attached: boolean;
  /** 0 when not attached. */
  programId: number;
  facts: LinkRecord["facts"];
  /** Besides `other-program`, which the caller judges. */
  drift: { code: DriftCode; message: string }[];
}

export interface Findings {
  problems: EbpfError[];
  warnings: string[];
}

/**
 * How an attachment gets from what was applied to what is wished, without anyone unjudged:
 * - `keep`: same place; only its program may change.
 * - `move`: attach the new one, commit, then drop the old one.
 * - `clone`: as `move`, but the hook takes no program twice: a second copy is loaded.
 * - `gap`: the old one must go first; only where the user allows it.
 */
export type Transition = "keep" | "move" | "clone" | "gap";

export interface HookFile<H extends Hook = Hook> {
  readonly type: H["type"];
  /** Program types that it takes, in the kernel's spelling. */
  programTypes(hook: H): readonly string[];
  /**
   * How a live attachment takes another program: `update` exchanges it in place; `reattach` attaches a second one
   * and drops the first, both run for an instant.
   */
  readonly exchange: "update" | "reattach";
  /** The hook in words, for messages: `xdp on eth0`. */
  describe(hook: H): string;
  /**
   * Adds everything else that would make attach fail, as far as looking can tell. `mine` is what is attached already.
   * Absent: nothing else would.
   */
  plan?(
    scope: HookScope,
    hook: H,
    program: ProgramHandle | null,
    mine: LinkRecord | null,
    findings: Findings,
  ): void;
  transition(previous: H, applied: LinkRecord, next: H, seen: Seen): Transition;
  attach(scope: HookScope, hook: H, program: ProgramHandle): Attached;
  /** `link` is null for netlink attachments, and where the pin is gone. */
  observe(scope: HookScope, hook: H, applied: LinkRecord, link: LinkHandle | null): Seen;
  /** Compare-and-swap: fails with `conflict` when the hook runs neither `from` nor `to`. */
  update(hook: H, applied: LinkRecord, link: LinkHandle | null, from: ProgramHandle, to: ProgramHandle): void;
  /** The hook with what attach chose, so that attaching again chooses the same. Absent: nothing to choose. */
  asApplied?(hook: H, applied: LinkRecord): H;
  /** What attach chose otherwise than last time, in words; `null`: nothing. */
  chosenAnew?(hook: H, before: LinkRecord, after: LinkRecord): string | null;
  /** Netlink only: takes off what attach may have made of the program, except `keep`. */
  undoAttach?(scope: HookScope, hook: H, programId: number, keep: LinkRecord | null): void;
  /** Takes the attachment off the hook; nothing there, or another program than `programId`, is success. */
  detach(scope: HookScope, hook: H, applied: LinkRecord, link: LinkHandle | null, programId: number): void;
}
