/**
 * The emulator: one process from power on to power off. The machine's disk is a layer of its own above the image, so that
 * it is still there at the next start.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { run } from "../../support/command.js";
import type { KernelName } from "./images.js";

/** Seconds from start to sshd's greeting, without KVM and with another VM beside it. */
export const bootSeconds = 120;

/** Enough for a kernel's last words. */
const consoleBytes = 6000;

/**
 * A nested /dev/kvm may exist and still run no guest, so emulation is the default: `EBPF_VM_ACCEL=kvm` is faster. Both
 * processors on one thread: with a thread for each, two guests crashed while XDP programs were exchanged under a flood.
 * The cause was not found; that exchange rewrites code which the other processor runs (kernel/bpf/dispatcher.c).
 */
const accelerator = process.env["EBPF_VM_ACCEL"] ?? "tcg,thread=single";

export class Qemu {
  private process?: ChildProcess;

  private constructor(
    private readonly image: string,
    private readonly kernel: KernelName,
    /** Of 127.0.0.1, where its sshd is reached. */
    readonly port: number,
    private readonly directory: string,
    /** What its kernel's command line ends with. */
    private readonly append: string,
  ) {}

  /** Not started yet. `directory` is for its console and its disk, and stays the caller's. */
  static async create(image: string, kernel: KernelName, directory: string, append: string): Promise<Qemu> {
    const qemu = new Qemu(image, kernel, await freePort(), directory, append);
    const base = ["-b", join(image, "root.img"), "-F", "raw"];
    await run(["qemu-img", "create", "-q", "-f", "qcow2", ...base, qemu.disk]);
    return qemu;
  }

  private get disk(): string {
    return join(this.directory, "disk");
  }

  /** Resolves when its sshd greets. */
  async start(): Promise<void> {
    // ends with this process, however that ends
    const command = ["--pdeathsig", "KILL", "qemu-system-x86_64", ...this.args()];
    this.process = spawn("setpriv", command, { stdio: "ignore" });
    await this.greeting();
  }

  private args(): string[] {
    const drive = (file: string, format: string, more: string): string[] => [
      "-drive",
      `file=${file},format=${format},if=virtio,${more}`,
    ];
    const { image, kernel } = this;
    const append = `console=ttyS0 loglevel=4 net.ifnames=0 panic=5 lsm=landlock,lockdown,bpf ${this.append}`;
    return [
      ...["-M", "pc", "-cpu", "max", "-accel", accelerator, "-smp", "2", "-m", "512"],
      ...["-display", "none", "-serial", `file:${join(this.directory, "console")}`],
      // a second boot in one emulator was slower than the first by up to 80 s, in the kernel's own start
      "-no-reboot",
      ...["-kernel", join(image, kernel, "vmlinuz"), "-initrd", join(image, kernel, "initrd")],
      ...["-append", append],
      ...drive(this.disk, "qcow2", "cache=unsafe"),
      ...drive(join(image, kernel, "modules.img"), "raw", "readonly=on"),
      ...["-netdev", `user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:${this.port}-:22`],
      ...["-device", "virtio-net-pci,netdev=n,romfile=", "-device", "virtio-rng-pci"],
    ];
  }

  /** sshd's first line; qemu itself accepts connections long before. */
  private async greeting(): Promise<void> {
    const deadline = Date.now() + bootSeconds * 1000;
    while (!(await greets(this.port))) {
      if (!this.running) throw this.error("its power went off");
      if (Date.now() > deadline) throw this.error(`no sshd after ${bootSeconds} s`);
      await new Promise((done) => setTimeout(done, 200));
    }
  }

  get running(): boolean {
    return this.process?.exitCode === null && this.process.signalCode === null;
  }

  /** Resolves when the machine has switched itself off, which a reboot does first. */
  async off(): Promise<void> {
    const deadline = Date.now() + bootSeconds * 1000;
    while (this.running) {
      if (Date.now() > deadline) throw this.error(`still running after ${bootSeconds} s`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async kill(): Promise<void> {
    this.process?.kill("SIGKILL");
    await this.off();
  }

  private error(what: string): Error {
    return new Error(`${what}; ${this.lastWords()}`);
  }

  lastWords(): string {
    const text = readFileSync(join(this.directory, "console"), "utf8");
    return `the console says:\n${text.slice(-consoleBytes)}\n`;
  }
}

function greets(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1");
    const finish = (answer: boolean): void => {
      socket.destroy();
      done(answer);
    };
    socket.setTimeout(3000, () => finish(false));
    socket.once("error", () => finish(false));
    socket.once("close", () => finish(false));
    socket.once("data", (data) => finish(data.toString().startsWith("SSH-2.0")));
  });
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer().once("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => done(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
