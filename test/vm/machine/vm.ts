/**
 * A virtual machine with a Debian kernel of its own, reached by SSH on a port of 127.0.0.1; its client is a
 * network namespace inside it. What it changes on its disk is thrown away.
 *
 * Owns: the OpenSSH connection that tests look through. Does not own: the emulator (qemu.ts), the images (images.ts).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type CommandOptions, type CommandResult, run } from "../../support/command.js";
import { type Connection, type TestClient, type TestHost, type TestSite } from "../../support/host.js";
import { temporaryPrefix } from "../../support/lab-network.js";
import { images, kernelRelease, type KernelName } from "./images.js";
import { bootSeconds, Qemu } from "./qemu.js";

/** Seconds for one command: everything in there is emulated. */
const commandSeconds = 120;

/** ssh's own exit status, which `ip` has too when its command is wrong. */
const connectionLost = 255;

/**
 * What the data path carries while the machine's processors wait for the real ones: a veth's ring holds 256 packets
 * (drivers/net/veth.c, VETH_RING_SIZE), two floods fill it in a quarter of a second.
 */
export const carried = { packetsPerSecond: 500 };
/** Seconds; a process in one takes its time to start, too. */
const PATIENCE = 6;

export interface VmOptions {
  /** PID 1. Default `busybox`, which boots faster. */
  init?: "busybox" | "systemd";
}

export class Vm implements TestSite {
  readonly client: TestClient;
  private readonly vmHost: VmHost;

  private constructor(
    /** `uname -r` as the image says. */
    readonly release: string,
    private readonly qemu: Qemu,
    private readonly directory: string,
    ssh: Ssh,
  ) {
    this.vmHost = new VmHost(ssh);
    this.client = new VmClient(ssh);
  }

  /** Resolves when SSH answers and the data path is up. */
  static async boot(kernel: KernelName, { init = "busybox" }: VmOptions = {}): Promise<Vm> {
    const image = images();
    const directory = mkdtempSync(join(tmpdir(), `${temporaryPrefix}vm-`));
    const qemu = await Qemu.create(image, kernel, directory, `vm.init=${init}`);
    const ssh = new Ssh(image, qemu, directory, kernel);
    const vm = new Vm(kernelRelease(image, kernel), qemu, directory, ssh);
    try {
      await qemu.start();
      await vm.connect();
      await vm.host().plugDataInterface();
    } catch (error) {
      await vm.destroy();
      throw error;
    }
    return vm;
  }

  host(): TestHost {
    return this.vmHost;
  }

  /** Path of the Node.js that came with the agent: the machine has none of its own. Fails before an agent ran there. */
  async agentNode(): Promise<string> {
    const find = ["find", "/var/lib/pulumi-ebpf/agent", "-name", "node", "-perm", "-100", "-size", "+50M"];
    return (await this.vmHost.exec(find)).stdout.trim();
  }

  /** A real one: the kernel starts anew, the disk stays. The data path is not there yet: `plugDataInterface`. */
  async reboot(): Promise<void> {
    const before = await this.bootId();
    await this.leave("sync; sleep 1; systemctl reboot || reboot -f");
    await this.back(before);
  }

  /**
   * As if the power was cut, nothing flushed, at the moment that the glob first names a file in there. Resolves when
   * it is about to; `back` when the machine is up again.
   */
  async cutPowerWhenThereIs(glob: string): Promise<{ back: () => Promise<void> }> {
    const before = await this.bootId();
    await this.leave(`until set -- ${glob}; [ -e "$1" ]; do :; done; echo b > /proc/sysrq-trigger`);
    return { back: () => this.back(before) };
  }

  private async bootId(): Promise<string> {
    return (await this.vmHost.exec(["cat", "/proc/sys/kernel/random/boot_id"])).stdout;
  }

  /** Runs a script that goes on without us. */
  private async leave(script: string): Promise<void> {
    await this.vmHost.exec(["sh", "-c", `(${script}) </dev/null >/dev/null 2>&1 &`]);
  }

  private async back(before: string): Promise<void> {
    await this.qemu.off();
    await this.vmHost.ssh.close();
    await this.qemu.start();
    await this.connect();
    if ((await this.bootId()) === before) throw new Error(`${this.vmHost.name}: it did not reboot`);
  }

  private async connect(): Promise<void> {
    await this.vmHost.ssh.open();
    await this.vmHost.exec(["ip", "netns", "add", "client"]);
  }

