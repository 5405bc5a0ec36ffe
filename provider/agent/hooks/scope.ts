/** What a hook's file may ask of the host, answered from Records and the kernel. */
import { ProgramHandle } from "../../bpf";
import type { Host } from "../host";
import { unlessMissing } from "../reconcile/actual";
import type { HookScope } from "./hook";

export function hookScope(host: Host, spec: string, part: string): HookScope {
  return {
    kernel: host.kernel,
    kernelAtLeast: (major, minor) => host.kernelAtLeast(major, minor),
    runDirectory: host.roots.run,
    spec,
    part,
    ownerOf: (programId) => ownerOf(host, programId),
    linkIdsOf: (id) => {
      const record = host.records.read(id);
      if (record === null || record.bootId !== host.bootId) return [];
      return Object.values(record.links).flatMap(({ linkId }) => (linkId === 0 ? [] : [linkId]));
    },
    others: (type) =>
      [...host.references.all()]
        .filter(({ id }) => id !== spec)
        .flatMap(({ id, links }) => links.map(({ hook }) => ({ spec: id, hook })))
        .filter(({ hook }) => hook.type === type),
  };
}

/** Reads all Records: only for messages. */
function ownerOf(host: Host, programId: number): string {
  for (const { id, bootId, programs, links } of host.records.all()) {
    if (bootId !== host.bootId) continue;
    if ([...Object.values(programs), ...Object.values(links)].some((part) => part.programId === programId))
      return id;
  }
  const program = unlessMissing(() => ProgramHandle.fromId(programId));
  if (program === null) return `program ${programId}`;
  try {
    return `program "${program.info().name}" (id ${programId}), not of pulumi-ebpf`;
  } finally {
    program.close();
  }
}
