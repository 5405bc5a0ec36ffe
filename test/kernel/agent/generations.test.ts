/** The generation before: kept with its blobs, rolled back to, and removals that wait for those who refer. */
import assert from "node:assert/strict";
import { EbpfError } from "../../../provider/errors";
import { digestOf } from "../../../provider/protocol/spec";
import { closesEverything, PrivateNetwork } from "../bpf/support";
import { compileGuard, linkId, linkSpec, programId, programSpec, TestHost } from "./support";

const first = compileGuard();
const second = compileGuard("-DMAX_ENTRIES=4096");

describe("generations", function () {
  this.timeout(120_000);
  closesEverything();
  let host: TestHost;
  let network: PrivateNetwork;
  const earlier = programSpec(first);
  const later = programSpec(second, { mapDataPolicy: "migrate" });

  beforeEach(() => {
    host = new TestHost();
    network = new PrivateNetwork();
  });
  afterEach(async () => {
    await host.remove();
    network.remove();
  });

  const applyKeeping = (spec: typeof earlier, inputs: unknown, incarnation = "one") =>
    host.agent.call("apply", { spec, inputs, incarnation, keepPrevious: true });
  const rollBack = (spec = later) =>
    host.agent.call("rollBack", { id: programId, incarnation: "one", specDigest: digestOf(spec) });

  it("rolls a program back to the object, the globals and the inputs that it had, with its links", async () => {
    await host.agent.put(first, second);
    await host.agent.apply(programSpec(first, { mapDataPolicy: "migrate" }), "one", { version: 1 });
    const hook = {
      type: "xdp",
      interface: "veth0",
      netns: network.name,
      mode: "generic",
      allowGap: false,
    } as const;
    const before = (await host.agent.apply(linkSpec(hook))).links["link"]!;
    await applyKeeping(later, { version: 2 });
    const between = (await host.agent.observe(linkId)).links["link"]!;
    assert.notEqual(between.programTag + between.programId, before.programTag + before.programId);
    const { rolledBack, restored } = await rollBack();
    assert.equal(rolledBack, true);
    assert.deepEqual(restored!.inputs, { version: 1 });
    const after = await host.agent.observe(linkId);
    assert.equal(after.links["link"]!.linkId, before.linkId, "the link stayed");
    assert.equal(after.links["link"]!.programTag, before.programTag);
    assert.deepEqual(after.drift, []);
    assert.deepEqual((await host.agent.observe(programId)).drift, []);
    assert.deepEqual(host.blobs(), [digestOf(first)], "the later blob went, the earlier one was there");
    assert.equal((await rollBack()).rolledBack, false, "there is no way back twice");
  });

  it("keeps the earlier blob when the session that brought the later one is over", async () => {
    await host.agent.put(first);
    await host.agent.apply(programSpec(first, { mapDataPolicy: "migrate" }));
    const other = host.open();
    await other.put(second);
    await other.call("apply", { spec: later, inputs: {}, incarnation: "one", keepPrevious: true });
    await host.endSessions();
    assert.deepEqual(host.blobs().sort(), [digestOf(first), digestOf(second)].sort());
    assert.equal((await rollBack()).rolledBack, true);
  });

  it("keeps no more than one generation, and none once it is no longer asked for", async () => {
    await host.agent.put(first, second);
    await host.agent.apply(programSpec(first));
    await applyKeeping(programSpec(first, { verdict: 1 }), {});
    await host.agent.apply(programSpec(second, { mapDataPolicy: "migrate" }));
    assert.deepEqual(host.blobs(), [digestOf(second)]);
    const refused = await rollBack();
    assert.equal(refused.rolledBack, false);
    assert.match(refused.reason!, /kept no earlier version/);
  });

  it("takes away what was not there before", async () => {
    await host.agent.put(second);
    await applyKeeping(later, {});
    assert.deepEqual(await rollBack(), { rolledBack: true });
    host.assertEmpty();
  });

  it("leaves another version, and another creation's, as they are", async () => {
    await host.agent.put(first, second);
    await host.agent.apply(earlier);
    assert.equal((await rollBack()).rolledBack, false);
    await applyKeeping(programSpec(first, { verdict: 1 }), {}, "two");
    const { rolledBack, reason } = await rollBack(programSpec(first, { verdict: 1 }));
    assert.deepEqual([rolledBack, reason], [false, "the host holds another version of it"]);
  });

  it("forgets nothing of the way back when the same Spec is applied again", async () => {
    await host.agent.put(first);
    await host.agent.apply(earlier, "one", { version: 1 });
    await applyKeeping(programSpec(first, { verdict: 1 }), { version: 2 });
    await applyKeeping(programSpec(first, { verdict: 1 }), { version: 2, again: true });
    const { restored } = await rollBack(programSpec(first, { verdict: 1 }));
    assert.deepEqual(restored!.inputs, { version: 1 });
  });

  it("removes what is still referred to with the last that refers to it", async () => {
    const hook = {
      type: "xdp",
      interface: "veth0",
      netns: network.name,
      mode: "generic",
      allowGap: false,
    } as const;
    await host.agent.put(first);
    await host.agent.apply(earlier);
    await host.agent.apply(linkSpec(hook));
    const removal = { id: programId, incarnation: "one" };
    await assert.rejects(host.agent.call("remove", removal), (error) => EbpfError.is(error, "conflict"));
    const later = await host.agent.call("remove", { ...removal, whenUnused: true });
    assert.equal(later.removed, false);
    assert.match(later.reason!, /as soon as demo\/test\/Attachment\/link does/);
    assert.deepEqual(await host.agent.drift(linkId), []);
    await host.agent.remove(linkId);
    host.assertEmpty();
  });

  it("keeps what was to go when it is applied again before that", async () => {
    const hook = {
      type: "xdp",
      interface: "veth0",
      netns: network.name,
      mode: "generic",
      allowGap: false,
    } as const;
    await host.agent.put(first);
    await host.agent.apply(earlier);
    await host.agent.apply(linkSpec(hook));
    await host.agent.call("remove", { id: programId, incarnation: "one", whenUnused: true });
    await host.agent.apply(earlier);
    await host.agent.remove(linkId);
    assert.deepEqual(await host.agent.drift(programId), []);
  });

  it("runs a command as the host sees it, ends it in time, and answers what it said last", async () => {
    const run = (command: string, timeoutSeconds = 10) => host.agent.call("run", { command, timeoutSeconds });
    assert.deepEqual(await run("echo ok; echo bad >&2; exit 3"), {
      exitCode: 3,
      timedOut: false,
      output: "ok\nbad",
    });
    const slow = await run("sleep 600 & wait", 0.2);
    assert.deepEqual([slow.exitCode, slow.timedOut], [null, true]);
  });
});
