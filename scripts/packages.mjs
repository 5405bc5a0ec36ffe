// System packages of Debian and Ubuntu: what set-up needs of them, found by what they bring, installed by apt.
import { accessSync, constants, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { run, SetupError, step, succeeds } from "./step.mjs";

const directories = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

function command(name) {
  return () =>
    [...directories, ...(process.env.PATH ?? "").split(":")].some((directory) => {
      try {
        accessSync(`${directory}/${name}`, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

const file = (path) => () => existsSync(path);

/** Package, and how to see that it is there without asking dpkg. */
const always = {
  clang: command("clang"),
  llvm: command("llvm-strip"),
  "libc6-dev": file("/usr/include/stdio.h"),
  "libbpf-dev": file("/usr/include/bpf/bpf_helpers.h"),
  // Ubuntu's bpftool is a script that looks for the running kernel's own: run it
  bpftool: () => succeeds("bpftool", ["version"]),
  iproute2: command("tc"),
  ethtool: command("ethtool"),
  "iputils-ping": command("ping"),
  // its DHCP client and server
  "busybox-static": command("busybox"),
  "openssh-server": file("/usr/sbin/sshd"),
  "openssh-client": command("ssh-keygen"),
  nftables: command("nft"),
  sudo: command("sudo"),
  git: command("git"),
  "python3-pip": () => succeeds("python3", ["-m", "pip", "--version"]),
  "xdp-tools": () =>
    readdirSync("/usr/lib").some((name) => existsSync(`/usr/lib/${name}/bpf/xdpfilt_dny_ip.o`)) ||
    existsSync("/usr/lib/bpf/xdpfilt_dny_ip.o"),
};

const forMachines = {
  mmdebstrap: command("mmdebstrap"),
  "debian-archive-keyring": file("/usr/share/keyrings/debian-archive-keyring.gpg"),
  "qemu-system-x86": command("qemu-system-x86_64"),
  "qemu-utils": command("qemu-img"),
  "ipxe-qemu": file("/usr/lib/ipxe/qemu"),
  seabios: file("/usr/share/seabios/bios-256k.bin"),
  e2fsprogs: command("mke2fs"),
  zstd: command("zstd"),
  "xz-utils": command("xz"),
  kmod: command("depmod"),
};

const forDatabases = { postgresql: file("/usr/lib/postgresql") };

const forPython = {
  "python3-venv": () => succeeds("python3", ["-c", "import ensurepip, venv"]),
};

/**
 * @param machines whether virtual machines are wanted as well
 * @param databases whether a database server is
 * @param python whether programs in Python are
 */
export async function installPackages({ machines = false, databases = false, python = false }) {
  const wanted = Object.entries({
    ...always,
    ...(machines ? forMachines : {}),
    ...(databases ? forDatabases : {}),
    ...(python ? forPython : {}),
  });
  const present = await Promise.all(wanted.map(([, check]) => check()));
  const missing = wanted.filter((_, index) => !present[index]).map(([name]) => name);
  if (missing.length === 0) return;
  if (!command("apt-get")()) {
    throw new SetupError(`this needs apt, or these packages installed by hand: ${missing.join(", ")}`);
  }
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  await step(`install system packages: ${missing.join(", ")}`, async () => {
    await run("apt-get", ["update", "-qq"], { env });
    const names = (await Promise.all(missing.map(realNames))).flat();
    await withoutDaemons(missing, () =>
      run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...names], { env }),
    );
  });
}

/** Ubuntu before 25.04 has no package bpftool; it comes with the kernel's tools. */
async function realNames(name) {
  if (name !== "bpftool" || (await hasCandidate("bpftool"))) return [name];
  const exact = `linux-tools-${release()}`;
  return ["linux-tools-common", (await hasCandidate(exact)) ? exact : "linux-tools-generic"];
}

async function hasCandidate(name) {
  const policy = await run("apt-cache", ["policy", name], { env: { LC_ALL: "C" } });
  return /Candidate: (?!\(none\))/.test(policy);
}

/** Installing openssh-server must not open this machine's port 22, now or at the next boot. */
async function withoutDaemons(missing, work) {
  const policy = "/usr/sbin/policy-rc.d";
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    await work();
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
  if (missing.includes("openssh-server") && command("systemctl")()) {
    await succeeds("systemctl", ["disable", "ssh.service", "ssh.socket"]);
  }
}
