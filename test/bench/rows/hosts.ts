/**
 * Rows hosts-20 and hosts-20-parallel: a Program, an Attachment and 100 entries on each of 20 hosts, by one `up`, less
 * what the engine takes for as many resources of an empty provider. The rivals are scp and ssh with bpftool, host after
 * host, and eight hosts at a time.
 */
import { Lab } from "../../support/lab.js";
import { Deployment } from "../deployment.js";
import { compileObject, inDirectory } from "../objects.js";
import { atMost, deployByScript, removeByScript } from "../rivals.js";
import { type Row, type RowGroup, seconds, timesFaster } from "../row.js";

const count = 20;
const ports = Array.from({ length: 100 }, (_, i) => i + 1);
const widths = { "hosts-20": 1, "hosts-20-parallel": 8 };
type Name = keyof typeof widths;

export const hosts: RowGroup = {
  names: Object.keys(widths),
  run: (wanted, bench) =>
    inDirectory(async (directory) => {
      const object = await compileObject("filter", directory);
      const lab = await Lab.create({ hosts: count });
      const plan = {
        hosts: lab.hosts.map(({ connection }) => connection),
        object,
        entrypoint: "drop_ports" as const,
        interfaces: [lab.host().dataInterface],
        programs: 1,
        maps: 0,
        rows: ports.length,
      };
      const names = (Object.keys(widths) as Name[]).filter((name) => wanted.has(name));
      const ours: number[] = [];
      const floors: number[] = [];
      const rivals: Record<Name, number[]> = { "hosts-20": [], "hosts-20-parallel": [] };
      try {
        await Deployment.pair(plan, async (product, empty) => {
          // the first brings the agent to each host, as the first scp of a day would bring bpftool
          await product.up();
          await product.destroy();
          for (let pair = 1; pair <= bench.repeat; pair++) {
            bench.say(`pair ${pair}: up of ${count} hosts, then by ssh`);
            const up = await product.up();
            const floor = await empty.up();
            ours.push(up - floor);
            floors.push(floor);
            await product.destroy();
            await empty.destroy();
            for (const name of names) rivals[name].push(await byScript(lab, object, widths[name]));
          }
        });
      } finally {
        await lab.destroy();
      }
      for (const name of names) bench.report(rowOf(name, ours, rivals[name], floors));
    }),
};

async function byScript(lab: Lab, object: string, width: number): Promise<number> {
  const time = await seconds(() => atMost(width, lab.hosts, (host) => deployByScript(host, object, ports)));
  await atMost(8, lab.hosts, removeByScript);
  return time;
}

function rowOf(name: Name, ours: number[], baseline: number[], floors: number[]): Row {
  const width = widths[name];
  return {
    name,
    ours,
    baseline,
    unit: "s",
    goal: timesFaster(width === 1 ? 5 : 2),
    compares: `up --skip-preview of ${count} hosts less an empty provider's, against scp and ssh bpftool, ${
      width === 1 ? "host after host" : `${width} hosts at a time`
    }`,
    remark: `the empty provider took ${Math.min(...floors).toFixed(1)}…${Math.max(...floors).toFixed(1)} s`,
  };
}
