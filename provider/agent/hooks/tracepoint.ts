/** Tracepoints by perf link. Linux 5.15: below it such an attachment dies with its process. */
import { attachTracepoint, isErrno, type LinkHandle, type ProgramHandle, tracepointId } from "../../bpf";
import { EbpfError } from "../../errors";
import type { TracepointHook } from "../../protocol/hooks";
import { detached } from "./findings";
import type { HookFile, HookScope } from "./hook";

/** How long the kernel may take to let go of a link, and the pause between two looks. */
const GRACE_MS = 1_000;
const PAUSE_MS = 10;

const describe = ({ event }: TracepointHook): string => `tracepoint ${event}`;

function names({ event }: TracepointHook): [string, string] {
  const [category, name, ...rest] = event.split("/");
  if (category && name && rest.length === 0) return [category, name];
  throw new EbpfError(
    "invalid",
    `find tracepoint "${event}": expected category/name, such as sched/sched_switch`,
    {},
  );
}

export const tracepoint: HookFile<TracepointHook> = {
  type: "tracepoint",
  programTypes: () => ["tracepoint"],
  exchange: "reattach",
  describe,

  plan(scope, hook, _program, _mine, { problems }) {
    if (!scope.kernelAtLeast(5, 15)) {
      const details = { feature: "perf link", minimumKernel: "5.15", hostKernel: scope.kernel };
      const remedy = "use rawTracepoint, which needs Linux 4.17";
      problems.push(
        new EbpfError(
          "unsupported",
          `attach ${describe(hook)}: it needs Linux 5.15, the host has ${scope.kernel}`,
          details,
          { remedy },
        ),
      );
    }
    try {
      tracepointId(...names(hook));
    } catch (error) {
      problems.push(EbpfError.from(error));
    }
  },

  transition(previous, _applied, next) {
    return previous.event === next.event ? "keep" : "move";
  },

  attach(scope, hook, program) {
    const link = attachWhenFree(scope, hook, program);
    const { id, programId } = link.info();
    return {
      link,
      record: { hook: "tracepoint", linkId: id, programId, facts: { event: hook.event } },
      notes: [],
    };
  },

  observe(_scope, hook, _applied, link) {
    if (link === null) return detached(`detached from ${describe(hook)}`);
    return { attached: true, programId: link.info().programId, facts: { event: hook.event }, drift: [] };
  },

  update(hook) {
    throw new EbpfError("internal", `update ${describe(hook)}: perf links take no other program`, {});
  },

  // such a link goes with its last reference
  detach() {},
};

/**
 * An event takes a program once, and a link whose last reference went leaves it only after an RCU grace period: so
 * EEXIST may pass.
 */
function attachWhenFree(scope: HookScope, hook: TracepointHook, program: ProgramHandle): LinkHandle {
  const deadline = Date.now() + GRACE_MS;
  for (;;) {
    try {
      return attachTracepoint(program, ...names(hook));
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      if (Date.now() > deadline) {
        const owner = scope.ownerOf(program.info().id);
        const message = `attach ${describe(hook)}: this very program is attached there already (${owner})`;
        throw new EbpfError(
          "conflict",
          message,
          { owner },
          {
            cause: error,
            remedy: "an event takes a program once: remove one of the two attachments",
          },
        );
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
}
