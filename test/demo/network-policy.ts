/** `npm run demo -- network-policy`: examples/network-policy on three hosts, and who reaches whom at each step. */
import { resolve } from "node:path";
import { Lab } from "../support/lab.js";
import type { NetnsHost } from "../support/netns-host.js";
import { PulumiProject } from "../support/pulumi.js";
import { connect, connectUdp, NetworkService } from "../support/network-service.js";
import { until } from "../support/until.js";
import { Engine } from "./engine.js";
import { type Holdings, pinnedOn, stillThere } from "./kernel.js";
import { count, plural, type Screen } from "./screen.js";

const TIERS = ["web", "app", "db"] as const;
type Tier = (typeof TIERS)[number];
/** What each tier serves by TCP; all of them answer on UDP_PORT as well, which no rule allows. */
const PORTS: Record<Tier, number> = { web: 443, app: 8080, db: 5432 };
const UDP_PORT = 5353;

interface Wish {
  mode: "audit" | "enforce";
  /** Who may use db besides app. */
  visitorIsApp?: true;
  /** Networks of those who manage the hosts. */
  offices: string[];
  withinSeconds: number;
}

class PolicyStage {
  private constructor(
    readonly lab: Lab,
    private readonly services: NetworkService[],
    private readonly project: PulumiProject,
    readonly engine: Engine,
  ) {}

  static async set(screen: Screen): Promise<PolicyStage> {
    const lab = await Lab.create({ hosts: TIERS.length });
    try {
      const services = await Promise.all(
        TIERS.map((tier, index) =>
          NetworkService.start(lab.host(index), { tcp: [PORTS[tier]], udp: [UDP_PORT] }),
        ),
      );
      const directory = resolve(__dirname, "../../examples/network-policy");
      const project = await PulumiProject.create({ program: { directory }, name: "network-policy" });
      process.once("exit", () => project.dispose());
      return new PolicyStage(lab, services, project, new Engine(project, screen));
    } catch (error) {
      await lab.destroy();
      throw error;
    }
  }

  host(tier: Tier): NetnsHost {
    return this.lab.host(TIERS.indexOf(tier));
  }

  /** Where SSH to the hosts comes from. */
  async operator(): Promise<string> {
    const { stdout } = await this.host("web").exec(["sh", "-c", "ip -4 -o address show dev mgmt0"]);
    const network = /inet (\d+\.\d+\.\d+)\./.exec(stdout)![1]!;
    return `${network}.1`;
  }

  configure({ mode, visitorIsApp, offices, withinSeconds }: Wish): void {
    const tier = (name: Tier) => {
      const { connection, address, address6 } = this.host(name);
      const more = name === "app" && visitorIsApp ? [`${this.lab.client.address}/32`] : [];
      // every interface: also the one that SSH comes in by
      return { connection, interface: "*", networks: [`${address}/32`, `${address6}/128`, ...more] };
    };
    const [web, app, db] = TIERS.map(tier);
    this.project.configure({ ...{ web, app, db }, offices, mode, withinSeconds });
  }

  /** Real connections from everyone to everyone: `visitor>web` for TCP, `visitor>web udp`. */
  async matrix(): Promise<Record<string, boolean>> {
    const sources = [
      ["visitor", this.lab.client] as const,
      ...TIERS.map((tier) => [tier, this.host(tier)] as const),
    ];
    const pairs = sources.flatMap(([name, from]) =>
      TIERS.filter((tier) => tier !== name).map(async (tier) => {
        const { address } = this.host(tier);
        const [tcp, udp] = await Promise.all([
          connect(from, address, PORTS[tier]),
          connectUdp(from, address, UDP_PORT),
        ]);
        return [
          [`${name}>${tier}`, tcp === "open"],
          [`${name}>${tier} udp`, udp],
        ] as const;
      }),
    );
    return Object.fromEntries((await Promise.all(pairs)).flat());
  }

  /** Whether the visitor reaches a tier by TCP. */
  async reaches(tier: Tier): Promise<boolean> {
    return (await connect(this.lab.client, this.host(tier).address, PORTS[tier])) === "open";
  }

