/** What fails in the middle: the agent, the network, the disk, bpffs. The next apply converges, nothing is left. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { closeAll } from "../../provider/transport/pool";
import { CuttingProxy } from "../support/cutting-proxy";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import { CheckFailed, ManagedResource } from "../support/managed-resource";
import { Flood } from "../support/traffic";
import { bpffsOf, programOnEth0, says } from "./filter";

type Properties = Record<string, unknown>;

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");

for (const mode of modesUnderTest()) {
  describe(`Given something that fails in the middle, ${mode} mode`, function () {
    this.timeout(180_000);
    let lab: Lab;
    let connection: Properties;

    beforeEach(async () => {
      ManagedResource.useMode(mode);
      lab = await Lab.create();
      connection = { ...lab.host().connection, dialErrorLimit: 3 };
    });

    afterEach(async () => {
      ManagedResource.useMode("dynamic");
      closeAll();
      await lab?.destroy();
    });

    const programArgs = (version: number): Properties => ({
      connection,
      source: fixture,
      globals: { version },
    });
    const rows = (port: number): Properties[] => [{ key: port, value: { action: "DROP", note: port } }];
    const attachmentArgs = (program: ManagedResource): Properties => ({
      connection,
      program: program.entrypoint("xdp_filter"),
      xdp: { interface: "eth0" },
    });

    async function assertEmpty(): Promise<void> {
      assert.deepEqual(await bpffsOf(lab.host()), []);
      const { stdout } = await lab
        .host()
        .exec(["find", "/var/lib/pulumi-ebpf/records", "-type", "f"], { check: false });
      assert.equal(stdout, "");
    }

    it("when the agent dies at any action of a swap under traffic, then the old or the new program judges every packet", async () => {
      const program = await ManagedResource.create("Program", "filter", programArgs(1));
      const entries = await ManagedResource.create("MapEntries", "ports", {
        connection,
        map: program.map("ports"),
        entries: rows(9001),
      });
      const attachment = await ManagedResource.create("Attachment", "eth0", attachmentArgs(program));
      const flood = await Flood.start(lab.client, lab.host(), {
        port: 9001,
        packetsPerSecond: 5_000,
        seconds: 170,
      });
      await flood.sending(1000);
      let actions = 0;
      for (let survived = false; !survived; actions++) {
        await lab.host().injectFault(`apply:${actions}:kill`);
        closeAll();
        const args = programArgs(actions + 2);
        survived = await program.update(args).then(
          () => true,
          () => false,
        );
        await lab.host().injectFault();
        closeAll();
        if (!survived) await program.update(args);
        assert.deepEqual(await program.refresh(), []);
        assert.deepEqual(await attachment.refresh(), []);
        const { programId } = (program.state["entrypoints"] as Record<string, { programId: number }>)[
          "xdp_filter"
        ]!;
        assert.equal(await programOnEth0(lab.host()), programId);
      }
      const { sent, received } = await flood.stop();
      assert.equal(received, 0, `of ${sent} packets that every version drops`);
      assert.ok(actions > 5, `${actions} actions`);
      for (const resource of [attachment, entries, program]) await resource.delete();
      await assertEmpty();
    });

    it("when the agent dies at any action of remove, then the next delete finishes", async () => {
      for (let action = 0, survived = false; !survived; action++) {
        const program = await ManagedResource.create("Program", "filter", programArgs(1));
        const attachment = await ManagedResource.create("Attachment", "eth0", attachmentArgs(program));
        await lab.host().injectFault(`remove:${action}:kill`);
        closeAll();
        survived = await attachment.delete().then(
          () => true,
          () => false,
        );
        await lab.host().injectFault();
        closeAll();
        await attachment.delete();
        await program.delete();
        assert.equal(await programOnEth0(lab.host()), undefined);
        await assertEmpty();
      }
    });

    it("when the connection is cut at any message, then the next up converges and destroy leaves nothing", async () => {
      const host = lab.host().connection;
      const proxy = await CuttingProxy.to(host.host, host.port);
      try {
        connection = { ...connection, host: "127.0.0.1", port: proxy.port, dialErrorLimit: 1 };
        const program = await ManagedResource.create("Program", "filter", programArgs(0));
        for (let pieces = 1, whole = false; !whole; pieces++) {
          closeAll();
          proxy.restore();
          proxy.remaining = pieces;
          const args = programArgs(pieces);
          const outcome = await program.update(args).then(
            () => true,
            () => false,
          );
          whole = outcome && !proxy.cut;
          proxy.remaining = Infinity;
          closeAll();
          await program.update(args);
          assert.deepEqual(await program.refresh(), []);
        }
        await program.delete();
        await assertEmpty();
      } finally {
        closeAll();
        await proxy.close();
      }
    });

    it("when the disk is full, then the error says so, nothing is half-done, and the next up works", async () => {
      const program = await ManagedResource.create("Program", "filter", programArgs(1));
      const before = await bpffsOf(lab.host());
      await lab
        .host()
        .exec(["sh", "-c", "dd if=/dev/zero of=/var/lib/pulumi-ebpf/filler bs=4k 2>/dev/null || true"]);
      await assert.rejects(program.update(programArgs(2)), says(/space|disk/i));
      await assert.rejects(
        ManagedResource.create("Program", "second", { ...programArgs(1), defines: { MAX_PORTS: "7" } }),
        says(/space|disk/i),
      );
      assert.deepEqual(await bpffsOf(lab.host()), before);
      await lab.host().exec(["rm", "/var/lib/pulumi-ebpf/filler"]);
      await program.update(programArgs(2));
      assert.deepEqual(await program.refresh(), []);
      await program.delete();
      await assertEmpty();
    });

    it("when bpffs is read-only, then the error says so, nothing is half-done, and the next up works", async () => {
      const program = await ManagedResource.create("Program", "filter", programArgs(1));
      const before = await bpffsOf(lab.host());
      await lab.host().exec(["mount", "-o", "remount,ro", "/sys/fs/bpf"]);
      await assert.rejects(program.update(programArgs(2)), (error: Error) => {
        assert.ok(!(error instanceof CheckFailed) || /bpf/.test(error.message));
        assert.match(error.message, /\/sys\/fs\/bpf|bpffs|read-only/i);
        return true;
      });
      assert.deepEqual(await bpffsOf(lab.host()), before);
      await lab.host().exec(["mount", "-o", "remount,rw", "/sys/fs/bpf"]);
      await program.update(programArgs(2));
      assert.deepEqual(await program.refresh(), []);
      await program.delete();
      await assertEmpty();
    });

    it("when the host reboots, then refresh says what is not loaded, and up brings it all back", async () => {
      const program = await ManagedResource.create("Program", "filter", programArgs(1));
      const entries = await ManagedResource.create("MapEntries", "ports", {
        connection,
        map: program.map("ports"),
        entries: rows(9001),
      });
      const attachment = await ManagedResource.create("Attachment", "eth0", attachmentArgs(program));
      await lab.host().reboot();
      closeAll();
      for (const resource of [program, entries, attachment]) {
        assert.match((await resource.refresh())?.join() ?? "", /not loaded|boot/i);
      }
      await program.update(programArgs(1));
      await entries.update({ connection, map: program.map("ports"), entries: rows(9001) });
      await attachment.update(attachmentArgs(program));
      for (const resource of [program, entries, attachment]) assert.deepEqual(await resource.refresh(), []);
      assert.notEqual(await programOnEth0(lab.host()), undefined);
      for (const resource of [attachment, entries, program]) await resource.delete();
      await assertEmpty();
    });
  });
}
