/** All that is seen on each kernel, in one machine: booting it and sending it the agent takes longer than many a test. */
import assert from "node:assert/strict";
import { mainJob } from "../e2e/main-job";
import { Flood, ping } from "../support/traffic";
import { kernelLimits } from "./kernel-limits";
import type { KernelName } from "./machine/images";
import { carried, Vm } from "./machine/vm";
import { policyLife } from "./policy-life";

export function onKernel(kernel: KernelName): void {
  describe(`Linux ${kernel} in a virtual machine`, function () {
    this.timeout(600_000);
    let vm: Vm;

    before(async () => {
      vm = await Vm.boot(kernel);
    });

    after(() => vm?.destroy());

    it("runs that kernel, with BTF, two processors and a bpffs", async () => {
      const script = "uname -r; nproc; stat -f -c %T /sys/fs/bpf; wc -c < /sys/kernel/btf/vmlinux";
      const { stdout } = await vm.host().exec(["sh", "-c", script]);
      const [release, processors, fileSystem, btfBytes] = stdout.trim().split("\n");
      assert.deepEqual([release, processors, fileSystem], [vm.release, "2", "bpf_fs"]);
      assert.ok(Number(btfBytes) > 1_000_000, `${btfBytes} bytes of BTF`);
    });

    it("carries packets from its client to eth0 without loss", async () => {
      assert.equal(await ping(vm.client, vm.host().address), 3);
      const flood = await Flood.start(vm.client, vm.host(), { packetsPerSecond: 200 });
      await flood.flowing(200);
      const { sent, lost } = await flood.stop();
      assert.equal(lost, 0, `${lost} of ${sent} lost`);
    });

    mainJob(() => vm, carried);

    describe("Given a host without Node", () => {
      it("when the agent ran there, then a runtime came with it", async () => {
        const { code } = await vm.host().exec(["sh", "-c", "command -v node"], { check: false });
        assert.notEqual(code, 0, "the machine has a node of its own");
        assert.notEqual(await vm.agentNode(), "");
      });
    });

    kernelLimits(kernel, () => vm);
    policyLife(kernel, () => vm);
  });
}