  async strike(): Promise<void> {
    await Promise.all(this.services.map((service) => service.stop()));
    await this.lab.destroy();
    this.project.dispose();
  }
}

export async function playNetworkPolicy(screen: Screen): Promise<void> {
  const stage = await PolicyStage.set(screen);
  try {
    screen.note("Three hosts with an sshd each, web, app and db, and a visitor, in network namespaces.");
    const seen: Holdings = { prog: [], map: [], link: [] };
    const wish: Wish = {
      ...{ mode: "audit", offices: [`${await stage.operator()}/32`], withinSeconds: 30 },
    };
    await before(stage, screen);
    await audit(stage, screen, wish);
    await enforce(stage, screen, wish);
    await change(stage, screen, wish);
    await lockOut(stage, screen, wish);
    await remember(stage, seen);
    await unconfirmed(stage, screen, wish);
    await remember(stage, seen);
    await destroy(stage, screen, seen);
  } finally {
    await stage.strike();
  }
}

const POLICY = ["visitor>web", "app>web", "db>web", "web>app", "app>db"];

async function before(stage: PolicyStage, screen: Screen): Promise<void> {
  screen.step("Before", "Everyone reaches everyone, by TCP and by UDP.");
  await shows(stage, screen, "all");
}

async function audit(stage: PolicyStage, screen: Screen, wish: Wish): Promise<void> {
  screen.step("Audit", "The policies are there, and only count what they would drop.");
  stage.configure(wish);
  await stage.engine.run("up");
  await shows(stage, screen, "all");
  const counted = await auditDrops(stage.host("db"));
  screen.check("db   would be dropped, by bpftool", `${count(counted)} packets`, counted > 0);
}

async function enforce(stage: PolicyStage, screen: Screen, wish: Wish): Promise<void> {
  screen.step("Enforce", "Everyone reaches web, web reaches app, app reaches db; nothing else.");
  wish.mode = "enforce";
  stage.configure(wish);
  await stage.engine.run("up");
  await shows(stage, screen, POLICY);
}

async function change(stage: PolicyStage, screen: Screen, wish: Wish): Promise<void> {
  screen.step("Change", "The visitor becomes one of app's hosts: db lets it in, web stays as it is.");
  wish.visitorIsApp = true;
  stage.configure(wish);
  await stage.engine.run("up");
  await shows(stage, screen, [...POLICY, "visitor>db"]);
}

async function lockOut(stage: PolicyStage, screen: Screen, wish: Wish): Promise<void> {
  screen.step(
    "Lock oneself out",
    "SSH only from 203.0.113.0/24, where nobody is: it would cut this very session.",
  );
  stage.configure({ ...wish, offices: ["203.0.113.0/24"] });
  for (const verb of ["preview", "up"] as const) {
    const { code, stdout, stderr } = await stage.engine.attempt(verb);
    const reason = /no ingress rule (?:of [^\n]+ )?lets through the connection[^(\n]*\([^)\n]*\)/.exec(
      stdout + stderr,
    )?.[0];
    screen.check(`pulumi ${verb}`, reason ?? "not refused for that", code !== 0 && reason !== undefined);
  }
  stage.configure(wish);
  await shows(stage, screen, [...POLICY, "visitor>db"]);
}

/** Long enough for a new connection to be tried, and for its end to be waited for. */
const WITHIN_SECONDS = 15;

/** Of all that would open an SSH connection, the first may. */
const ONE_CONNECTION = `
table inet demo {
  chain input {
    type filter hook input priority 0;
    tcp dport 22 tcp flags & (syn | ack) == syn limit rate 1/hour burst 1 packets accept
    tcp dport 22 tcp flags & (syn | ack) == syn drop
  }
}`;

