import assert from "node:assert/strict";
import { createServer } from "node:net";
import { type AddressInfo } from "node:net";
import { watchEngine } from "../../../provider/adapters/engine-watch";

describe("watchEngine", () => {
  it("stays while the engine listens, and ends within a few polls after it is gone", async () => {
    const server = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    let gone = false;
    const ended = new Promise<void>((resolve) =>
      watchEngine(`127.0.0.1:${port}`, () => {
        gone = true;
        resolve();
      }),
    );
    // the watch keeps no process alive; this timer does
    const alive = setInterval(() => undefined, 1000);
    try {
      await new Promise((resolve) => setTimeout(resolve, 2500));
      assert.equal(gone, false);
      await new Promise((resolve) => server.close(resolve));
      await ended;
    } finally {
      clearInterval(alive);
      server.close();
    }
  });

  it("does nothing without an address", () => {
    watchEngine("--logtostderr", () => assert.fail("it ended"));
  });
});
