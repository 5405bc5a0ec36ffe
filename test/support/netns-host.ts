/**
 * A host made of namespaces: own network, mounts (the machine's root as an overlay), processes, cgroup and host
 * name, with a real sshd. The kernel is the machine's own. See lab.ts for the wires between hosts.
 *
 * Owns: one host's files, processes and life. Does not own: networks (lab.ts).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { type Socket } from "node:net";
import { basename, dirname, join, resolve } from "node:path";
import { type CommandOptions, type CommandResult, run } from "./command.js";
import { type Connection, type TestHost } from "./host.js";
import { writeHostFiles } from "./host-files.js";
import { makeSshKey, type SshKey } from "./ssh-keys.js";

export interface HostOptions {
  /** Size of the file system on /var/lib/pulumi-ebpf, as tmpfs takes it. Default `1g`. */
  disk?: string;
  /** Whether the host has `node` on its PATH. Default true. */
  node?: boolean;
  /** Index of the host that alone reaches this one by SSH: `connection` then has it as `proxy`. */
  behind?: number;
}

/** What the lab decides for a host. */
export interface HostPlace {
  /** Also the name of its network namespace. */
  name: string;
  directory: string;
  loginKey: SshKey;
  sshAddress: string;
  address: string;
  address6: string;
  bastion: NetnsHost | undefined;
  /** Lines for `ip -batch` in the host's namespace that set up its interfaces. */
  addresses: string[];
  /** Makes the veth pair of the data path anew, as a reboot does. */
  plugDataInterface(): Promise<void>;
  /** Carries or drops the traffic of SSH. */
  setManagementLink(state: "up" | "down"): Promise<void>;
  /** Makes a veth pair with the end `name` in the host. */
  plugInterface(name: string): Promise<void>;
}

/** Logins besides root: `deploy` has `sudo -n`, `guest` has not. Both take the key and this password. */
export const password = "correct horse battery staple";

export class NetnsHost implements TestHost {
  readonly dataInterface = "eth0";
  private hostKey = makeSshKey();
  private loginKey: SshKey;
  private loginKeys = 1;
  private holder?: ChildProcess;
  private pid = 0;

  constructor(
    private readonly place: HostPlace,
    private readonly options: HostOptions = {},
  ) {
    this.loginKey = place.loginKey;
  }

  get name(): string {
    return this.place.name;
  }

  get address(): string {
    return this.place.address;
  }

  get address6(): string {
    return this.place.address6;
  }

  get identityFile(): string {
    return join(this.place.directory, `id${this.loginKeys}`);
  }

  /** Holds the key that the host had at first. */
  get knownHostsFile(): string {
    return join(this.place.directory, "known_hosts");
  }

  get connection(): Connection {
    return this.connectionAs("root");
  }

  /** The host's directory in cgroup2 as the machine sees it; the host itself sees it as /sys/fs/cgroup. */
  get cgroup(): string {
    return join(cgroupRoot(), this.name);
  }

  /** The same host with another login, by key or by password. */
  connectionAs(user: "root" | "deploy" | "guest", by: "key" | "password" = "key"): Connection {
    const { sshAddress, bastion } = this.place;
    return {
      host: sshAddress,
      port: 22,
      user,
      ...(by === "key" ? { privateKey: this.loginKey.privateKey } : { password }),
      hostKey: this.hostKey.publicKey,
      ...(bastion === undefined ? {} : { proxy: bastion.connection }),
    };
  }

  /** Resolves when sshd answers. */
  async create(): Promise<void> {
    const { name, directory } = this.place;
    writeHostFiles(this.place, this.options, this.hostKey);
    writeFileSync(this.identityFile, this.loginKey.privateKey, { mode: 0o600 });
    writeFileSync(this.knownHostsFile, `${this.place.sshAddress} ${this.hostKey.publicKey}\n`);
    mkdirSync(this.cgroup);
    const init = [resolve(__dirname, "host-init.sh"), directory];
    const namespaces = "--mount --pid --fork --kill-child --cgroup --uts --ipc --propagation private".split(
      " ",
    );
    const command = ["nsenter", `--net=/run/netns/${name}`, "unshare", ...namespaces, ...init];
    const join = `echo 0 > "$0"/cgroup.procs && exec "$@"`;
    this.holder = spawn("sh", ["-c", join, this.cgroup, ...command], { stdio: ["pipe", "pipe", "pipe"] });
    this.pid = await firstLine(this.holder, `host ${name}`);
    letExit(this.holder);
  }

