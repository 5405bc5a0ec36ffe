/** The main job on a host of this machine's kernel, in each mode of the provider. */
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import { mainJob } from "./main-job";

for (const mode of modesUnderTest(["dynamic", "plugin"])) {
  describe(`A host in a network namespace, ${mode} mode`, function () {
    this.timeout(120_000);
    let lab: Lab;

    before(async () => {
      lab = await Lab.create();
    });

    after(() => lab?.destroy());

    mainJob(() => lab, { packetsPerSecond: 50_000, mode });
  });
}
