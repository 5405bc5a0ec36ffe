/** The main job on real kernels: in virtual machines that have no Node, reached by SSH like any host. */
import { mainJob } from "../e2e/main-job";
import { kernels } from "./machine/images";
import { Vm } from "./machine/vm";

for (const kernel of kernels) {
  describe(`A virtual machine with kernel ${kernel}`, function () {
    this.timeout(600_000);
    let vm: Vm;

    before(async () => {
      vm = await Vm.boot(kernel);
    });

    after(() => vm?.destroy());

    mainJob(() => vm, { packetsPerSecond: 2_000 });
  });
}
