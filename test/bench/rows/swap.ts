/**
 * Rows swap and reject: what a flood of packets sees while its judge is replaced, a thousand times by good programs and
 * a hundred times by objects that the verifier rejects.
 *
 * Two floods run at once: one core's best to a port that every program drops, and a slow one to a port that every
 * program passes. A packet of the first that arrives, or one of the second that does not, got the wrong verdict.
 * Most of ours are the provider's own calls in this process; some of the rejections come by the real CLI, once and under a
 * slower flood, which leaves the CLI a core.
 * The rival detaches the old program and attaches the new one, as tools without an update verb do, and the old one again
 * when the new one is rejected. In the swaps it is spared the load: its program is pinned before the flood begins.
 */
import { EbpfError } from "../../../provider/errors.js";
import { Lab } from "../../support/lab.js";
import { type NetnsHost } from "../../support/netns-host.js";
import { Flood } from "../../support/traffic.js";
import { compileObject, inDirectory } from "../objects.js";
import { Resource } from "../product.js";
import { RejectingStack, type Sources } from "../rejecting-stack.js";
import { deployByScript, rejectByScript, removeByScript, swapByScript } from "../rivals.js";
import { alwaysAtMost, type Bench, median, type RowGroup, seconds } from "../row.js";

const swaps = 1000;
const rejections = 100;
const previewsByCli = 10;
const upsByCli = 100;
const byCliPacketsPerSecond = 50_000;
const dropped = 9000;
const passed = 9001;

export const swap: RowGroup = {
  names: ["swap", "reject"],
  run: (wanted, bench) =>
    inDirectory(async (directory) => {
      const object = await compileObject("filter", directory);
      const rejected = await compileObject("rejected", directory);
      const lab = await Lab.create();
      try {
        if (wanted.has("swap")) await measureSwaps(lab, object, bench);
        if (wanted.has("reject")) await measureRejections(lab, object, rejected, bench);
      } finally {
        await lab.destroy();
      }
    }),
};

async function measureSwaps(lab: Lab, object: string, bench: Bench): Promise<void> {
  const ours: Verdicts[] = [];
  const rival: Verdicts[] = [];
  for (let pair = 1; pair <= bench.repeat; pair++) {
    bench.say(`pair ${pair}: ${swaps} swaps each, under a flood`);
    ours.push(
      await withFilter(lab.host(), object, (filter) =>
        underFlood(lab, async () => {
          for (let revision = 1; revision <= swaps; revision++) {
            await filter.check(programArgs(object, revision));
            await filter.update();
          }
        }),
      ),
    );
    await deployByScript(lab.host(), object, [dropped]);
    rival.push(await underFlood(lab, () => swapByScript(lab.host(), swaps)));
    await removeByScript(lab.host());
  }
  bench.report({
    name: "swap",
    ours: ours.map(({ wrong }) => wrong),
    baseline: rival.map(({ wrong }) => wrong),
    unit: "packets",
    goal: alwaysAtMost(0, "packets"),
    compares: `wrong verdicts in ${swaps} updates of a Program, against bpftool net detach, attach`,
    remark: remarkOn(ours),
  });
}

async function measureRejections(lab: Lab, object: string, rejected: string, bench: Bench): Promise<void> {
  const ours: Verdicts[] = [];
  const rival: Verdicts[] = [];
  for (let pair = 1; pair <= bench.repeat; pair++) {
    bench.say(`pair ${pair}: ${rejections} rejected objects each, under a flood`);
    ours.push(
      await withFilter(lab.host(), object, (filter) =>
        underFlood(lab, async () => {
          for (let revision = 1; revision <= rejections; revision++) {
            await refuse(filter, programArgs(rejected, revision));
          }
        }),
      ),
    );
    await deployByScript(lab.host(), object, [dropped]);
    rival.push(await underFlood(lab, () => rejectByScript(lab.host(), rejections, rejected)));
    await removeByScript(lab.host());
  }
  bench.say(`${upsByCli} forced ups and ${previewsByCli} previews by the CLI, under a flood`);
  const byCli = await rejectByCli(lab, { good: object, rejected });
  bench.report({
    name: "reject",
    ours: [...ours, byCli].map(({ wrong }) => wrong),
    baseline: rival.map(({ wrong }) => wrong),
    unit: "packets",
    goal: alwaysAtMost(0, "packets"),
    compares: `wrong verdicts in ${rejections} updates that the verifier rejects, against bpftool net detach, prog load, net attach`,
    remark:
      `every preview and every forced update failed; ${remarkOn(ours)}; the last value by the CLI: ${upsByCli} forced ups ` +
      `and ${previewsByCli} previews in ${Math.round(byCli.seconds)} s, ${remarkOn([byCli])}`,
  });
}

