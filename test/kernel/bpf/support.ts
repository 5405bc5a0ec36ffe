/** What the tests of provider/bpf share: compiled programs, and places of their own in the kernel. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  BpfObject,
  inNetworkNamespace,
  mount,
  MountFlag,
  openDescriptors,
  unmount,
  unshare,
  type MapHandle,
  type ProgramHandle,
} from "../../../provider/bpf";
import { prefix } from "../../support/lab-network";
import { cgroupRoot } from "../../support/netns-host";

const compiled = new Map<string, Buffer>();
let serial = 0;

/** The ELF of programs/<name>.bpf.c. */
export function compile(name: string): Buffer {
  const known = compiled.get(name);
  if (known !== undefined) return known;
  const folder = mkdtempSync(path.join(tmpdir(), "pulumi-ebpf-bpf-"));
  try {
    const object = path.join(folder, "object.o");
    const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
    // relative, since the file's name is in the verifier's log
    const flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v2", `-I/usr/include/${triplet}`];
    execFileSync("clang", [...flags, "-c", `${name}.bpf.c`, "-o", object], {
      cwd: path.join(__dirname, "programs"),
    });
    const bytes = readFileSync(object);
    compiled.set(name, bytes);
    return bytes;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Loads one entrypoint of hooks.bpf.c. The caller closes both. */
export function loadHook(entrypoint: string, verdict = 1): { program: ProgramHandle; runs: MapHandle } {
  const object = BpfObject.open(compile("hooks"), { name: "hooks" });
  try {
    for (const program of object.programs()) program.setAutoload(program.name === entrypoint);
    object.map(".rodata").setInitialValue(0, u32(verdict));
    object.load();
    return { program: object.program(entrypoint).handle(), runs: object.map("runs").handle() };
  } finally {
    object.close();
  }
}

/** How often a program of hooks.bpf.c ran, and counted. */
export function runCount(runs: MapHandle): bigint {
  return runs.lookup(u32(0))!.readBigUInt64LE();
}

export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, index) => bytes.writeUInt32LE(value, 4 * index));
  return bytes;
}

/** An own network namespace with a veth pair `veth0`, `veth1` and lo, all up. */
export class PrivateNetwork {
  readonly name = `${prefix}${process.pid.toString(36)}-bpf${serial++}`;

  constructor() {
    execFileSync("ip", ["netns", "add", this.name]);
    this.inside(() => {
      ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1");
      for (const link of ["lo", "veth0", "veth1"]) ip("link", "set", link, "up");
    });
  }

  /** Child processes that `work` starts are inside, too. */
  inside<T>(work: () => T): T {
    return inNetworkNamespace(`/run/netns/${this.name}`, work);
  }

  remove(): void {
    execFileSync("ip", ["netns", "delete", this.name]);
  }
}

export function ip(...args: string[]): string {
  return execFileSync("ip", args, { encoding: "utf8" });
}

/** The second path to what the kernel holds. */
export function bpftool(...args: string[]): unknown {
  return JSON.parse(execFileSync("bpftool", ["-j", ...args], { encoding: "utf8" }));
}

/** Whether a packet comes back; call it inside a namespace. */
export function pings(address = "127.0.0.1"): boolean {
  try {
    execFileSync("ping", ["-c1", "-W1", address], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

let privateMounts = false;

function makeMountsPrivate(): void {
  if (privateMounts) return;
  unshare("mount");
  mount("none", "/", null, MountFlag.MS_REC | MountFlag.MS_PRIVATE);
  privateMounts = true;
}

/** Runs `work` with tracefs at its usual place, seen by no other process. */
export function withTracefs<T>(work: () => T): T {
  makeMountsPrivate();
  mount("tracefs", "/sys/kernel/tracing", "tracefs");
  try {
    return work();
  } finally {
    unmount("/sys/kernel/tracing");
  }
}

/** A bpffs of our own, which no other process sees. */
export class PrivateBpffs {
  readonly path = mkdtempSync(path.join(tmpdir(), "pulumi-ebpf-bpffs-"));

  constructor() {
    makeMountsPrivate();
    mount("bpffs", this.path, "bpf");
  }

  at(name: string): string {
    return path.join(this.path, name);
  }

  remove(): void {
    unmount(this.path);
    rmdirSync(this.path);
  }
}

/** A cgroup of our own. */
export class PrivateCgroup {
  readonly path = path.join(cgroupRoot(), `${prefix}${process.pid.toString(36)}-bpf${serial++}`);

  constructor() {
    mkdirSync(this.path);
  }

  /** Runs a shell command inside; true when it succeeds. */
  run(script: string): boolean {
    try {
      execFileSync("sh", ["-c", `echo $$ > ${this.path}/cgroup.procs && ${script}`], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  }

  remove(): void {
    rmdirSync(this.path);
  }
}

/** Registers the check that a suite gives every descriptor back. */
export function closesEverything(): void {
  let before: string[];
  beforeEach(() => {
    before = openDescriptors();
  });
  afterEach(() => {
    const after = openDescriptors();
    if (after.length > before.length) throw new Error(`left open: ${after.join(", ")}`);
  });
}
