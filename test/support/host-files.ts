/** The files a network-namespace host starts with: sshd's configuration, keys, logins. */
import { accessSync, constants, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { type HostOptions, type HostPlace } from "./netns-host.js";
import { type SshKey } from "./ssh-keys.js";

/** `openssl passwd -6` of the password in netns-host.ts. */
const passwordHash =
  "$6$pulumiebpf$x9vQsGtLiqnDX7PlFwiKH4fyXfap0eH1I5SenUuEpFCu.seWkHO.QmbvwN4vUaCzgf3zf08hXwwtc1K/AbFps1";

const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Lays out what host-init.sh reads below `place.directory`. */
export function writeHostFiles(place: HostPlace, options: HostOptions, hostKey: SshKey): void {
  const { node = true, disk = "1g" } = options;
  const path = node ? `${dirname(process.execPath)}:${systemPath}` : systemPath;
  const files: Record<string, [text: string, mode: number]> = {
    "files/etc/ssh/sshd_config_host": [sshdConfig(path), 0o644],
    "files/etc/ssh/host_key": [hostKey.privateKey, 0o600],
    "files/etc/ssh/authorized_keys_host": [`${place.loginKey.publicKey}\n`, 0o644],
    // what this machine's root does at each login (bash reads it for SSH commands) is no part of the host
    "files/root/.bashrc": ["", 0o644],
    "files/etc/hosts": [`127.0.0.1 localhost ${place.name}\n`, 0o644],
    "files/etc/hostname": [`${place.name}\n`, 0o644],
    "files/etc/sudoers.d/deploy": ["deploy ALL=(ALL) NOPASSWD: ALL\n", 0o440],
    "accounts/passwd": [accounts((user, id) => `${user}:x:${id}:${id}::/run/home/${user}:/bin/sh`), 0o644],
    "accounts/group": [accounts((user, id) => `${user}:x:${id}:`), 0o644],
    "accounts/shadow": [accounts((user) => `${user}:${passwordHash}:19000:0:99999:7:::`), 0o600],
    "host.env": [
      settings({ hostname: place.name, disk_size: disk, remove: node ? "" : nodeFiles().join(" ") }),
      0o644,
    ],
    addresses: [`${place.addresses.join("\n")}\n`, 0o644],
  };
  mkdirSync(join(place.directory, "disk"), { recursive: true });
  for (const [name, [text, mode]] of Object.entries(files)) {
    mkdirSync(dirname(join(place.directory, name)), { recursive: true });
    writeFileSync(join(place.directory, name), text, { mode });
  }
}

function accounts(line: (user: string, id: number) => string): string {
  return `${line("deploy", 61001)}\n${line("guest", 61002)}\n`;
}

function settings(values: Record<string, string>): string {
  const all = { ...values, mounts: fileSystems().join(" ") };
  return Object.entries(all)
    .map(([name, value]) => `${name}='${value}'\n`)
    .join("");
}

/** Mount points of the machine's disks that an overlay over / would not show. What mounts proc in a directory is passing. */
function fileSystems(): string[] {
  return readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, point = "", type = ""]) => /^\/(usr|var|home|opt|root)(\/|$)/.test(point) && disks.has(type))
    .map(([, point = ""]) => point)
    .filter((point) => statSync(point).isDirectory());
}

const disks = new Set(["ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "overlay", "virtiofs", "9p"]);

/** Every file by which a PATH of this machine offers Node. */
function nodeFiles(): string[] {
  const directories = [...systemPath.split(":"), ...(process.env["PATH"] ?? "").split(delimiter)];
  return [...new Set([...directories, dirname(process.execPath)])]
    .flatMap((directory) => ["node", "nodejs", "npm", "npx"].map((name) => join(directory, name)))
    .filter(exists);
}

function exists(path: string): boolean {
  try {
    accessSync(path, constants.F_OK);
    return true;
  } catch {
    return false;
  }
}

function sshdConfig(path: string): string {
  return `Port 22
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/authorized_keys_host
PidFile /run/host/sshd.pid
UsePAM no
UseDNS no
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
MaxStartups 100
MaxSessions 100
AllowTcpForwarding yes
PrintMotd no
Subsystem sftp internal-sftp
SetEnv PATH=${path}
`;
}
