/**
 * Mocha root hooks: whatever a test leaves on this machine fails the run, by name. Load with
 * `--require ./test/support/residue.ts`; checked after every top-level suite, and at the end.
 *
 * Looks at network namespaces, interfaces, qdiscs, cgroups, mounts, temporary directories, processes, and BPF
 * programs, maps and links. Labs and processes of this process's own always count; the rest cannot be told from what
 * another run on the same machine has, so it counts only while no other is under way. Of files that run at once
 * (`--parallel`) each worker looks for its own, and the process that started them for the rest, at the end.
 * Owns: finding residue; removing what a killed run left. Does not own: cleaning up after tests that live.
 */
import { readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { run } from "./command.js";
import { ownPrefix, prefix } from "./lab-network.js";
import { cgroupRoot } from "./netns-host.js";

/** How long the kernel may take to free BPF objects and namespaces: RCU grace periods and workqueues. */
const graceSeconds = 5;

/** iproute2 mounts it on itself at its first `ip netns add` after a boot (ip/ipnetns.c), and leaves it so. */
const namespaceDirectory = "/run/netns";

/** In the environment of every process that the tests of this process start. */
const marker = "PULUMI_EBPF_TEST_RUN";
const registration = `/run/pulumi-ebpf-test.${process.pid}`;

async function names(command: string[], pick: (row: Record<string, unknown>) => unknown): Promise<string[]> {
  let result = await run(command, { check: false });
  for (let retries = 0; result.code !== 0 && retries < 20; retries++) {
    await new Promise((done) => setTimeout(done, 100)); // an object went while bpftool walked the list
    result = await run(command, { check: false });
  }
  const { code, stdout, stderr } = result;
  if (code !== 0) throw new Error(`${command.join(" ")}: exit status ${code}: ${stderr}${stdout}`);
  return (JSON.parse(stdout.trim() === "" ? "[]" : stdout) as Record<string, unknown>[]).map((row) =>
    String(pick(row)),
  );
}

function directories(parent: string, test: RegExp): string[] {
  return readdirSync(parent).filter((name) => test.test(name));
}

/** Processes with this run's marker, but for this one and what watches it. */
function processes(): string[] {
  return directories("/proc", /^\d+$/).flatMap((pid) => {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
      if (Number(pid) === process.pid || !environment.includes(`${marker}=${process.pid}`)) return [];
      const program = readlinkSync(`/proc/${pid}/exe`);
      if (basename(program) === "esbuild") return []; // tsx's compiler, which ends with this process
      return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim()}`];
    } catch {
      return []; // ended meanwhile
    }
  });
}

/** One line per thing, `<what> <name>`. */
async function inventory(): Promise<Set<string>> {
  const found: Record<string, string[]> = {
    "network namespace": await names(["ip", "-j", "netns", "list"], (row) => row["name"]),
    interface: await names(["ip", "-j", "link"], (row) => row["ifname"]),
    qdisc: await names(["tc", "-j", "qdisc"], (row) => `${row["kind"]} on ${row["dev"]}`),
    cgroup: directories(cgroupRoot(), new RegExp(`^${prefix}`)),
    mount: readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[1] ?? "")
      .filter((point) => point !== namespaceDirectory),
    // but the one that keeps verifiers' logs for users, which is named by their number
    "temporary directory": directories(tmpdir(), /^pulumi-ebpf-(?!\d+$)/),
    "BPF program": await names(["bpftool", "-j", "prog", "list"], (row) => `${row["id"]} ${row["name"]}`),
    "BPF map": await names(["bpftool", "-j", "map", "list"], (row) => `${row["id"]} ${row["name"]}`),
    "BPF link": await names(["bpftool", "-j", "link", "list"], (row) => `${row["id"]} ${row["type"]}`),
    process: processes(),
  };
  return new Set(Object.entries(found).flatMap(([what, list]) => list.map((name) => `${what} ${name}`)));
}

/** Pids of other test runs, and of anything else that has labs. */
function otherRuns(): number[] {
  const registered = directories("/run", /^pulumi-ebpf-test\.\d+$/).map((name) => Number(name.split(".")[1]));
  const labs = directories(cgroupRoot(), new RegExp(`^${prefix}\\w+-\\d`)).map(labOwner);
  return [...new Set([...registered, ...labs])].filter((pid) => pid !== process.pid && isAlive(pid));
}

function labOwner(name: string): number {
  return Number.parseInt(name.slice(prefix.length).split("-")[0] ?? "", 36);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** In a worker nothing: it looks for what is its own alone. */
let before = new Set<string>();

function isOwn(line: string): boolean {
  return line.includes(ownPrefix) || line.startsWith("process ");
}

async function assertClean(): Promise<void> {
  const deadline = Date.now() + graceSeconds * 1000;
  let candidates: string[] | undefined;
  for (let looks = 1; candidates === undefined || candidates.length > 0; looks++) {
    const now = await inventory();
    const alone = otherRuns().length === 0;
    const fresh = [...now].filter((line) => !before.has(line) && (alone || isOwn(line)));
    // bpftool loads a program to list programs: only what stays from look to look is residue
    candidates = candidates === undefined ? fresh : candidates.filter((line) => fresh.includes(line));
    // a single look may outlast the grace on a busy machine
    if (candidates.length > 0 && looks > 2 && Date.now() > deadline) {
      for (const line of candidates) before.add(line); // name it once
      throw new Error(`left behind:\n${candidates.map((line) => `  ${line}`).join("\n")}`);
    }
    if (candidates.length > 0) await new Promise((done) => setTimeout(done, 250));
  }
}

/** What a killed run could not remove itself. Its processes ended with it. */
async function sweepDeadRuns(): Promise<void> {
  for (const name of directories("/run", /^pulumi-ebpf-test\.\d+$/)) {
    if (!isAlive(Number(name.split(".")[1]))) rmSync(join("/run", name));
  }
  const namespaces = await names(["ip", "-j", "netns", "list"], (row) => row["name"]);
  for (const name of namespaces.filter((line) => line.startsWith(prefix) && !isAlive(labOwner(line)))) {
    await run(["ip", "netns", "delete", name]);
  }
  for (const name of directories(cgroupRoot(), new RegExp(`^${prefix}`))) {
    if (!isAlive(labOwner(name)))
      await run(["find", join(cgroupRoot(), name), "-depth", "-type", "d", "-delete"]);
  }
}

export async function mochaGlobalSetup(): Promise<void> {
  await sweepDeadRuns();
  writeFileSync(registration, "");
  before = await inventory();
}

export const mochaHooks = {
  beforeAll(this: Mocha.Context): void {
    process.env[marker] = String(process.pid);
    for (const suite of this.test?.parent?.suites ?? []) {
      suite.afterAll("leaves nothing behind", async function () {
        this.timeout((graceSeconds + 30) * 1000);
        await assertClean();
      });
    }
  },
};

export async function mochaGlobalTeardown(): Promise<void> {
  rmSync(registration, { force: true });
  await assertClean();
}