function rejectByCli(lab: Lab, sources: Sources): Promise<Verdicts> {
  return RejectingStack.with(lab.host(), sources, dropped, (stack) =>
    underFlood(
      lab,
      async () => {
        for (let revision = 1; revision <= previewsByCli; revision++) await stack.preview(revision);
        for (let revision = 1; revision <= upsByCli; revision++) await stack.forcedUp(revision);
      },
      byCliPacketsPerSecond,
    ),
  );
}

/** A preview must refuse the object, and so must an update that no preview came before. */
async function refuse(filter: Resource, args: Record<string, unknown>): Promise<void> {
  if ((await filter.preview(args)).length === 0) {
    throw new Error("a preview accepted an object that the verifier rejects");
  }
  await filter.check(args);
  try {
    await filter.update();
  } catch (error) {
    if (EbpfError.is(error, "verifier")) return;
    throw error;
  }
  throw new Error("an update to an object that the verifier rejects succeeded");
}

function programArgs(object: string, revision: number): Record<string, unknown> {
  return { source: object, load: ["drop_ports"], globals: { revision } };
}

/** Program, Attachment and the port to drop on the host while `use` runs. */
async function withFilter<T>(
  host: NetnsHost,
  object: string,
  use: (filter: Resource) => Promise<T>,
): Promise<T> {
  const { connection, dataInterface } = host;
  const filter = await Resource.create("Program", "filter", connection, programArgs(object, 0));
  const made = [filter];
  try {
    const rows = { map: filter.map("ports"), entries: [{ key: dropped, value: 0 }] };
    made.push(await Resource.create("MapEntries", "ports", connection, rows));
    const hook = {
      program: filter.entrypoint("drop_ports"),
      xdp: { interface: dataInterface, mode: "native" },
    };
    made.push(await Resource.create("Attachment", "filter", connection, hook));
    return await use(filter);
  } finally {
    for (const resource of made.reverse()) await resource.delete();
  }
}

const asManyAsOneCoreSends = 0;

interface Verdicts {
  wrong: number;
  /** To the port that is dropped. */
  sent: number;
  seconds: number;
}

async function underFlood(
  lab: Lab,
  work: () => Promise<unknown>,
  packetsPerSecond = asManyAsOneCoreSends,
): Promise<Verdicts> {
  const limit = { seconds: 1800 };
  const flood = await Flood.start(lab.client, lab.host(), { ...limit, port: dropped, packetsPerSecond });
  const trickle = await Flood.start(lab.client, lab.host(), { ...limit, port: passed });
  await Promise.all([flood.sending(1000), trickle.flowing(100)]);
  let took = 0;
  try {
    took = await seconds(work);
  } finally {
    await Promise.all([flood.sending(1000), trickle.flowing(100)]); // what the last swap did shows now
  }
  const [{ received, sent }, { lost }] = await Promise.all([flood.stop(), trickle.stop()]);
  return { wrong: received + lost, sent, seconds: took };
}

function remarkOn(runs: Verdicts[]): string {
  const packets = median(runs.map(({ sent }) => sent));
  const rate = median(runs.map(({ sent, seconds: time }) => sent / time));
  return `flood of ${packets.toLocaleString("en-US")} packets, ${Math.round(rate / 1000)},000 a second`;
}
