/** The main job on real kernels: in virtual machines that have no Node, reached by SSH like any host. */
import assert from "node:assert/strict";
import { mainJob } from "../e2e/main-job";
import { kernels } from "./machine/images";
import { carried, Vm } from "./machine/vm";

for (const kernel of kernels) {
  describe(`A virtual machine with kernel ${kernel}`, function () {
    this.timeout(600_000);
    let vm: Vm;

    before(async () => {
      vm = await Vm.boot(kernel);
    });

    after(() => vm?.destroy());

    mainJob(() => vm, carried);

    describe("Given a host without Node", () => {
      it("when the agent ran there, then a runtime came with it", async () => {
        const { code } = await vm.host().exec(["sh", "-c", "command -v node"], { check: false });
        assert.notEqual(code, 0, "the machine has a node of its own");
        assert.notEqual(await vm.agentNode(), "");
      });
    });
  });
}
