/** Looks at what a refresh will ask for next. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { type Look, lookAhead } from "../../../provider/lifecycle/look-ahead";
import type { ObserveAnswer, ParamsOf, Verb } from "../../../provider/protocol/messages";
import type { AgentSession } from "../../../provider/transport/session";

describe("looking ahead", () => {
  const ids = Array.from({ length: 1000 }, (_, i) => `shop/prod/Map/${i}`);
  /** Ids of each call of observe. */
  let asked: string[][];
  let lists: number;
  /** What the host holds, by id: the answer's revision tells when it was looked at. */
  let revision: number;
  let failing: string | undefined;
  let applying: boolean;
  let look: Look;
  let session: AgentSession;

  beforeEach(() => {
    [asked, lists, revision, failing, applying] = [[], 0, 1, undefined, false];
    const held = [...ids, "shop/test/Map/0", "bank/prod/Map/0"];
    const call = async (verb: Verb, params: unknown) => {
      if (verb === "list") {
        lists++;
        return held.map((id, i) => ({ id, appliedAt: new Date(i).toISOString() })).reverse();
      }
      const { ids } = params as ParamsOf<"observe">;
      asked.push(ids);
      if (failing !== undefined && ids.includes(failing)) throw new Error("connection closed");
      return ids.map((id): ObserveAnswer => ({ status: { id, revision } as never, inputs: {} }));
    };
    session = { host: "edge-1", call } as unknown as AgentSession;
    look = lookAhead(() => !applying);
  });

  async function readAll(some: string[]): Promise<void> {
    for (const id of some) {
      assert.equal((await look(session, id))!.status.id, id);
      await setImmediate();
    }
  }

  it("takes a handful of calls for a thousand resources that are asked for one by one, each looked at once", async () => {
    await readAll(ids);
    assert.ok(asked.length <= 16, `${asked.length} calls`);
    assert.deepEqual(asked.flat().sort(), [...ids].sort());
    assert.equal(lists, 1);
  });

  it("looks at those of the stack that were applied first, and at no other stack's", async () => {
    await readAll(ids.slice(0, 10));
    assert.deepEqual(asked.flat(), ids.slice(0, asked.flat().length));
    await readAll(ids);
    assert.equal(
      asked.flat().find((id) => !id.startsWith("shop/prod/")),
      undefined,
    );
  });

  it("looks further before all that it knows was asked for", async () => {
    await readAll(ids.slice(0, 16));
    for (const id of ids.slice(16)) {
      assert.ok(asked.flat().includes(id), `${id} was not looked at before`);
      await readAll([id]);
    }
  });

  it("looks at nothing else when few are asked for", async () => {
    await readAll(ids.slice(0, 7));
    assert.equal(lists, 0);
    assert.deepEqual(asked.flat(), ids.slice(0, 7));
  });

  it("looks again at what is asked for a second time", async () => {
    await readAll(ids.slice(0, 20));
    revision = 2;
    assert.equal((await look(session, ids[10]!))!.status.revision, 2);
  });

  it("takes no earlier answer once something is applied", async () => {
    await readAll(ids.slice(0, 10));
    [applying, revision] = [true, 2];
    assert.equal((await look(session, ids[11]!))!.status.revision, 2);
    assert.deepEqual(asked.at(-1), [ids[11]]);
  });

  it("asks anew for what a look ahead could not tell", async () => {
    failing = ids[30];
    await readAll(ids.slice(0, 8));
    await assert.rejects(look(session, ids[8]!), /connection closed/);
    failing = undefined;
    await readAll(ids);
  });

  it("ends for a caller who gives up", async () => {
    await readAll(ids.slice(0, 9));
    const call = { signal: AbortSignal.abort() };
    await assert.rejects(look(session, ids[9]!, call), { code: "cancelled" });
  });
});
