/** All hooks. A later one is added here and nowhere else. */
import type { Hook } from "../../protocol/hooks";
import { cgroup } from "./cgroup";
import type { HookFile } from "./hook";
import { rawTracepoint } from "./raw-tracepoint";
import { tc } from "./tc";
import { tcx, tcxFallback } from "./tcx";
import { tracepoint } from "./tracepoint";
import { xdp } from "./xdp";

const FILES: { [T in Hook["type"]]: HookFile<Extract<Hook, { type: T }>> } = {
  xdp,
  tcx,
  tc,
  cgroup,
  tracepoint,
  rawTracepoint,
};

export function hookFile(type: Hook["type"]): HookFile {
  // a file is only ever given hooks of its own type
  return FILES[type] as unknown as HookFile;
}

/** The hook that is really used: on a kernel without TCX, and where the user allows it, a clsact filter. */
export function hookOnKernel(hook: Hook, kernelAtLeast: (major: number, minor: number) => boolean): Hook {
  return hook.type === "tcx" && hook.fallback === "tc" && !kernelAtLeast(6, 6) ? tcxFallback(hook) : hook;
}
