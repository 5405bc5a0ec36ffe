/**
 * Rows fleet-200-dynamic and fleet-200-plugin: one change to a Program on 200 hosts as one resource, by `up --skip-preview`,
 * against opening a session with each of those hosts in the same waves by the same pool: what any change of 200 hosts costs
 * at least. Beside it the same change to 200 resources of one host each.
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { SessionPool } from "../../../provider/transport/pool.js";
import { type Connection } from "../../support/host.js";
import { Lab } from "../../support/lab.js";
import { type Mode } from "../../support/modes.js";
import { PulumiProject } from "../../support/pulumi.js";
import { compileObject, inDirectory } from "../objects.js";
import { type Bench, median, ratioAtMost, type RowGroup, seconds } from "../row.js";

const count = 200;
const waveSize = 50;
/** The last wave's sessions end after what was timed; what is timed next shall not pay for that. */
const goodbyesMs = 3000;
const modes: Mode[] = ["dynamic", "plugin"];
const nameOf = (mode: Mode): string => `fleet-200-${mode}`;

export const fleet200: RowGroup = {
  names: modes.map(nameOf),
  run: (wanted, bench) =>
    inDirectory(async (directory) => {
      const object = await compileObject("filter", directory);
      const lab = await Lab.create({ hosts: count });
      try {
        const hosts = lab.hosts.map(({ connection }) => connection);
        for (const mode of modes)
          if (wanted.has(nameOf(mode))) await measure(mode, hosts, object, directory, bench);
      } finally {
        await lab.destroy();
      }
    }),
};

async function measure(
  mode: Mode,
  hosts: Connection[],
  object: string,
  directory: string,
  bench: Bench,
): Promise<void> {
  const single = await Stack.create("single", mode, hosts, object, directory);
  const fleet = await Stack.create("fleet", mode, hosts, object, directory);
  try {
    bench.say(
      `${mode} mode: ${count} hosts get a Program each by one resource, and the agent if they have none`,
    );
    await fleet.change();
    const ours: number[] = [];
    const sessions: number[] = [];
    for (let pair = 1; pair <= bench.repeat; pair++) {
      bench.say(`pair ${pair}: a change to ${count} hosts, then ${count} sessions`);
      ours.push(await fleet.change());
      await sleep(goodbyesMs);
      sessions.push(await openSessions(hosts));
      await sleep(goodbyesMs);
    }
    const memory = fleet.peakMegabytes();
    await fleet.destroy();
    bench.say(`the same by ${count} resources`);
    await single.change();
    const beside = await single.change();
    const memoryBeside = single.peakMegabytes();
    await single.destroy();
    bench.report({
      name: nameOf(mode),
      ours,
      baseline: sessions,
      unit: "s",
      goal: ratioAtMost(1.5),
      compares: `up --skip-preview of one changed Program on ${count} hosts, against ${count} agent sessions, both in waves of ${waveSize}`,
      remark:
        `provider's peak memory ${memory} MB; ${count} resources of one host each took ${beside.toFixed(1)} s and ` +
        `${memoryBeside} MB, ${(beside / median(ours)).toFixed(1)} times as long`,
    });
  } finally {
    single.dispose();
    fleet.dispose();
  }
}

/** Wave after wave, each released before the next begins. */
async function openSessions(hosts: Connection[]): Promise<number> {
  const pool = new SessionPool();
  try {
    return await seconds(async () => {
      for (let at = 0; at < hosts.length; at += waveSize) {
        const wave = hosts.slice(at, at + waveSize);
        const opened = await Promise.all(wave.map((connection) => pool.open(connection)));
        for (const session of opened) session.release();
      }
    });
  } finally {
    pool.closeAll();
  }
}

/** One Program per host, in one resource or in as many as there are hosts. */
class Stack {
  private revision = 0;

  private constructor(
    private readonly project: PulumiProject,
    private readonly kind: "fleet" | "single",
    private readonly object: string,
    private readonly measures: string,
  ) {}

  static async create(
    kind: "fleet" | "single",
    mode: Mode,
    hosts: Connection[],
    object: string,
    directory: string,
  ): Promise<Stack> {
    const measures = join(directory, `${kind}-${mode}`);
    mkdirSync(measures);
    const project = await PulumiProject.create({
      program: "",
      name: kind,
      mode,
      env: {
        // as an input it would be a secret that the engine encrypts again and again
        PULUMI_EBPF_PRIVATE_KEY: hosts[0]?.privateKey,
        NODE_OPTIONS: `--require ${resolve(__dirname, "../peak-memory.js")}`,
        BENCH_PEAK_MEMORY: measures,
      },
    });
    project.write(
      "hosts.json",
      JSON.stringify(hosts.map(({ privateKey: _key, ...connection }) => connection)),
    );
    return new Stack(project, kind, object, measures);
  }

  /** Seconds of an up that changes, or creates, the Program on all hosts. */
  async change(): Promise<number> {
    const source = JSON.stringify(this.object);
    const args = `source: ${source}, load: ["drop_ports"], globals: { revision: ${++this.revision} }`;
    const resources =
      this.kind === "fleet"
        ? `new ebpf.Program("filter", { hosts: ebpf.fleet({ hosts, rollout: { waveSize: ${waveSize} } }), ${args} });`
        : `hosts.forEach((connection, index) => new ebpf.Program(\`filter-\${index}\`, { connection, ${args} }));`;
    this.project.write(
      "index.ts",
      `import * as ebpf from "pulumi-ebpf";
import { readFileSync } from "node:fs";
const hosts: ebpf.ConnectionArgs[] = JSON.parse(readFileSync("hosts.json", "utf8"));
${resources}
`,
    );
    return seconds(async () => {
      const { changes } = await this.project.up({ timeoutSeconds: 1200 });
      const { create = 0, update = 0 } = changes;
      const wanted = this.kind === "fleet" ? 1 : count;
      if (create + update < wanted) throw new Error(`${create + update} of ${wanted} resources changed`);
    });
  }

  async destroy(): Promise<void> {
    await this.project.destroy({ timeoutSeconds: 1200 });
  }

  /** Of the largest provider process. */
  peakMegabytes(): number {
    const peaks = readdirSync(this.measures)
      .filter((name) => name.startsWith("peak-"))
      .map((name) => Number(readFileSync(join(this.measures, name), "utf8")));
    return Math.round(Math.max(...peaks) / 1024);
  }

  dispose(): void {
    this.project.dispose();
  }
}
