/** A loaded program, whoever loaded it. */
import fs from "node:fs";
import { ProgramHandle } from "../../bpf";
import type { ProgramFacts, ProgramTarget } from "../../protocol/queries";
import type { Host } from "../host";
import { unlessMissing } from "../reconcile/actual";
import { type Handles, withHandles } from "../reconcile/handles";
import { openProgram } from "../reconcile/resolve";
import { checkPin, notThere, ownersOf } from "./owners";

export function showProgram(host: Host, target: ProgramTarget): Promise<ProgramFacts> {
  return withHandles((handles) => {
    const program = openTarget(host, target, handles);
    const info = program.info();
    const spec = ownersOf(host).programs.get(info.id);
    return {
      programId: info.id,
      name: info.name,
      type: info.type,
      tag: info.tag,
      verifiedInstructions: info.verifiedInstructions,
      jitedBytes: info.jitedBytes,
      memlockBytes: program.memlockBytes(),
      mapIds: info.mapIds.sort((a, b) => a - b),
      loadedAt: new Date((bootSeconds() + Number(info.loadTimeNs / 1_000_000_000n)) * 1000).toISOString(),
      runCount: String(info.runCount),
      runTimeNs: String(info.runTimeNs),
      ...(spec === undefined ? {} : { spec }),
    };
  });
}

function openTarget(host: Host, target: ProgramTarget, handles: Handles): ProgramHandle {
  if ("spec" in target) return openProgram(host, target, handles).program;
  if ("pin" in target) {
    const pinned = unlessMissing(() => ProgramHandle.fromPin(target.pin));
    if (pinned === null) throw notThere("pin", target.pin);
    checkPin(handles.keep(pinned), target.pin, "program");
    return pinned;
  }
  const program = unlessMissing(() => ProgramHandle.fromId(target.programId));
  if (program === null) throw notThere("program", String(target.programId));
  return handles.keep(program);
}

/** Seconds since 1970 at boot: whole ones, so that two looks at one program give one time. proc_stat(5). */
function bootSeconds(): number {
  return Number(/^btime (\d+)$/m.exec(fs.readFileSync("/proc/stat", "utf8"))?.[1]);
}
