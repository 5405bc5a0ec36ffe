/**
 * Rows up-100 and preview-1000: whole Pulumi operations, against the same operations on a provider that does nothing.
 */
import { Lab } from "../../support/lab.js";
import { Deployment, type Plan } from "../deployment.js";
import { compileObject, inDirectory } from "../objects.js";
import { type Bench, inTurn, ratioAtMost, type RowGroup } from "../row.js";

const interfaces = Array.from({ length: 10 }, (_, i) => `bench${i}`);

export const deployment: RowGroup = {
  names: ["up-100", "preview-1000"],
  run: (wanted, bench) =>
    inDirectory(async (directory) => {
      const object = await compileObject("filter", directory);
      const lab = await Lab.create();
      try {
        for (const name of interfaces) await lab.host().addInterface(name);
        const plan = (programs: number, maps: number): Plan => ({
          hosts: [lab.host().connection],
          object,
          entrypoint: "count_packets",
          interfaces,
          programs,
          maps,
          rows: 0,
        });
        if (wanted.has("up-100")) await measureUp(plan(100, 0), bench);
        if (wanted.has("preview-1000")) await measurePreview(plan(250, 250), bench);
      } finally {
        await lab.destroy();
      }
    }),
};

async function measureUp(plan: Plan, bench: Bench): Promise<void> {
  await Deployment.pair(plan, async (ours, empty) => {
    bench.say(`${bench.repeat} pairs of up and destroy, 100 Programs and 100 Attachments`);
    const fresh = async (stack: Deployment): Promise<number> => {
      const time = await stack.up();
      await stack.destroy();
      return time;
    };
    const values = await inTurn(
      bench.repeat,
      () => fresh(ours),
      () => fresh(empty),
    );
    bench.report({
      name: "up-100",
      ...values,
      unit: "s",
      goal: ratioAtMost(2),
      compares: "up of 100 Programs and 100 Attachments on one host, against an empty dynamic provider",
    });
  });
}

async function measurePreview(plan: Plan, bench: Bench): Promise<void> {
  await Deployment.pair(plan, async (ours, empty) => {
    bench.say("up of 1,000 resources, twice");
    // not timed; the whole checkpoint after each of 1,000 steps takes the engine a minute
    for (const stack of [ours, empty]) await stack.up({ checkpoints: false });
    bench.say(`${bench.repeat} pairs of preview`);
    const values = await inTurn(
      bench.repeat,
      () => ours.previewUnchanged(),
      () => empty.previewUnchanged(),
    );
    await ours.destroy({ checkpoints: false });
    bench.report({
      name: "preview-1000",
      ...values,
      unit: "s",
      goal: ratioAtMost(1.15),
      compares: "preview of 1,000 unchanged resources of all four kinds, against an empty dynamic provider",
    });
  });
}
