/**
 * Rows of both modes: up, preview and refresh of 1,000 resources of all four kinds on one host, against the same
 * program with providers that do nothing; and the start of the plugin, against a plugin that does nothing.
 */
import { Lab } from "../../support/lab.js";
import { type Mode } from "../../support/modes.js";
import { type NetnsHost } from "../../support/netns-host.js";
import { Deployment } from "../deployment.js";
import { compileObject, inDirectory } from "../objects.js";
import { ssh } from "../openssh.js";
import { startPlugin } from "../plugin.js";
import {
  atMostMore,
  type Bench,
  inTurn,
  median,
  ratioAtMost,
  ratioAtMostAfter,
  type RowGroup,
  seconds,
} from "../row.js";

const modes: Mode[] = ["dynamic", "plugin"];
const operations = ["up", "preview", "refresh"] as const;
const interfaces = Array.from({ length: 10 }, (_, i) => `bench${i}`);
const nameOf = (operation: (typeof operations)[number], mode: Mode): string => `${operation}-1000-${mode}`;

export const provider: RowGroup = {
  names: ["plugin-start", ...modes.flatMap((mode) => operations.map((operation) => nameOf(operation, mode)))],
  run: (wanted, bench) =>
    inDirectory(async (directory) => {
      if (wanted.has("plugin-start")) await measureStart(bench);
      const ofMode = modes.filter((mode) =>
        operations.some((operation) => wanted.has(nameOf(operation, mode))),
      );
      if (ofMode.length === 0) return;
      const object = await compileObject("filter", directory);
      const lab = await Lab.create();
      try {
        const host = lab.host();
        for (const name of interfaces) await host.addInterface(name);
        for (const mode of ofMode) await measureMode(mode, wanted, host, object, bench);
      } finally {
        await lab.destroy();
      }
    }),
};

async function measureStart(bench: Bench): Promise<void> {
  const values = await inTurn(
    Math.max(bench.repeat, 5),
    () => startPlugin("pulumi-ebpf"),
    () => startPlugin("empty"),
  );
  bench.report({
    name: "plugin-start",
    ...values,
    unit: "s",
    goal: atMostMore(0.25, "s"),
    compares: "start of the plugin to its answer to the first Check, against an empty plugin",
  });
}

async function measureMode(
  mode: Mode,
  wanted: ReadonlySet<string>,
  host: NetnsHost,
  object: string,
  bench: Bench,
): Promise<void> {
  const has = (operation: (typeof operations)[number]): boolean => wanted.has(nameOf(operation, mode));
  const against = mode === "plugin" ? "an empty plugin" : "an empty dynamic provider";
  const plan = {
    hosts: [host.connection],
    object,
    entrypoint: "count_packets" as const,
    interfaces,
    programs: 250,
    maps: 250,
    rows: 0,
  };
  const use = async (ours: Deployment, empty: Deployment): Promise<void> => {
    // the whole checkpoint after each of 1,000 steps takes the engine a minute, in both
    const [up, destroy] = [(of: Deployment) => of.up(quick), (of: Deployment) => of.destroy(quick)];
    const fresh = async (of: Deployment): Promise<number> => {
      const time = await up(of);
      await destroy(of);
      return time;
    };
    if (has("up")) {
      bench.say(`${mode} mode: ${bench.repeat} pairs of up and destroy, 1,000 resources`);
      bench.report({
        name: nameOf("up", mode),
        ...(await inTurn(
          bench.repeat,
          () => fresh(ours),
          () => fresh(empty),
        )),
        unit: "s",
        goal: ratioAtMost(2),
        compares: `up of 1,000 resources, without the engine's checkpoints, against ${against}`,
      });
    }
    if (!has("preview") && !has("refresh")) return;
    bench.say(`${mode} mode: ${bench.repeat} pairs of preview and refresh`);
    for (const stack of [ours, empty]) await up(stack);
    if (has("preview")) {
      bench.report({
        name: nameOf("preview", mode),
        ...(await inTurn(
          bench.repeat,
          () => ours.previewUnchanged(),
          () => empty.previewUnchanged(),
        )),
        unit: "s",
        goal: ratioAtMost(1.1),
        compares: `preview of 1,000 unchanged resources, against ${against}`,
      });
    }
    if (has("refresh")) {
      const trips: number[] = [];
      for (let i = 0; i < bench.repeat; i++) trips.push(await seconds(() => ssh(host, "true")));
      bench.report({
        name: nameOf("refresh", mode),
        ...(await inTurn(
          bench.repeat,
          () => ours.refreshUnchanged(),
          () => empty.refreshUnchanged(),
        )),
        unit: "s",
        goal: ratioAtMostAfter(1.5, median(trips), "one round trip"),
        compares: `refresh of 1,000 unchanged resources on one host, against ${against}`,
        remark: `one round trip (ssh host true) takes ${median(trips).toFixed(2)} s`,
      });
    }
    await destroy(ours);
  };
  await Deployment.pair(plan, use, mode);
}

const quick = { checkpoints: false };
