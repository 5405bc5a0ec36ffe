/** Looks at one host that come together. */
import assert from "node:assert/strict";
import { EbpfError } from "../../../provider/errors";
import { observeTogether } from "../../../provider/lifecycle/observe-together";
import type { ObserveAnswer, ParamsOf } from "../../../provider/protocol/messages";
import type { AgentSession } from "../../../provider/transport/session";

describe("observing together", () => {
  let asked: string[][];
  let answer: (id: string) => ObserveAnswer;
  let session: AgentSession;

  beforeEach(() => {
    asked = [];
    answer = (id) => ({ status: { id } as never, inputs: {} });
    const call = async (_verb: string, { ids }: ParamsOf<"observe">) => {
      asked.push(ids);
      return ids.map(answer);
    };
    session = { host: "edge-1", call } as unknown as AgentSession;
  });

  it("asks in one call for what is wanted at one time, and gives each its own answer", async () => {
    const found = await Promise.all(["a", "b", "c"].map((id) => observeTogether(session, id)));
    assert.deepEqual(asked, [["a", "b", "c"]]);
    assert.deepEqual(
      found.map((result) => result!.status.id),
      ["a", "b", "c"],
    );
  });

  it("looks again for who comes later", async () => {
    await observeTogether(session, "a");
    await observeTogether(session, "a");
    assert.deepEqual(asked, [["a"], ["a"]]);
  });

  it("asks each host for its own", async () => {
    const other = { ...session };
    await Promise.all([observeTogether(session, "a"), observeTogether(other, "b")]);
    assert.deepEqual(asked, [["a"], ["b"]]);
  });

  it("fails for the one that the host cannot tell, with the host's name, and not for the others", async () => {
    const damaged = new EbpfError("record", "read Record of b: damaged", { id: "b" });
    answer = (id) => (id === "b" ? { error: damaged.toWire() } : null);
    const [a, b] = await Promise.allSettled([observeTogether(session, "a"), observeTogether(session, "b")]);
    assert.deepEqual(a, { status: "fulfilled", value: null });
    assert.ok(b.status === "rejected" && EbpfError.is(b.reason, "record"));
    assert.deepEqual([b.reason.message, b.reason.context.host], [damaged.message, "edge-1"]);
  });

  it("fails for all when the call does", async () => {
    const lost = new EbpfError("transport", "the connection was lost", { phase: "closed" });
    session = { ...session, call: () => Promise.reject(lost) };
    for (const outcome of await Promise.allSettled(["a", "b"].map((id) => observeTogether(session, id)))) {
      assert.ok(outcome.status === "rejected" && outcome.reason === lost);
    }
  });

  it("is cancelled for one, before and during the call, and goes on for the others", async () => {
    const abort = new AbortController();
    const cancelled = observeTogether(session, "a", { signal: abort.signal });
    const other = observeTogether(session, "b", { signal: new AbortController().signal });
    abort.abort();
    await assert.rejects(cancelled, { code: "cancelled", message: "observe a: cancelled" });
    await assert.rejects(observeTogether(session, "c", { signal: abort.signal }), { code: "cancelled" });
    assert.equal((await other)!.status.id, "b");
  });
});
