/**
 * The wires of a lab (see lab.ts for the picture): namespaces, bridges, veth pairs, fixed neighbours.
 *
 * Owns: every interface and address of a lab. Does not own: what runs in the namespaces.
 */
import { run } from "./command.js";

/** Name of every namespace, cgroup and interface that a lab makes: `pe-…`. */
export const prefix = "pe-";

/** Beginning of this process's own names, and of its temporary directories: how residue is told from another run's. */
export const ownPrefix = `${prefix}${process.pid.toString(36)}-`;
export const temporaryPrefix = `pulumi-ebpf-${ownPrefix}`;

export class LabNetwork {
  readonly client: string;
  readonly clientAddress: string;
  readonly clientAddress6: string;
  private readonly switchboard: string;

  /** `id` is unique on this machine, `subnet` too: see `claimSubnet`. */
  constructor(
    readonly id: string,
    private readonly subnet: number,
    /** Per host: the index of the host it is behind, if it is behind one. */
    private readonly behind: (number | undefined)[],
  ) {
    this.client = `${id}-client`;
    this.switchboard = `${id}-net`;
    this.clientAddress = `198.19.${subnet}.2`;
    this.clientAddress6 = `fd00:198:19:${subnet}::2`;
  }

  host(index: number): string {
    return `${this.id}-h${index + 1}`;
  }

  address(index: number): string {
    return `198.19.${this.subnet}.${index + 10}`;
  }

  address6(index: number): string {
    return `fd00:198:19:${this.subnet}::${index + 10}`;
  }

  sshAddress(index: number): string {
    return this.behind[index] === undefined ? `198.18.${this.subnet}.${index + 10}` : `10.99.${index}.2`;
  }

  async create(): Promise<void> {
    const machine = `${prefix}${this.subnet}`;
    await ipBatch([
      ...this.namespaces().map((name) => `netns add ${name}`),
      `link set ${machine}p netns ${this.switchboard} name machine`,
      ...up(machine),
      `address add 198.18.${this.subnet}.1/24 dev ${machine}`,
      ...this.veth("client", this.client, "eth0", mac("client", 0)),
      ...this.behind.flatMap((bastion, i) => [
        ...this.veth(`d${i}`, this.host(i), "eth0", mac("data", i)),
        bastion === undefined
          ? `link add m${i} netns ${this.switchboard} type veth peer name mgmt0 netns ${this.host(i)}`
          : `link add inner${i} netns ${this.host(bastion)} type veth peer name mgmt0 netns ${this.host(i)}`,
      ]),
    ]);
    const bridges = ["data", "mgmt"];
    const ports = { data: this.dataPorts(), mgmt: ["machine"] };
    this.behind.forEach((bastion, i) => bastion === undefined && ports.mgmt.push(`m${i}`));
    await ipBatch(
      [
        ...bridges.map((bridge) => `link add ${bridge} type bridge mcast_snooping 0`),
        ...[...bridges, ...ports.data, ...ports.mgmt].flatMap(up),
        ...ports.data.map((port) => `link set ${port} master data`),
        ...ports.mgmt.map((port) => `link set ${port} master mgmt`),
      ],
      this.switchboard,
    );
    await ipBatch(
      [
        "link set lo up",
        ...addresses("eth0", this.clientAddress, this.clientAddress6),
        ...this.behind.flatMap((_, i) => neighbours(this.address(i), this.address6(i), mac("data", i))),
      ],
      this.client,
    );
    await this.settle(this.dataPorts());
  }

  /** Lines for `ip -batch` in the host's own namespace. */
  hostAddresses(index: number): string[] {
    const bastion = this.behind[index];
    const inside = this.behind.flatMap((other, i) => (other === index ? [i] : []));
    return [
      "link set lo up",
      ...up("mgmt0"),
      `address add ${this.sshAddress(index)}/${bastion === undefined ? 24 : 30} dev mgmt0`,
      ...inside.flatMap((i) => [...up(`inner${i}`), `address add 10.99.${i}.1/30 dev inner${i}`]),
      ...this.dataAddresses(index),
    ];
  }

  /** Makes the pair with the host's `eth0`, which must not exist. */
  async plugData(index: number): Promise<void> {
    await ipBatch(this.veth(`d${index}`, this.host(index), "eth0", mac("data", index)));
    await ipBatch([...up(`d${index}`), `link set d${index} master data`], this.switchboard);
    await ipBatch(this.dataAddresses(index), this.host(index));
    await this.settle([`d${index}`]);
  }

