import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as dial, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { EbpfError } from "../../provider/errors";
import type { Connection } from "../../provider/transport/connection";
import { SessionPool } from "../../provider/transport/pool";
import { AGENTS, failure, SessionSuite } from "./session-suite";
import { eventually } from "./ssh-suite";

describe("connection cut after so many bytes", () => {
  const suite = new SessionSuite([{}]);
  let proxy: CuttingProxy;
  before(async () => {
    proxy = await CuttingProxy.start(suite.host.connection.host);
  });
  after(() => proxy?.end());

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
        proxy.cut();
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

/** Passes TCP on to port 22 of a host, until so many bytes have gone towards the host. */
class CuttingProxy {
  cutAfter = Infinity;
  /** Nothing more is taken from the operator after so many bytes. */
  stopAfter = Infinity;
  stopped = false;
  passed = 0;
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async start(host: string): Promise<CuttingProxy> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const proxy = new CuttingProxy(server, (server.address() as { port: number }).port);
    server.on("connection", (near: Socket) => proxy.pass(near, dial(22, host)));
    return proxy;
  }

  end(): void {
    this.server.close();
    this.cut();
  }

  /** As at the start. */
  restore(): void {
    [this.cutAfter, this.stopAfter, this.stopped, this.passed] = [Infinity, Infinity, false, 0];
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  private pass(near: Socket, far: Socket): void {
    for (const socket of [near, far]) {
      this.sockets.add(socket);
      socket
        .on("error", () => {})
        .on("close", () => {
          near.destroy();
          far.destroy();
        });
    }
    far.pipe(near);
    near.on("data", (chunk: Buffer) => {
      const rest = this.cutAfter - this.passed;
      this.passed += chunk.length;
      if (this.passed >= this.stopAfter) {
        this.stopped = true;
        near.pause();
      }
      far.write(chunk.subarray(0, Math.max(0, Math.min(chunk.length, rest))), () => {
        if (this.passed >= this.cutAfter) near.destroy();
      });
    });
  }
}