  async destroy(): Promise<void> {
    const holder = this.holder;
    if (holder !== undefined && holder.exitCode === null && holder.signalCode === null) {
      holder.ref();
      const ended = new Promise((done) => holder.once("exit", done));
      holder.kill("SIGKILL"); // ends its PID 1 too, and with that every process of the host
      await ended;
    }
    await removeCgroup(this.cgroup);
  }

  /** For a process that is about to exit and cannot wait. */
  kill(): void {
    this.holder?.kill("SIGKILL");
  }

  command(command: string[]): string[] {
    return ["nsenter", "-t", String(this.pid), "-m", "-n", "-p", "-C", "-u", "-i", ...command];
  }

  exec(command: string[], options: CommandOptions = {}): Promise<CommandResult> {
    return run(this.command(command), options);
  }

  async bpftool<T>(...args: string[]): Promise<T> {
    const { code, stdout, stderr } = await this.exec(["bpftool", "-j", ...args], { check: false });
    const answer = JSON.parse(stdout.trim() === "" ? "null" : stdout) as T;
    if (code !== 0) throw new Error(`${this.name}: bpftool ${args.join(" ")}: ${stderr}${stdout}`);
    return answer;
  }

  async ip<T>(...args: string[]): Promise<T> {
    const { stdout } = await this.exec(["ip", "-j", "-d", ...args]);
    return JSON.parse(stdout === "" ? "[]" : stdout) as T;
  }

  addInterface(name: string): Promise<void> {
    return this.place.plugInterface(name);
  }

  async removeInterface(name: string): Promise<void> {
    await this.exec(["ip", "link", "delete", name]);
  }

  /** sshd and all its sessions end: connections are refused until `start`. */
  async stop(): Promise<void> {
    await this.killSshd("listener sessions");
  }

  /** Resolves when sshd listens. */
  async start(): Promise<void> {
    await this.exec(["sh", "-c", startSshd, "/run/host/sshd.pid"]);
  }

  /** Every open SSH connection ends; new ones are accepted. */
  async dropSessions(): Promise<void> {
    await this.killSshd("sessions");
  }

  /** SSH packets vanish without an answer, as behind a firewall, until `heal`. */
  partition(): Promise<void> {
    return this.place.setManagementLink("down");
  }

  heal(): Promise<void> {
    return this.place.setManagementLink("up");
  }

  /**
   * What a reboot does to BPF: processes, bpffs, /run, cgroups and interfaces begin anew, `boot_id` differs, the
   * disk stays.
   */
  async reboot(): Promise<void> {
    await this.exec(["bash", "-c", reboot]);
    await removeCgroup(this.cgroup, "children only");
    await this.place.plugDataInterface();
    await this.start();
  }

  /** sshd shows another key from now on; `connection` has it, `knownHostsFile` does not. */
  async rotateHostKey(): Promise<void> {
    this.hostKey = makeSshKey();
    await this.write("/etc/ssh/host_key", this.hostKey.privateKey, "600");
    await this.killSshd("listener");
    await this.start();
  }

  /** Another key is the only one let in from now on; `connection` and `identityFile` name it. */
  async rotateLoginKey(): Promise<void> {
    this.loginKey = makeSshKey();
    this.loginKeys++;
    writeFileSync(this.identityFile, this.loginKey.privateKey, { mode: 0o600 });
    await this.write("/etc/ssh/authorized_keys_host", `${this.loginKey.publicKey}\n`, "644");
  }

  async install(file: string): Promise<string> {
    const path = join("/run/host", basename(file));
    await this.write(path, readFileSync(file), "755");
    return path;
  }

  /** Puts a file on the host, in place of one that may be running. */
  async write(path: string, text: string | Buffer, mode = "644"): Promise<void> {
    const script = `mkdir -p "$(dirname "$0")" && cat > "$0.$$" && chmod ${mode} "$0.$$" && mv "$0.$$" "$0"`;
    await this.exec(["sh", "-c", script, path], { input: text });
  }

  /** Puts a directory of this machine below one of the host. */
  async copy(directory: string, target: string): Promise<void> {
    const { stdout } = await run([
      "sh",
      "-c",
      `tar -C "$0" -c "$1" | base64`,
      dirname(directory),
      basename(directory),
    ]);
    const script = `mkdir -p "$0" && base64 -d | tar -C "$0" -x --no-same-owner`;
    await this.exec(["sh", "-c", script, target], { input: stdout });
  }

