/**
 * What the demo plays on: a client, two hosts, and a Pulumi project with examples/firewall for them.
 *
 * Owns: their making and their end, packets from chosen sources.
 * Does not own: what happens on it (steps.ts).
 */
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { type TestHost } from "../support/host.js";
import { Lab } from "../support/lab.js";
import { type Outcome, PulumiProject, type StateResource } from "../support/pulumi.js";
import { Flood, type FloodOptions } from "../support/traffic.js";
import { Engine, type Verb } from "./engine.js";
import { type Screen } from "./screen.js";

/** Networks for documentation: RFC 5737. */
export const sources = { attacker: "203.0.113.7", office: "198.51.100.7", visitor: "192.0.2.7" };

export interface Settings {
  rules: { network: string; action: "PASS" | "DROP" }[];
  sampleRate: number;
}

export interface Arrival {
  sent: number;
  received: number;
}

export class Stage {
  /** Guarded by a program that examples/firewall compiles from C. */
  readonly edge1: TestHost;
  /** Guarded by xdp-filter's object; the example's own program stands on another interface. */
  readonly edge2: TestHost;

  private constructor(
    private readonly lab: Lab,
    readonly project: PulumiProject,
    private readonly engine: Engine,
  ) {
    this.edge1 = lab.host(0);
    this.edge2 = lab.host(1);
  }

  /** `stack` is the name of examples/firewall's stack. */
  static async set(screen: Screen, stack = "dev"): Promise<Stage> {
    const lab = await Lab.create({ hosts: 2 });
    try {
      const directory = resolve(__dirname, "../../examples/firewall");
      const project = await PulumiProject.create({ program: { directory }, name: "firewall", stack });
      process.once("exit", () => project.dispose());
      const stage = new Stage(lab, project, new Engine(project, screen));
      await stage.prepare();
      return stage;
    } catch (error) {
      await lab.destroy();
      throw error;
    }
  }

  /** Writes the stack's configuration, as `pulumi config set` would. */
  configure({ rules, sampleRate }: Settings): void {
    const host = (name: string, { connection }: TestHost, device: string): Record<string, unknown> => ({
      name,
      connection,
      interface: device,
    });
    this.project.configure({
      hosts: [
        host("edge-1", this.edge1, "eth0"),
        { ...host("edge-2", this.edge2, "lan0"), foreignInterface: "eth0" },
      ],
      rules,
      sampleRate,
      foreignObject: foreignObject(),
      allowed: [sources.office],
    });
  }

  /** Runs `pulumi <verb>` and shows the command with what it did. */
  pulumi(verb: Verb): Promise<Outcome> {
    return this.engine.run(verb);
  }

  /** The stack's resources, from its state. */
  async resources(): Promise<StateResource[]> {
    return (await this.project.exportState()).deployment.resources ?? [];
  }

  /** Sends packets as if they came from `source`, until `packets` are out. */
  async send(source: string, host: TestHost, packets = 2000): Promise<Arrival> {
    const flood = await this.flood(source, host, { packetsPerSecond: 20_000 });
    await flood.sending(packets);
    return flood.stop();
  }

  async flood(source: string, host: TestHost, options: FloodOptions): Promise<Flood> {
    const route = ["ip", "route", "replace", `${host.address}/32`, "dev", "eth0", "src", source];
    await this.lab.client.exec(route);
    return Flood.start(this.lab.client, host, options);
  }

  /** Everything goes, whatever state it is in. */
  async strike(): Promise<void> {
    await this.lab.destroy();
    this.project.dispose();
  }

  private async prepare(): Promise<void> {
    for (const address of Object.values(sources)) {
      await this.lab.client.exec(["ip", "address", "add", `${address}/32`, "dev", "eth0"]);
      for (const host of this.lab.hosts)
        await host.exec(["ip", "route", "add", `${address}/32`, "dev", "eth0"]);
    }
    await this.edge2.addInterface("lan0");
  }
}

/** Where Debian's and Ubuntu's package xdp-tools puts it. */
export function foreignObject(): string {
  const libraries = "/usr/lib";
  const name = "bpf/xdpfilt_dny_ip.o";
  const place = readdirSync(libraries).find((directory) => existsSync(join(libraries, directory, name)));
  if (place === undefined)
    throw new Error(`${libraries}/*/${name} is missing: install the package xdp-tools`);
  return join(libraries, place, name);
}
