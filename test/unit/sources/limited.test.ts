import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { limited } from "../../../provider/sources/limited";

describe("limited", () => {
  it("runs no more calls at once than allowed, and all of them in their order", async () => {
    let running = 0;
    let most = 0;
    const begun: number[] = [];
    const work = limited(3, async (index: number) => {
      begun.push(index);
      most = Math.max(most, ++running);
      await turn();
      running--;
      return index * 2;
    });
    const indexes = Array.from({ length: 20 }, (_, index) => index);
    assert.deepEqual(
      await Promise.all(indexes.map((index) => work(index))),
      indexes.map((index) => index * 2),
    );
    assert.equal(most, 3);
    assert.deepEqual(begun, indexes);
  });

  it("goes on after a call that failed", async () => {
    const work = limited(1, async (index: number) => {
      await turn();
      if (index === 0) throw new Error("first");
      return index;
    });
    const outcomes = await Promise.allSettled([work(0), work(1), work(2)]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ["rejected", "fulfilled", "fulfilled"],
    );
  });
});
