/** The main job on a host of this machine's kernel. */
import { Lab } from "../support/lab";
import { mainJob } from "./main-job";

describe("A host in a network namespace", function () {
  this.timeout(120_000);
  let lab: Lab;

  before(async () => {
    lab = await Lab.create();
  });

  after(() => lab?.destroy());

  mainJob(() => lab, { packetsPerSecond: 50_000 });
});
