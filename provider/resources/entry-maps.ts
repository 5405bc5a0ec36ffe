/** Which types of map take rows from outside, and which rows. */
import type { Problem } from "../errors";

/** Values are not bytes but other kernel objects. */
export function holdsReferences(mapType: string): boolean {
  return mapType === "prog_array" || mapType === "array_of_maps" || mapType === "hash_of_maps";
}

/** Why a map cannot have such rows; at most one problem. */
export function unfitMap({ map, type }: { map: string; type: string }, inFile: boolean): Problem[] {
  if (!holdsRows.includes(type)) {
    const cause = filledOtherwise[type] ?? "takes no rows";
    return [{ property: "map", reason: `"${map}" is a map of type ${type}: it ${cause}` }];
  }
  if (inFile && holdsReferences(type)) {
    const what = type === "prog_array" ? "programs" : "maps";
    const reason = `rows of a ${type} are ${what} of other resources: give them in entries`;
    return [{ property: "file", reason }];
  }
  return [];
}

const holdsRows = [
  ...["hash", "percpu_hash", "lru_hash", "lru_percpu_hash", "lpm_trie", "hash_of_maps", "devmap_hash"],
  ...["array", "percpu_array", "prog_array", "array_of_maps", "devmap", "cpumap"],
];
const filledOtherwise: Record<string, string> = {
  ...named(["ringbuf", "user_ringbuf", "queue", "stack", "bloom_filter", "arena"], "has no keys"),
  ...named(["sockmap", "sockhash", "xskmap", "reuseport_sockarray"], "holds sockets of running processes"),
  ...named(["sk_storage", "task_storage", "inode_storage", "cgrp_storage"], "belongs to kernel objects"),
  ...named(["cgroup_storage", "percpu_cgroup_storage"], "belongs to cgroups"),
  perf_event_array: "holds the perf events of its readers",
  cgroup_array: "holds open cgroups",
  stack_trace: "is filled by the kernel",
  struct_ops: "is filled by its own object",
};

function named(types: string[], reason: string): Record<string, string> {
  return Object.fromEntries(types.map((type) => [type, reason]));
}
