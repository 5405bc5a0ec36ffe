/** Programs of a cgroup, by BPF link: always with BPF_F_ALLOW_MULTI, beside what others attach. Linux 5.7. */
import fs from "node:fs";
import path from "node:path";
import { type AttachType, LinkHandle, isErrno, isOnFileSystem, queryCgroup } from "../../bpf";
import { EbpfError } from "../../errors";
import type { CgroupAttach, CgroupHook } from "../../protocol/hooks";
import { detachLink, detached, updateLink } from "./findings";
import type { HookFile, HookScope } from "./hook";

export const CGROUP_HOOKS: Record<CgroupAttach, { attachType: AttachType; programType: string }> = {
  "skb/ingress": { attachType: "cgroup_inet_ingress", programType: "cgroup_skb" },
  "skb/egress": { attachType: "cgroup_inet_egress", programType: "cgroup_skb" },
  bind4: { attachType: "cgroup_inet4_bind", programType: "cgroup_sock_addr" },
  bind6: { attachType: "cgroup_inet6_bind", programType: "cgroup_sock_addr" },
  connect4: { attachType: "cgroup_inet4_connect", programType: "cgroup_sock_addr" },
  connect6: { attachType: "cgroup_inet6_connect", programType: "cgroup_sock_addr" },
  sendmsg4: { attachType: "cgroup_udp4_sendmsg", programType: "cgroup_sock_addr" },
  sendmsg6: { attachType: "cgroup_udp6_sendmsg", programType: "cgroup_sock_addr" },
  sock_create: { attachType: "cgroup_inet_sock_create", programType: "cgroup_sock" },
  sock_release: { attachType: "cgroup_inet_sock_release", programType: "cgroup_sock" },
  getsockopt: { attachType: "cgroup_getsockopt", programType: "cgroup_sockopt" },
  setsockopt: { attachType: "cgroup_setsockopt", programType: "cgroup_sockopt" },
  device: { attachType: "cgroup_device", programType: "cgroup_device" },
  sysctl: { attachType: "cgroup_sysctl", programType: "cgroup_sysctl" },
};

/** uapi/linux/bpf.h */
const BPF_F_ALLOW_OVERRIDE = 1 << 0;
const BPF_F_ALLOW_MULTI = 1 << 1;

const describe = ({ attach, path }: CgroupHook): string => `${attach} of cgroup ${path}`;

export const cgroup: HookFile<CgroupHook> = {
  type: "cgroup",
  programTypes: ({ attach }) => [CGROUP_HOOKS[attach].programType],
  exchange: "update",
  describe,

  plan(scope, hook, _program, mine, { problems }) {
    if (!scope.kernelAtLeast(5, 7)) problems.push(tooOld(scope, hook));
    try {
      checkCgroup(hook.path);
      const owner = mine === null ? exclusiveOwner(scope, hook) : null;
      if (owner !== null) problems.push(owned(hook, owner));
    } catch (error) {
      problems.push(EbpfError.from(error));
    }
  },

  transition(previous, _applied, next) {
    return previous.path === next.path && previous.attach === next.attach ? "keep" : "move";
  },

  attach(scope, hook, program) {
    checkCgroup(hook.path);
    const directory = fs.openSync(hook.path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
    try {
      const { attachType } = CGROUP_HOOKS[hook.attach];
      const link = LinkHandle.create(program, { type: "cgroup", cgroupFd: directory, attachType });
      const { id, programId } = link.info();
      const facts = { cgroupId: cgroupId(hook.path) };
      return { link, record: { hook: "cgroup", linkId: id, programId, facts }, notes: [] };
    } catch (error) {
      throw explain(scope, hook, error);
    } finally {
      fs.closeSync(directory);
    }
  },

  observe(_scope, hook, _applied, link) {
    if (!fs.existsSync(hook.path)) return detached(`detached: cgroup ${hook.path} is gone`);
    const info = link?.info();
    const facts = { cgroupId: cgroupId(hook.path) };
    if (info?.type !== "cgroup" || String(info.cgroupId) !== facts.cgroupId) {
      return detached(`detached from cgroup ${hook.path}`);
    }
    return { attached: true, programId: info.programId, facts, drift: [] };
  },

  update(hook, applied, link, from, to) {
    updateLink(describe(hook), applied, link, from, to);
  },

  detach(_scope, _hook, _applied, link) {
    detachLink(link);
  },
};

/** The kernel's id of a cgroup is its directory's inode; kernfs, 64 bits. */
export function cgroupId(path: string): string {
  return String(fs.statSync(path, { bigint: true }).ino);
}

/** Fails with `not-found`, or with `invalid` for what is no cgroup v2. */
export function checkCgroup(path: string): void {
  if (!fs.existsSync(path)) {
    throw new EbpfError("not-found", `find cgroup ${path}: no such directory`, {
      what: "cgroup",
      name: path,
    });
  }
  if (!fs.statSync(path).isDirectory() || !isOnFileSystem(path, "cgroup2")) {
    throw new EbpfError(
      "invalid",
      `find cgroup ${path}: it is no directory of a cgroup v2 file system`,
      {},
      {
        remedy: "give the absolute path of a cgroup v2 directory, such as /sys/fs/cgroup/system.slice",
      },
    );
  }
}

function explain(scope: HookScope, hook: CgroupHook, error: unknown): unknown {
  if (!scope.kernelAtLeast(5, 7)) return tooOld(scope, hook);
  if (isErrno(error, "EPERM")) {
    const owner = exclusiveOwner(scope, hook);
    if (owner !== null) return owned(hook, owner);
  }
  return error;
}

/**
 * Who keeps others off: the nearest program, there or in a parent, that was attached without BPF_F_ALLOW_MULTI; in a
 * parent BPF_F_ALLOW_OVERRIDE lets us in. kernel/bpf/cgroup.c, hierarchy_allows_attach and __cgroup_bpf_attach.
 */
function exclusiveOwner(scope: HookScope, { path: own, attach }: CgroupHook): string | null {
  for (let place = own; isOnFileSystem(place, "cgroup2"); place = path.dirname(place)) {
    const directory = fs.openSync(place, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
    try {
      const { programs, attachFlags } = queryCgroup(directory, CGROUP_HOOKS[attach].attachType);
      if (attachFlags & BPF_F_ALLOW_MULTI) return null;
      const [first] = programs;
      if (first === undefined) continue;
      if (place !== own && attachFlags & BPF_F_ALLOW_OVERRIDE) return null;
      return `${scope.ownerOf(first.programId)} at ${place}`;
    } finally {
      fs.closeSync(directory);
    }
  }
  return null;
}

function owned(hook: CgroupHook, owner: string): EbpfError {
  return new EbpfError(
    "conflict",
    `attach ${describe(hook)}: ${owner} allows no other (it was attached without BPF_F_ALLOW_MULTI)`,
    { owner },
    { remedy: "detach that program, or attach it with BPF_F_ALLOW_MULTI (`bpftool cgroup attach … multi`)" },
  );
}

function tooOld(scope: HookScope, hook: CgroupHook): EbpfError {
  return new EbpfError(
    "unsupported",
    `attach ${describe(hook)}: cgroup links need Linux 5.7, the host has ${scope.kernel}`,
    {
      feature: "cgroup link",
      minimumKernel: "5.7",
      hostKernel: scope.kernel,
    },
  );
}