  /** A pair whose end `name` is the host's; the other end is `x-<name>`, in the host as well. */
  async plug(index: number, name: string): Promise<void> {
    const other = `x-${name}`.slice(0, 15);
    await ipBatch(
      [`link add ${name} type veth peer name ${other}`, ...up(name), ...up(other)],
      this.host(index),
    );
  }

  async setManagement(index: number, state: "up" | "down"): Promise<void> {
    const bastion = this.behind[index];
    const [device, namespace] =
      bastion === undefined ? [`m${index}`, this.switchboard] : [`inner${index}`, this.host(bastion)];
    await ipBatch([`link set ${device} ${state}`], namespace);
  }

  /** Lines for `ip -batch -force` on the machine that remove it all, whatever of it is there. */
  removal(): string[] {
    return [
      `link delete ${prefix}${this.subnet}`,
      ...this.namespaces().map((name) => `netns delete ${name}`),
    ];
  }

  private namespaces(): string[] {
    return [this.switchboard, this.client, ...this.behind.map((_, i) => this.host(i))];
  }

  private dataPorts(): string[] {
    return ["client", ...this.behind.map((_, i) => `d${i}`)];
  }

  private dataAddresses(index: number): string[] {
    return [
      ...addresses("eth0", this.address(index), this.address6(index)),
      ...neighbours(this.clientAddress, this.clientAddress6, mac("client", 0)),
    ];
  }

  private veth(port: string, namespace: string, device: string, address: string): string[] {
    const peer = `peer name ${device} address ${address} netns ${namespace}`;
    return [`link add ${port} netns ${this.switchboard} type veth ${peer}`];
  }

  /**
   * Without GRO a veth does not receive what XDP on its peer sends; without the entry a silent host is flooded; without a
   * queue what a busy receiver has no room for is dropped (veth_xmit stops a queue since Linux 6.16, where there is one).
   */
  private async settle(ports: string[]): Promise<void> {
    const entries = ports.map((port) =>
      port === "client"
        ? `${mac("client", 0)} dev client`
        : `${mac("data", Number(port.slice(1)))} dev ${port}`,
    );
    const queue = "tc qdisc replace dev $port root pfifo limit 10000";
    const script = `for port; do ethtool -K $port gro on; ${queue}; done; bridge -batch -`;
    await run(["ip", "netns", "exec", this.switchboard, "sh", "-ec", script, "sh", ...ports], {
      input: entries.map((entry) => `fdb replace ${entry} master static\n`).join(""),
    });
  }
}

/**
 * A number 0…255 for a lab's addresses. The claim is a veth pair `pe-<number>` on this machine, which only one
 * process can make.
 */
export async function claimSubnet(): Promise<number> {
  for (let attempt = 0; attempt < 256; attempt++) {
    const subnet = Math.floor(Math.random() * 256);
    const pair = [`${prefix}${subnet}`, "type", "veth", "peer", "name", `${prefix}${subnet}p`];
    const { code, stderr } = await run(["ip", "link", "add", ...pair], { check: false });
    if (code === 0) return subnet;
    if (!stderr.includes("File exists")) throw new Error(`make a veth pair: ${stderr}`);
  }
  throw new Error("all 256 networks for labs are taken");
}

/** Locally administered, the same in every lab. */
function mac(kind: "client" | "data", index: number): string {
  return `02:eb:bf:${kind === "client" ? "00" : "01"}:00:${index.toString(16).padStart(2, "0")}`;
}

/** No link-local address: router solicitations and MLD would be counted as traffic. */
function up(device: string): string[] {
  return [`link set ${device} addrgenmode none`, `link set ${device} up`];
}

function addresses(device: string, address: string, address6: string): string[] {
  return [
    ...up(device),
    `address add ${address}/24 dev ${device}`,
    `address add ${address6}/64 dev ${device} nodad`,
  ];
}

function neighbours(address: string, address6: string, lladdr: string): string[] {
  return [address, address6].map((to) => `neighbour replace ${to} lladdr ${lladdr} dev eth0 nud permanent`);
}

async function ipBatch(lines: string[], namespace?: string): Promise<void> {
  const inside = namespace === undefined ? [] : ["-n", namespace];
  await run(["ip", ...inside, "-batch", "-"], { input: `${lines.join("\n")}\n` });
}
