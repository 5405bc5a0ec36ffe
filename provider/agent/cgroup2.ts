/**
 * The host's cgroup2 hierarchy: where it is mounted, and which cgroup the maps that we make are charged to.
 * Does not own: attachments to cgroups (hooks/cgroup.ts).
 */
import fs from "node:fs";
import path from "node:path";
import { systemCode } from "./durable-file";

/** Has no limits; sessions share it, and it stays. */
const OWN_CGROUP = "pulumi-ebpf";

/** `null`: not mounted. */
export function cgroup2Mount(): string | null {
  // source, directory, type
  const mounts = fs.readFileSync("/proc/self/mounts", "utf8").split("\n");
  return mounts.map((line) => line.split(" ")).find(([, , type]) => type === "cgroup2")?.[1] ?? null;
}

/** Path of the cgroup that this process's memory, its maps included, is charged to; `null`: memory is not counted. */
export function memoryCgroup(file = "/proc/self/cgroup"): string | null {
  return chargedTo(file)?.path ?? null;
}

/**
 * From Linux 5.11 maps and programs are charged to the memory cgroup of the process that makes them (kernel commit
 * 80ee81e0403c): here the SSH session's, whose limits are for logins, and which would outlive the session as a dying
 * cgroup. So the agent moves to one of its own below the root. Where that cannot be, it stays; probe tells.
 */
export function leaveSessionCgroup(file = "/proc/self/cgroup", mount = cgroup2Mount()): void {
  const charged = chargedTo(file);
  if (mount === null || charged?.version !== 2 || charged.path === "/") return;
  const directory = path.join(mount, OWN_CGROUP);
  try {
    fs.mkdirSync(directory, { recursive: true });
    fs.writeFileSync(path.join(directory, "cgroup.procs"), "0");
  } catch (error) {
    // read-only, delegated to somebody else, or threaded: maps are charged to the session, as without us
    if (systemCode(error) === undefined) throw error;
  }
}

/** proc(5), cgroups(7): lines `<hierarchy>:<controllers>:<path>`; hierarchy 0 is version 2. */
function chargedTo(file: string): { version: 1 | 2; path: string } | null {
  let found: { version: 1 | 2; path: string } | null = null;
  for (const line of fs.readFileSync(file, "utf8").trim().split("\n")) {
    const [hierarchy, controllers = "", ...rest] = line.split(":");
    if (controllers.split(",").includes("memory")) return { version: 1, path: rest.join(":") };
    if (hierarchy === "0") found = { version: 2, path: rest.join(":") };
  }
  return found;
}