  /** The data path anew, after `removeInterface("eth0")`. */
  plugDataInterface(): Promise<void> {
    return this.place.plugDataInterface();
  }

  /**
   * Agents that start from now on get this as PULUMI_EBPF_FAULT (provider/agent/reconcile/fault.ts); without an
   * argument they get none.
   */
  async injectFault(fault = ""): Promise<void> {
    const edit = `s/ PULUMI_EBPF_FAULT=[^ ]*//; /^SetEnv/s/$/ PULUMI_EBPF_FAULT=${fault}/`;
    await this.exec([
      "sed",
      "-i",
      fault === "" ? "s/ PULUMI_EBPF_FAULT=[^ ]*//" : edit,
      "/etc/ssh/sshd_config_host",
    ]);
    await this.killSshd("listener sessions");
    await this.start();
  }

  /** A second sshd of the same configuration on another port; ends with `stop`. */
  async listenOn(port: number): Promise<void> {
    await this.exec(["sh", "-c", startSshd, `/run/host/sshd-${port}.pid`, "-p", String(port)]);
  }

  /** The first sshd stops to listen; sessions and other listeners go on. */
  async stopListener(): Promise<void> {
    await this.killSshd("listener");
  }

  private async killSshd(which: string): Promise<void> {
    await this.exec(["bash", "-c", killSshd, which]);
  }
}

/** $0: the pid file, which sshd writes when it listens, in the background; then options. */
const startSshd = `
rm -f $0
/usr/sbin/sshd -f /etc/ssh/sshd_config_host -E /run/host/sshd.log -o PidFile=$0 "$@"
until [ -s $0 ]; do sleep 0.01; done`;

/**
 * $0: `listener`, `sessions` or both. A session's process is any sshd that is not the listener. Waits for their end:
 * until then a listener's port is taken.
 */
const killSshd = `
listener=$(cat /run/host/sshd.pid)
for process in /proc/[0-9]*; do
  pid=\${process#/proc/}
  [[ $(readlink $process/exe) == */sshd* ]] || continue
  role=sessions; [ $pid != $listener ] || role=listener
  [[ $0 != *$role* ]] || { kill -KILL $pid; killed+=" $pid"; }
done 2>/dev/null
for pid in $killed; do
  while grep -q '^State:.[^ZX]' /proc/$pid/status; do sleep 0.01; done
done 2>/dev/null
true`;

const reboot = `
kill -KILL -1 # in a pid namespace: every process of the host but PID 1 and this one
umount -l /sys/fs/bpf && mount -t bpf -o mode=700 bpf /sys/fs/bpf
rm -rf /run/pulumi-ebpf/* /tmp/*
cat /proc/sys/kernel/random/uuid > /run/host/boot_id
for link in /sys/class/net/*; do
  case \${link##*/} in lo | mgmt0 | inner*) ;; *) ip link delete \${link##*/} 2>/dev/null ;; esac
done
true`;

function firstLine(child: ChildProcess, what: string): Promise<number> {
  return new Promise((done, fail) => {
    let stdout = "";
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      stdout += chunk;
      if (stdout.includes("\n")) done(Number.parseInt(stdout, 10));
    });
    child.once("error", fail);
    child.once("close", (code) => fail(new Error(`${what}: ended with status ${code}: ${stderr}`)));
  });
}

/** A test that forgets a host must not keep this process alive: it ends, and the host with it. */
function letExit(child: ChildProcess): void {
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr]) (stream as Socket | null)?.unref();
}

/** Where the machine has cgroup2 mounted. */
export function cgroupRoot(): string {
  const mounts = readFileSync("/proc/mounts", "utf8").split("\n");
  const point = mounts.map((line) => line.split(" ")).find((fields) => fields[2] === "cgroup2")?.[1];
  if (point === undefined) throw new Error("cgroup2 is not mounted on this machine");
  return point;
}

/** Its processes are dead already, or about to be: the kernel needs a moment for them. */
async function removeCgroup(path: string, what: "all" | "children only" = "all"): Promise<void> {
  const { stdout } = await run(["find", path, "-mindepth", "1", "-depth", "-type", "d"], { check: false });
  const paths = stdout.split("\n").filter((line) => line !== "");
  for (const directory of what === "all" ? [...paths, path] : paths) await removeDirectory(directory);
}

async function removeDirectory(path: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return rmdirSync(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return;
      if (code !== "EBUSY" || attempt === 100) throw error;
      await new Promise((done) => setTimeout(done, 20));
    }
  }
}
