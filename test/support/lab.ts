/**
 * A network of test hosts on this machine: hosts, one client that sends them traffic, and the wires between.
 *
 *   this process ── bridge mgmt ── mgmt0 of each host       198.18.x.0/24, SSH
 *   client eth0  ── bridge data ── eth0 of each host        198.19.x.0/24 and fd00:198:19:x::/64, traffic
 *   a bastion's inner0 ── mgmt0 of a host behind it         10.99.0.0/30
 *
 * Both bridges are in a namespace of their own; the machine's own gets one veth end, `pe-x`, while the lab lives.
 * Neighbour and forwarding entries are fixed, so nothing needs ARP once a host drops every packet.
 *
 * Owns: the life of a lab; all of it is gone after `destroy`, or when the process ends.
 * Does not own: wires (lab-network.ts), hosts (netns-host.ts).
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CommandOptions, type CommandResult, run } from "./command.js";
import { type TestClient, type TestSite } from "./host.js";
import { claimSubnet, LabNetwork, ownPrefix } from "./lab-network.js";
import { type HostOptions, NetnsHost } from "./netns-host.js";
import { makeSshKey } from "./ssh-keys.js";

export interface LabOptions {
  /** How many hosts, or the options of each. Default 1. A bastion stands before the hosts behind it. */
  hosts?: number | HostOptions[];
}

const labs = new Set<Lab>();
let made = 0;
process.on("exit", () => labs.forEach((lab) => lab.abandon()));

export class Lab implements TestSite {
  readonly hosts: NetnsHost[] = [];
  readonly client: TestClient;
  private readonly network: LabNetwork;
  private readonly directory: string;

  private constructor(options: HostOptions[], subnet: number) {
    const id = `${ownPrefix}${made++}`;
    this.directory = mkdtempSync(join(tmpdir(), `pulumi-ebpf-${id}-`));
    this.network = new LabNetwork(
      id,
      subnet,
      options.map(({ behind }) => behind),
    );
    this.client = clientIn(this.network);
    const loginKey = makeSshKey();
    for (const [index, host] of options.entries()) this.hosts.push(this.place(index, host, loginKey));
  }

  /** Resolves when every host's sshd answers. A failure leaves nothing behind. */
  static async create({ hosts = 1 }: LabOptions = {}): Promise<Lab> {
    const options = typeof hosts === "number" ? Array.from({ length: hosts }, () => ({})) : hosts;
    const lab = new Lab(options, await claimSubnet());
    labs.add(lab);
    try {
      await lab.network.create();
      await Promise.all(lab.hosts.map((host) => host.create()));
    } catch (error) {
      await lab.destroy();
      throw error;
    }
    return lab;
  }

  /** The host at `index`, in the order of `LabOptions.hosts`. Default the first. */
  host(index = 0): NetnsHost {
    const host = this.hosts[index];
    if (host === undefined) throw new Error(`the lab has ${this.hosts.length} hosts, none at ${index}`);
    return host;
  }

  async destroy(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.destroy()));
    await run(["ip", "-force", "-batch", "-"], { input: this.network.removal().join("\n"), check: false });
    rmSync(this.directory, { recursive: true, force: true });
    labs.delete(this);
  }

  /** For a process that is about to exit and cannot wait. */
  abandon(): void {
    for (const host of this.hosts) host.kill();
    const input = this.network.removal().join("\n");
    execFileSync("sh", ["-c", "ip -force -batch - 2>/dev/null || true"], { input });
    rmSync(this.directory, { recursive: true, force: true });
  }

  private place(index: number, options: HostOptions, loginKey: ReturnType<typeof makeSshKey>): NetnsHost {
    const { network } = this;
    const directory = join(this.directory, `h${index + 1}`);
    mkdirSync(directory);
    const place = {
      name: network.host(index),
      directory,
      loginKey,
      sshAddress: network.sshAddress(index),
      address: network.address(index),
      address6: network.address6(index),
      addresses: network.hostAddresses(index),
      bastion: options.behind === undefined ? undefined : this.host(options.behind),
      plugDataInterface: () => network.plugData(index),
      plugInterface: (name: string) => network.plug(index, name),
      setManagementLink: (state: "up" | "down") => network.setManagement(index, state),
    };
    return new NetnsHost(place, options);
  }
}

function clientIn(network: LabNetwork): TestClient {
  const command = (words: string[]): string[] => ["nsenter", `--net=/run/netns/${network.client}`, ...words];
  return {
    name: network.client,
    address: network.clientAddress,
    address6: network.clientAddress6,
    command,
    install: (file: string): Promise<string> => Promise.resolve(file),
    exec: (words: string[], options?: CommandOptions): Promise<CommandResult> => run(command(words), options),
  };
}
