import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { EbpfError } from "../../provider/errors";
import type { Connection } from "../../provider/transport/connection";
import { SessionPool } from "../../provider/transport/pool";
import { CuttingProxy } from "../support/cutting-proxy";
import { AGENTS, failure, SessionSuite } from "./session-suite";
import { eventually } from "./ssh-suite";

describe("connection cut after so many bytes", () => {
  const suite = new SessionSuite([{}]);
  let proxy: CuttingProxy;
  before(async () => {
    proxy = await CuttingProxy.to(suite.host.connection.host, 22);
  });
  after(() => proxy?.close());

  it("is a clear error at every stage of dial, delivery and call, and leaves nothing half-done", async function () {
    this.timeout(180_000);
    const connection: Connection = {
      ...suite.host.connection,
      host: "127.0.0.1",
      port: proxy.port,
      dialErrorLimit: 1,
    };
    await suite.undeliver();
    await run(connection);
    const whole = proxy.passed;
    const phases = new Set<string>();
    for (let cut = 1; cut < whole; cut = Math.ceil(cut * 1.25)) {
      await suite.undeliver();
      proxy.cutAfter = cut;
      const error = await failure(run(connection));
      assert.ok(EbpfError.is(error, "transport"), `cut after ${cut} bytes: ${error.render()}`);
      phases.add(error.details.phase);
    }
    for (const phase of ["dial", "deliver"])
      assert.ok(phases.has(phase), `${[...phases].join()} has ${phase}`);
    proxy.restore();
    await run(connection);
    await eventually("only the bundle is left", async () => {
      const { stdout } = await suite.host.exec(["ls", "-A", AGENTS]);
      return stdout.trim() === suite.manifest.x64.digest;
    });
  });

  const ends = { "is cut": () => {}, "is cancelled, then cut": (pool: SessionPool) => pool.closeAll() };
  for (const [ending, cancel] of Object.entries(ends)) {
    it(`ends a delivery that ${ending} while the host takes no more`, async function () {
      this.timeout(60_000);
      await suite.undeliver();
      proxy.stopAfter = 1 << 20;
      // what the product ships, which no buffer on the way holds
      const pool = new SessionPool();
      try {
        const connection = { ...suite.host.connection, host: "127.0.0.1", port: proxy.port };
        const opening = failure(pool.open({ ...connection, dialErrorLimit: 1 }));
        await eventually("the proxy takes no more", () => Promise.resolve(proxy.stopped));
        await sleep(1_000);
        cancel(pool);
        proxy.cutAll();
        const late = sleep(10_000, undefined, { ref: false });
        const error = await Promise.race([opening, late]);
        assert.ok(EbpfError.is(error, "transport", "cancelled"), `at once, and not ${String(error)}`);
      } finally {
        proxy.restore();
        pool.closeAll();
      }
    });
  }

  async function run(connection: Connection): Promise<void> {
    const each = suite.newPool();
    proxy.passed = 0;
    try {
      const session = await each.open(connection);
      await session.call("blob.put", { blobs: { a: randomBytes(100_000) } });
    } finally {
      each.closeAll();
    }
  }
});
