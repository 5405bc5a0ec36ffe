/** Raw tracepoints. Linux 4.17; as a link, which can be pinned and read, since 5.8. */
import { LinkHandle, isErrno } from "../../bpf";
import { EbpfError } from "../../errors";
import type { RawTracepointHook } from "../../protocol/hooks";
import { detached } from "./findings";
import type { HookFile } from "./hook";

const describe = ({ name }: RawTracepointHook): string => `raw tracepoint ${name}`;

export const rawTracepoint: HookFile<RawTracepointHook> = {
  type: "rawTracepoint",
  programTypes: () => ["raw_tracepoint", "raw_tracepoint_writable"],
  exchange: "reattach",
  describe,

  // the kernel has no list of names to ask: attaching is the only test, and it would run the program
  transition(previous, _applied, next) {
    return previous.name === next.name ? "keep" : "move";
  },

  attach(_scope, hook, program) {
    try {
      const link = LinkHandle.create(program, { type: "raw_tracepoint", name: hook.name });
      const { id, programId } = link.info();
      return {
        link,
        record: { hook: "rawTracepoint", linkId: id, programId, facts: { name: hook.name } },
        notes: [],
      };
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      throw new EbpfError(
        "not-found",
        `attach ${describe(hook)}: the kernel has no such tracepoint`,
        { what: "tracepoint", name: hook.name },
        {
          cause: error,
          remedy: "give its name without category, such as sched_process_exec",
        },
      );
    }
  },

  observe(_scope, hook, _applied, link) {
    if (link === null) return detached(`detached from ${describe(hook)}`);
    return { attached: true, programId: link.info().programId, facts: { name: hook.name }, drift: [] };
  },

  update(hook) {
    throw new EbpfError(
      "internal",
      `update ${describe(hook)}: raw tracepoint links take no other program`,
      {},
    );
  },

  detach() {},
};
