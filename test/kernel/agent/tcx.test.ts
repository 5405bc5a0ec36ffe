/** TCX: the order of programs on one hook, and who may stand where. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import { interfaceIndex, queryTcx } from "../../../provider/bpf";
import { EbpfError } from "../../../provider/errors";
import type { Order, TcxHook } from "../../../provider/protocol/hooks";
import { closesEverything, PrivateNetwork } from "../bpf/support";
import { compileGuard, linkId, linkSpec, programId, programSpec, TestHost } from "./support";

const guard = compileGuard();
const entrypoints = ["tc_guard"];

describe("tcx", function () {
  this.timeout(60_000);
  closesEverything();
  let host: TestHost;
  let network: PrivateNetwork;

  const tcxHook = (changes: Partial<TcxHook> = {}): TcxHook => ({
    type: "tcx",
    interface: "veth0",
    netns: network.name,
    direction: "ingress",
    fallback: "none",
    ...changes,
  });
  // Debian 12's bpftool is older than TCX; this is BPF_PROG_QUERY of the kernel
  const order = () =>
    network.inside(() =>
      queryTcx(interfaceIndex("veth0"), "ingress").programs.map(({ programId: id }) => id),
    );

  const second = "demo/other/Attachment/second";
  const secondProgram = "demo/other/Program/second";
  const third = "demo/other/Attachment/third";
  const id = async (spec: string) => (await host.agent.observe(spec)).links.link!.programId;

  beforeEach(async () => {
    host = new TestHost();
    network = new PrivateNetwork();
    await host.agent.put(guard);
    await host.agent.apply(programSpec(guard, { entrypoints }));
    await host.agent.apply(programSpec(guard, { entrypoints }, secondProgram));
  });
  afterEach(async () => {
    await host.agent.remove(third, second, linkId, secondProgram, programId);
    host.assertEmpty();
    await host.remove();
    network.remove();
  });

  it("puts first before, last behind, and beside an anchor", async () => {
    const { agent } = host;
    await agent.apply(linkSpec(tcxHook(), "tc_guard"));
    await agent.apply(linkSpec(tcxHook({ order: "first" }), "tc_guard", second, secondProgram));
    assert.deepEqual(order(), [await id(second), await id(linkId)]);
    await agent.apply(
      linkSpec(tcxHook({ order: { before: { spec: linkId } } }), "tc_guard", second, secondProgram),
    );
    assert.deepEqual(order(), [await id(second), await id(linkId)]);
    await agent.apply(
      linkSpec(tcxHook({ order: { after: { spec: linkId } } }), "tc_guard", second, secondProgram),
    );
    assert.deepEqual(order(), [await id(linkId), await id(second)]);
    assert.deepEqual(await agent.drift(second), []);
  });

  it("names the program that took the first place, and moves back before it by a clone", async () => {
    const { agent } = host;
    await agent.apply(linkSpec(tcxHook({ order: "first" }), "tc_guard"));
    await agent.apply(
      linkSpec(tcxHook({ order: { before: { spec: linkId } } }), "tc_guard", second, secondProgram),
    );
    assert.match(
      (await agent.drift(linkId)).join(),
      /^moved: tcx ingress of veth0.*demo\/other\/Attachment\/second stands before it/,
    );
    await agent.apply(linkSpec(tcxHook({ order: "last" }), "tc_guard", second, secondProgram));
    const status = await agent.apply(linkSpec(tcxHook({ order: "first" }), "tc_guard"));
    assert.deepEqual(status.drift, []);
    assert.deepEqual(order(), [await id(linkId), await id(second)]);
    await agent.apply(programSpec(guard, { entrypoints, verdict: 1 }));
    assert.deepEqual(await agent.drift(linkId), []);
  });

  it("refuses a second first, naming the other", async () => {
    const { agent } = host;
    await agent.apply(linkSpec(tcxHook({ order: "first" }), "tc_guard"));
    await assert.rejects(
      agent.apply(linkSpec(tcxHook({ order: "first" }), "tc_guard", second, secondProgram)),
      (error) => EbpfError.is(error, "conflict") && error.details.owner === linkId,
    );
  });

  it("refuses the same program twice", async () => {
    const { agent } = host;
    await agent.apply(linkSpec(tcxHook(), "tc_guard"));
    await assert.rejects(
      agent.apply(linkSpec(tcxHook(), "tc_guard", third)),
      (error) => EbpfError.is(error, "conflict") && error.details.owner === linkId,
    );
  });

  it("refuses by update, too, a program that is there already", async () => {
    const { agent } = host;
    await agent.apply(linkSpec(tcxHook(), "tc_guard"));
    await agent.apply(linkSpec(tcxHook(), "tc_guard", second, secondProgram));
    const before = order();
    await assert.rejects(
      agent.apply(linkSpec(tcxHook(), "tc_guard", second)),
      (error) => EbpfError.is(error, "conflict") && error.details.owner === linkId,
    );
    assert.deepEqual(order(), before);
    assert.deepEqual(await agent.drift(second), []);
  });

  const wishes: { [title: string]: { wish: Order; breaker: Order } } = {
    first: { wish: "first", breaker: { before: { spec: linkId } } },
    last: { wish: "last", breaker: { after: { spec: linkId } } },
    before: { wish: { before: { spec: second } }, breaker: { before: { spec: linkId } } },
    after: { wish: { after: { spec: second } }, breaker: { after: { spec: linkId } } },
  };
  for (const [title, { wish, breaker }] of Object.entries(wishes)) {
    it(`shows a broken "${title}" as drift, says in plan that a clone runs too, and moves back`, async () => {
      const { agent } = host;
      await agent.apply(linkSpec(tcxHook(), "tc_guard", second, secondProgram));
      await agent.apply(linkSpec(tcxHook({ order: wish }), "tc_guard"));
      assert.deepEqual(await agent.drift(linkId), []);
      const wished = order().indexOf(await id(linkId));
      await agent.apply(linkSpec(tcxHook({ order: breaker }), "tc_guard", second, secondProgram));
      assert.match((await agent.drift(linkId)).join(), new RegExp(`^moved: .*${second} stands`));
      await agent.apply(linkSpec(tcxHook(), "tc_guard", second, secondProgram));

      const spec = linkSpec(tcxHook({ order: wish }), "tc_guard");
      const { warnings } = await agent.call("plan", { spec, blobs: {} });
      assert.match(warnings.map(({ message }) => message).join(), /for an instant the program ran twice/);
      await agent.apply(spec);
      assert.deepEqual(await agent.drift(linkId), []);
      assert.equal(order().indexOf(await id(linkId)), wished);
      assert.equal(order().length, 2);
    });
  }

  it("attaches while another process changes the hook all the time", async () => {
    const { agent } = host;
    const restless = ["demo/other/Program/one", "demo/other/Program/two"];
    const ids: number[] = [];
    for (const name of restless) {
      const { programs } = await agent.apply(programSpec(guard, { entrypoints }, name));
      ids.push(programs.tc_guard!.programId);
    }
    await agent.apply(linkSpec(tcxHook(), "tc_guard", second, secondProgram));
    const churn = await startChurn(ids);
    let changes: number;
    try {
      for (let i = 0; i < 40; i++) {
        const hook = tcxHook({ order: { before: { spec: second } } });
        await agent.apply(linkSpec(hook, "tc_guard"));
        assert.deepEqual(await agent.drift(linkId), []);
        await agent.remove(linkId);
      }
    } finally {
      changes = await churn.end();
      await agent.remove(second, ...restless);
    }
    assert.ok(changes > 200, `${changes} changes`);
    assert.deepEqual(order(), []);
  });

  /** `end` tells how often the hook changed. */
  async function startChurn(ids: number[]): Promise<{ end(): Promise<number> }> {
    const child = network.inside(() =>
      spawn(
        process.execPath,
        ["--require", "tsx/cjs", path.join(__dirname, "churn.ts"), ...ids.map(String)],
        {
          stdio: ["pipe", "pipe", "inherit"],
        },
      ),
    );
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    assert.equal((await lines.next()).value, "started");
    return {
      async end() {
        child.stdin.end();
        return Number((await lines.next()).value);
      },
    };
  }
});
