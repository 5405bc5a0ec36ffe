/**
 * The hooks an Attachment can have. Owns: the list, in the order messages name them. A hook is one file of the shape
 * AttachmentHook here and one in provider/agent/hooks. Does not own: what the kernel does with it.
 */
import { cgroup } from "./cgroup";
import { rawTracepoint } from "./raw-tracepoint";
import { tc } from "./tc";
import { tcx } from "./tcx";
import { tracepoint } from "./tracepoint";
import { xdp } from "./xdp";

export const hooks = { xdp, tcx, tc, cgroup, tracepoint, rawTracepoint };
export type HookName = keyof typeof hooks;
export const hookNames = Object.keys(hooks) as HookName[];
