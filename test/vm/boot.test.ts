import assert from "node:assert/strict";
import { Flood, ping } from "../support/traffic.js";
import { kernels } from "./machine/images.js";
import { Vm } from "./machine/vm.js";

for (const kernel of kernels) {
  describe(`virtual machine with kernel ${kernel}`, function () {
    this.timeout(2_700_000); // the first one builds the images
    let vm: Vm;
    before(async () => {
      vm = await Vm.boot(kernel);
    });
    after(() => vm?.destroy());

    it("runs that kernel, with BTF, two processors and a bpffs", async () => {
      const host = vm.host();
      const script = "uname -r; nproc; stat -f -c %T /sys/fs/bpf; wc -c < /sys/kernel/btf/vmlinux";
      const { stdout } = await host.exec(["sh", "-c", script]);
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
  });
}