async function unconfirmed(stage: PolicyStage, screen: Screen, wish: Wish): Promise<void> {
  screen.step(
    "A change that nobody confirms",
    `The visitor is to leave db again. From now on db takes no second SSH connection, and all its sessions are killed.`,
  );
  stage.configure({ mode: wish.mode, offices: wish.offices, withinSeconds: WITHIN_SECONDS });
  const db = stage.host("db");
  await db.exec(["nft", "-f", "-"], { input: ONE_CONNECTION });
  const up = stage.engine.attempt("up");
  await until("the new rules judge", async () => !(await stage.reaches("db")));
  screen.check("db   judges by the new rules", "visitor is out", true);
  await db.dropSessions();
  await db.exec(["pkill", "-KILL", "-f", "/var/lib/pulumi-ebpf/"], { check: false });
  const { stdout } = await db.exec(["sh", "-c", "ps ax -o args= | grep -c '[p]ulumi-ebpf/agent' || true"]);
  screen.check("db   processes of ours", stdout.trim(), stdout.trim() === "0");
  await until("the rules before judge", () => stage.reaches("db"));
  screen.check("db   judges by the rules before", "visitor is in", true);
  await db.exec(["nft", "delete", "table", "inet", "demo"]);
  const { code, stdout: said } = await up;
  const reason = /not confirmed[^\n]*/.exec(said)?.[0] ?? "no word of it";
  screen.check("pulumi up", reason.slice(0, 60), code !== 0 && reason.startsWith("not confirmed"));
  await shows(stage, screen, [...POLICY, "visitor>db"]);
}

async function destroy(stage: PolicyStage, screen: Screen, seen: Holdings): Promise<void> {
  screen.step("Destroy", "Nothing is left in the kernel of any host.");
  await stage.engine.run("destroy");
  for (const tier of TIERS) {
    const pinned = Object.values(await pinnedOn(stage.host(tier))).flat().length;
    screen.check(`${tier.padEnd(4)} bpffs, by bpftool`, `${plural(pinned, "object")} pinned`, pinned === 0);
  }
  const left = await stillThere(stage.host("web"), seen);
  const total = Object.values(seen).flat().length;
  screen.check("programs, maps, links that there were", `${left.length} of ${total} left`, left.length === 0);
  await shows(stage, screen, "all");
}

/** The matrix as a table; TCP to the tier's port, then whether UDP gets through. */
async function shows(stage: PolicyStage, screen: Screen, expected: "all" | readonly string[]): Promise<void> {
  const matrix = await stage.matrix();
  const holds = (key: string) => matrix[key] === (expected === "all" || expected.includes(key));
  for (const source of ["visitor", ...TIERS]) {
    const pairs = Object.keys(matrix).filter((key) => key.startsWith(`${source}>`));
    const words = TIERS.flatMap((tier) => {
      const key = `${source}>${tier}`;
      if (matrix[key] === undefined) return [];
      const state = (open: boolean | undefined) => (open ? "open" : "-");
      return [`${tier} ${state(matrix[key]).padEnd(4)} udp ${state(matrix[`${key} udp`]).padEnd(4)}`];
    });
    screen.check(`from ${source}`, words.join("   "), pairs.every(holds));
  }
}

/** Packets of all CPUs in the map `audit_drops`, by bpftool. */
async function auditDrops(host: NetnsHost): Promise<number> {
  const { stdout } = await host.exec(["find", "/sys/fs/bpf", "-path", "*/maps/audit_drops"]);
  const [path] = stdout.split("\n");
  type Row = { values: { value: string[] }[] };
  const rows = await host.bpftool<Row[]>("map", "dump", "pinned", path!);
  return rows
    .flatMap(({ values }) => values)
    .reduce(
      (sum, { value }) => sum + Number(Buffer.from(value.slice(0, 8).map(Number)).readBigUInt64LE()),
      0,
    );
}

async function remember(stage: PolicyStage, seen: Holdings): Promise<void> {
  for (const tier of TIERS) {
    const pinned = await pinnedOn(stage.host(tier));
    for (const kind of ["prog", "map", "link"] as const)
      seen[kind] = [...new Set([...seen[kind], ...pinned[kind]])];
  }
}
