/** Changes that must be confirmed over a new connection, else the host goes back. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { closeAll } from "../../provider/transport/pool";
import { Lab } from "../support/lab";
import { ManagedResource } from "../support/managed-resource";
import { modesUnderTest } from "../support/modes";
import { bpffsOf, programOnEth0, says } from "./filter";

type Properties = Record<string, unknown>;

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");
const confirm = { withinSeconds: 5 };

for (const mode of modesUnderTest()) {
  describe(`Given a change that must be confirmed, ${mode} mode`, function () {
    this.timeout(180_000);
    let lab: Lab;
    let program: ManagedResource;
    let attachment: ManagedResource;

    beforeEach(async () => {
      ManagedResource.useMode(mode);
      lab = await Lab.create();
      program = await ManagedResource.create("Program", "filter", programArgs(1));
      attachment = await ManagedResource.create("Attachment", "eth0", {
        program: program.entrypoint("xdp_filter"),
        xdp: { interface: "eth0" },
        connection: connection(),
        confirm,
      });
    });

    afterEach(async () => {
      ManagedResource.useMode("dynamic");
      closeAll();
      await lab?.destroy();
    });

    const connection = (): Properties => ({ ...lab.host().connection, dialErrorLimit: 2, perDialTimeout: 2 });
    const programArgs = (version: number): Properties => ({
      connection: connection(),
      source: fixture,
      globals: { version },
      confirm,
    });

    /** Pids of what waits on the host for a confirmation. */
    async function clocks(): Promise<string> {
      return (await lab.host().exec(["pgrep", "-f", "agent.js revert"], { check: false })).stdout.trim();
    }

    it("when a new connection stands, then it stays, and nothing of it is left on the host", async () => {
      const logins = async () =>
        Number((await lab.host().exec(["grep", "-c", "Accepted publickey", "/run/host/sshd.log"])).stdout);
      const before = await logins();
      await program.update(programArgs(2));
      assert.equal(await logins(), before + 1, "it was confirmed by another TCP connection");
      assert.equal(await clocks(), "");
      await sleep(6_000);
      assert.deepEqual(await program.refresh(), []);
      assert.deepEqual(await attachment.refresh(), []);
    });

    /** What `version` is in the program that runs on eth0. */
    async function runningVersion(): Promise<number> {
      const id = String(await programOnEth0(lab.host()));
      const { map_ids } = await lab.host().bpftool<{ map_ids: number[] }>("prog", "show", "id", id);
      for (const map of map_ids) {
        const text = JSON.stringify(await lab.host().bpftool("map", "dump", "id", String(map)));
        const [, version] = /"version":(\d+)/.exec(text) ?? [];
        if (version !== undefined) return Number(version);
      }
      throw new Error(`program ${id} has no global "version"`);
    }

    it("when sshd takes no new connections, then it goes back and says so", async () => {
      await lab.host().stopListener();
      setTimeout(() => void lab.host().start(), 4_000);
      await assert.rejects(
        program.update(programArgs(2)),
        says(/confirm: .*not confirmed: .*the host went back to what it had before/s),
      );
      assert.equal(await runningVersion(), 1);
      const [drift] = (await program.refresh())!;
      assert.match(drift!, /^went back at .*: not confirmed$/);
      assert.deepEqual(await attachment.refresh(), []);
      assert.equal(await clocks(), "");
      await program.update(programArgs(3));
      assert.equal(await runningVersion(), 3);
      assert.deepEqual(await program.refresh(), []);
    });

    it("when every connection is cut meanwhile, then the host goes back alone", async () => {
      await lab.host().stopListener();
      const updating = assert.rejects(program.update(programArgs(2)), says(/not confirmed: .*went back/s));
      for (let tries = 0; (await clocks()) === "" && tries < 500; tries++) await sleep(10);
      await lab.host().dropSessions();
      setTimeout(() => void lab.host().start(), 4_000);
      await updating;
      assert.equal(await runningVersion(), 1);
      assert.equal(await clocks(), "");
    });

    it("when it creates what was not there, then nothing of it stays", async () => {
      await attachment.delete();
      await program.delete();
      await lab.host().stopListener();
      setTimeout(() => void lab.host().start(), 4_000);
      await assert.rejects(
        ManagedResource.create("Program", "other", programArgs(1)),
        says(/not confirmed: .*it was taken away again/s),
      );
      assert.deepEqual(await bpffsOf(lab.host()), []);
    });
  });
}