  async destroy(): Promise<void> {
    await this.vmHost.ssh.close();
    await this.qemu.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** OpenSSH to the machine: one connection that all commands share. */
class Ssh {
  readonly connection: Connection;
  readonly knownHostsFile: string;
  readonly identityFile: string;
  private master?: ChildProcess;

  constructor(
    image: string,
    private readonly qemu: Qemu,
    directory: string,
    readonly name: string,
  ) {
    const { port } = qemu;
    this.identityFile = join(image, "id");
    const hostKey = readFileSync(join(image, "host_key.pub"), "utf8").split(" ").slice(0, 2).join(" ").trim();
    const privateKey = readFileSync(this.identityFile, "utf8");
    this.connection = { host: "127.0.0.1", port, user: "root", privateKey, hostKey };
    this.knownHostsFile = join(directory, "known_hosts");
    this.socket = join(directory, "ssh");
    writeFileSync(this.knownHostsFile, `[127.0.0.1]:${port} ${hostKey}\n`);
  }

  private readonly socket: string;

  async open(): Promise<void> {
    rmSync(this.socket, { force: true });
    const [file = "", ...args] = this.words(["-M", "-N"]);
    this.master = spawn(file, args, { stdio: "ignore" });
    const deadline = Date.now() + bootSeconds * 1000;
    while ((await run(this.words(["-O", "check"]), { check: false })).code !== 0) {
      if (this.master.exitCode !== null || Date.now() > deadline)
        throw new Error(`${this.name}: no SSH connection`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async close(): Promise<void> {
    const master = this.master;
    if (master === undefined || master.exitCode !== null || master.signalCode !== null) return;
    const ended = new Promise((done) => master.once("exit", done));
    master.kill("SIGKILL");
    await ended;
  }

  command(command: string[]): string[] {
    return [...this.words([]), "--", command.map(quote).join(" ")];
  }

  /** When the machine itself is lost, the error says what its console says. */
  run(command: string[], options: CommandOptions = {}): Promise<CommandResult> {
    const remark = (code: number): string => (code === connectionLost ? this.qemu.lastWords() : "");
    return run(this.command(command), { timeoutSeconds: commandSeconds, remark, ...options });
  }

  private words(extra: string[]): string[] {
    const options = {
      ControlPath: this.socket,
      UserKnownHostsFile: this.knownHostsFile,
      StrictHostKeyChecking: "yes",
      IdentitiesOnly: "yes",
      BatchMode: "yes",
      ConnectTimeout: "60",
      LogLevel: "ERROR",
    };
    const flags = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    const { port, user, host } = this.connection;
    const login = ["-i", this.identityFile, "-p", String(port), `${user}@${host}`];
    return ["ssh", "-F", "none", ...extra, ...flags, ...login];
  }
}

class VmHost implements TestHost {
  readonly patience = PATIENCE;
  readonly dataInterface = "eth0";
  readonly address = "198.19.0.10";
  readonly address6 = "fd00:198:19::10";

  constructor(readonly ssh: Ssh) {}

  get name(): string {
    return this.ssh.name;
  }

  get connection(): Connection {
    return this.ssh.connection;
  }

  get identityFile(): string {
    return this.ssh.identityFile;
  }

  get knownHostsFile(): string {
    return this.ssh.knownHostsFile;
  }

  command(command: string[]): string[] {
    return this.ssh.command(command);
  }

  exec(command: string[], options?: CommandOptions): Promise<CommandResult> {
    return this.ssh.run(command, options);
  }

  install(file: string): Promise<string> {
    return install(this.ssh, file);
  }

  async bpftool<T>(...args: string[]): Promise<T> {
    const { stdout } = await this.exec(["bpftool", "-j", ...args]);
    return JSON.parse(stdout.trim() === "" ? "null" : stdout) as T;
  }

  async ip<T>(...args: string[]): Promise<T> {
    const { stdout } = await this.exec(["ip", "-j", "-d", ...args]);
    return JSON.parse(stdout.trim() === "" ? "[]" : stdout) as T;
  }

  async addInterface(name: string): Promise<void> {
    const other = `x-${name}`.slice(0, 15);
    await this.exec(["ip", "link", "add", name, "up", "type", "veth", "peer", "name", other]);
    await this.exec(["ip", "link", "set", other, "up"]);
  }

  async removeInterface(name: string): Promise<void> {
    await this.exec(["ip", "link", "delete", name]);
  }

  async plugDataInterface(): Promise<void> {
    await this.exec(["ip", "-batch", "-"], { input: dataPath });
    await this.exec(["ip", "-n", "client", "-batch", "-"], { input: clientSide });
  }
}

class VmClient implements TestClient {
  readonly patience = PATIENCE;
  readonly address = "198.19.0.2";
  readonly address6 = "fd00:198:19::2";

  constructor(private readonly ssh: Ssh) {}

  get name(): string {
    return `${this.ssh.name} client`;
  }

  command(command: string[]): string[] {
    return this.ssh.command(["ip", "netns", "exec", "client", ...command]);
  }

  exec(command: string[], options?: CommandOptions): Promise<CommandResult> {
    return this.ssh.run(["ip", "netns", "exec", "client", ...command], options);
  }

  install(file: string): Promise<string> {
    return install(this.ssh, file);
  }
}

/** Once per file and machine; whole or not there, also when two do it at once. */
async function install(ssh: Ssh, file: string): Promise<string> {
  const path = `/run/${basename(file)}`;
  const copy = `[ -x ${path} ] || { cat > ${path}.$$ && chmod 755 ${path}.$$ && mv ${path}.$$ ${path}; }`;
  await ssh.run(["sh", "-c", copy], { input: readFileSync(file) });
  return path;
}

const hostMac = "02:eb:bf:01:00:00";
const clientMac = "02:eb:bf:00:00:00";

const dataPath = `link add eth0 address ${hostMac} type veth peer name eth0 address ${clientMac} netns client
link set eth0 addrgenmode none
link set eth0 up
address add 198.19.0.10/24 dev eth0
address add fd00:198:19::10/64 dev eth0 nodad
neighbour replace 198.19.0.2 lladdr ${clientMac} dev eth0 nud permanent
neighbour replace fd00:198:19::2 lladdr ${clientMac} dev eth0 nud permanent
`;

const clientSide = `link set lo up
link set eth0 addrgenmode none
link set eth0 up
address add 198.19.0.2/24 dev eth0
address add fd00:198:19::2/64 dev eth0 nodad
neighbour replace 198.19.0.10 lladdr ${hostMac} dev eth0 nud permanent
neighbour replace fd00:198:19::10 lladdr ${hostMac} dev eth0 nud permanent
`;

function quote(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
