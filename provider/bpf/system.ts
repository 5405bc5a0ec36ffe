/** The few libc calls that node lacks, for the agent. Numbers are Linux' own, the same on x86-64 and arm64. */
import { closeSync, constants, openSync, readFileSync, statfsSync } from "node:fs";
import { EbpfError } from "../errors";
import { Descriptor } from "./descriptor";
import { checkCode, Errno, isErrno } from "./errno";
import { koffi } from "./koffi";
import { libbpf, libc } from "./library";
import { cText } from "./struct";
import { rlimit } from "./structs";

/** sched.h */
const CloneFlag = { mount: 0x00020000, network: 0x40000000 } as const;
const RLIMIT_MEMLOCK = 8;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
const MNT_DETACH = 2;

/** sys/mount.h */
export const MountFlag = {
  MS_NOSUID: 2,
  MS_NODEV: 4,
  MS_NOEXEC: 8,
  MS_BIND: 4096,
  MS_REC: 16384,
  MS_PRIVATE: 1 << 18,
} as const;

/** uapi/linux/magic.h */
const MAGIC = { bpf: 0xcafe4a11, cgroup2: 0x63677270, tracefs: 0x74726163 } as const;

export type Namespace = keyof typeof CloneFlag;

/** Puts this process (node: its main thread) into new namespaces. */
export function unshare(...namespaces: Namespace[]): void {
  const flags = namespaces.reduce((sum, name) => sum | CloneFlag[name], 0);
  checkCode("unshare", libc.unshare(flags), `unshare ${namespaces.join(", ")} namespace`);
}

/** Runs `work` in another network namespace and comes back, whatever happens. Synchronous by need. */
export function inNetworkNamespace<T>(path: string, work: () => T): T {
  const home = openSync("/proc/self/ns/net", constants.O_RDONLY);
  try {
    const target = openSync(path, constants.O_RDONLY);
    try {
      enter(target, path);
    } finally {
      closeSync(target);
    }
    try {
      return work();
    } finally {
      enter(home, "its own");
    }
  } finally {
    closeSync(home);
  }
}

function enter(fd: number, name: string): void {
  checkCode("setns", libc.setns(fd, CloneFlag.network), `enter network namespace ${name}`);
}

export function mount(source: string, target: string, type: string | null, flags = 0): void {
  checkCode("mount", libc.mount(source, target, type, flags, null), `mount ${type ?? source} on ${target}`);
}

/** Lazy: what still uses it goes on. */
export function unmount(target: string): void {
  checkCode("umount2", libc.umount2(target, MNT_DETACH), `unmount ${target}`);
}

/** Whether `path` lies on that file system. A missing path is an error of fs. */
export function isOnFileSystem(path: string, type: keyof typeof MAGIC): boolean {
  return Number(statfsSync(path).type) >>> 0 === MAGIC[type];
}

/** An exclusive flock on a file, which is made when missing; undefined when somebody else holds it. */
export function tryLock(path: string): Descriptor | undefined {
  return tryLockOpened(path, constants.O_RDWR | constants.O_CREAT);
}

/** As tryLock, on a directory that is there: nothing is left of the lock. */
export function tryLockDirectory(path: string): Descriptor | undefined {
  return tryLockOpened(path, constants.O_RDONLY | constants.O_DIRECTORY);
}

function tryLockOpened(path: string, flags: number): Descriptor | undefined {
  const lock = new Descriptor(openSync(path, flags, 0o600), "lock");
  try {
    checkCode("flock", libc.flock(lock.fd, LOCK_EX | LOCK_NB), `lock ${path}`);
    return lock;
  } catch (error) {
    lock.close();
    if (isErrno(error, "EAGAIN")) return undefined;
    throw error;
  }
}

/** Gives the lock back although children may have inherited the descriptor. */
export function unlock(lock: Descriptor): void {
  checkCode("flock", libc.flock(lock.fd, LOCK_UN), "unlock");
  lock.close();
}

/** `Infinity` for RLIM_INFINITY. */
export interface MemlockLimit {
  softBytes: number;
  hardBytes: number;
}

const RLIM_INFINITY = 0xffffffffffffffffn;

/** RLIMIT_MEMLOCK. Kernels before 5.11 charge maps and programs against it. */
export function memlockLimit(): MemlockLimit {
  const buffer = rlimit.encode();
  checkCode("getrlimit", libc.getrlimit(RLIMIT_MEMLOCK, buffer), "read RLIMIT_MEMLOCK");
  const { rlim_cur, rlim_max } = rlimit.decode(buffer);
  const bytes = (limit: bigint) => (limit === RLIM_INFINITY ? Infinity : Number(limit));
  return { softBytes: bytes(rlim_cur), hardBytes: bytes(rlim_max) };
}

/** Raising the hard limit needs CAP_SYS_RESOURCE. */
export function setMemlockLimit({ softBytes, hardBytes }: MemlockLimit): void {
  const value = (bytes: number) => (bytes === Infinity ? RLIM_INFINITY : BigInt(bytes));
  const buffer = rlimit.encode({ rlim_cur: value(softBytes), rlim_max: value(hardBytes) });
  checkCode("setrlimit", libc.setrlimit(RLIMIT_MEMLOCK, buffer), "set RLIMIT_MEMLOCK");
}

/** In the network namespace this process is in. @throws EbpfError "not-found" */
export function interfaceIndex(name: string): number {
  const ifindex = libc.if_nametoindex(name);
  if (ifindex !== 0) return ifindex;
  const errno = koffi.errno();
  if (errno !== Errno.ENODEV) checkCode("if_nametoindex", -1, `find interface ${name}`);
  throw new EbpfError("not-found", `find interface ${name}: no such interface`, {
    what: "interface",
    name,
  });
}

/** undefined when there is none with that index in this network namespace. */
export function interfaceName(ifindex: number): string | undefined {
  const name = Buffer.alloc(16);
  return libc.if_indextoname(ifindex, name) === null ? undefined : cText(name);
}

let cpus: number | undefined;

/** CPUs that can ever exist: how many values a per-CPU map holds for a key. */
export function possibleCpus(): number {
  return (cpus ??= checkCode(
    "libbpf_num_possible_cpus",
    libbpf.libbpf_num_possible_cpus(),
    "count possible cpus",
  ));
}

/** `uname -r` of the running kernel. */
export function kernelRelease(): string {
  return readFileSync("/proc/sys/kernel/osrelease", "utf8").trim();
}
