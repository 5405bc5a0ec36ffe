import assert from "node:assert/strict";
import { digestOf } from "../../../provider/protocol/spec";
import { bpftool, closesEverything, PrivateNetwork } from "../bpf/support";
import {
  TestHost,
  compileGuard,
  entriesSpec,
  linkSpec,
  entriesId,
  linkId,
  programId,
  programSpec,
} from "./support";

interface XdpShown {
  xdp: { ifindex: number; id: number; devname: string; mode: string }[];
}

describe("apply, observe, remove", () => {
  closesEverything();
  let host: TestHost;
  let network: PrivateNetwork;
  const guard = compileGuard();

  beforeEach(() => {
    host = new TestHost();
    network = new PrivateNetwork();
  });
  afterEach(async () => {
    await host.remove();
    network.remove();
  });

  const xdpHook = () =>
    ({ type: "xdp", interface: "veth0", netns: network.name, mode: "generic", allowGap: false }) as const;
  const runningXdp = () => (network.inside(() => bpftool("net", "show")) as XdpShown[])[0]!.xdp;

  it("loads and pins a program with its maps, and attaches it", async () => {
    const { agent } = host;
    await agent.put(guard);
    const program = await agent.apply(programSpec(guard));
    assert.deepEqual(program.drift, []);
    assert.deepEqual(Object.keys(program.maps).sort(), [
      ".bss",
      ".data",
      ".rodata",
      "counters",
      "jumps",
      "list",
      "ports",
      "prefixes",
    ]);
    const link = await agent.apply(linkSpec(xdpHook()));
    const [running] = runningXdp();
    assert.equal(running!.id, program.programs.xdp_guard!.programId);
    assert.equal(link.links.link!.programId, running!.id);
    assert.deepEqual(await agent.drift(linkId), []);
    await agent.remove(linkId, programId);
    assert.deepEqual(runningXdp(), []);
    host.assertEmpty();
  });

  it("takes a small object along with the Spec, and nothing of one that is not what it is called", async () => {
    const { agent } = host;
    const call = (bytes: Buffer) =>
      agent.call("apply", {
        ...{ spec: programSpec(guard), inputs: {}, incarnation: "one" },
        blobs: { [digestOf(guard)]: bytes },
      });
    await assert.rejects(call(Buffer.from("another")), { code: "transport" });
    host.assertEmpty();
    const { programs } = await call(guard);
    const shown = bpftool("prog", "show", "id", String(programs.xdp_guard!.programId));
    assert.equal((shown as { name: string }).name, "xdp_guard");
    assert.deepEqual(host.blobs(), [digestOf(guard)]);
    await agent.remove(programId);
    host.assertEmpty();
  });

  it("does nothing when all is as declared", async () => {
    const { agent } = host;
    await agent.put(guard);
    const first = await agent.apply(programSpec(guard));
    const second = await agent.apply(programSpec(guard));
    assert.equal(second.revision, first.revision);
    assert.deepEqual(second.programs, first.programs);
  });

  it("swaps the program under a live attachment", async () => {
    const { agent } = host;
    await agent.put(guard);
    await agent.apply(programSpec(guard));
    const before = await agent.apply(linkSpec(xdpHook()));
    const after = await agent.apply(programSpec(guard, { verdict: 1 }));
    assert.notEqual(after.programs.xdp_guard!.programId, before.links.link!.programId);
    const [running] = runningXdp();
    assert.equal(running!.id, after.programs.xdp_guard!.programId);
    const link = await agent.observe(linkId);
    assert.equal(link.links.link!.linkId, before.links.link!.linkId);
    assert.deepEqual(link.drift, []);
    assert.deepEqual(host.pins(programId).filter((pin) => pin.includes("/programs/")).length, 1);
  });

  it("remembers which links the last apply swapped", async () => {
    const { agent } = host;
    await agent.put(guard);
    assert.deepEqual((await agent.apply(programSpec(guard))).swappedLinks, []);
    await agent.apply(linkSpec(xdpHook()));
    const swapped = [`xdp on veth0 in network namespace ${network.name} of ${linkId}`];
    assert.deepEqual((await agent.apply(programSpec(guard, { verdict: 1 }))).swappedLinks, swapped);
    assert.deepEqual((await agent.apply(programSpec(guard, { verdict: 1 }))).swappedLinks, swapped);
    assert.deepEqual((await agent.observe(programId)).swappedLinks, swapped);
    assert.equal((await agent.observe(linkId)).swappedLinks, undefined);
    await agent.remove(linkId);
    assert.deepEqual((await agent.apply(programSpec(guard, { verdict: 2 }))).swappedLinks, []);
  });

  it("writes entries and only what changed of them", async () => {
    const { agent } = host;
    await agent.put(guard);
    await agent.apply(programSpec(guard));
    const first = entriesSpec([
      [1, 10],
      [2, 20],
      [3, 30],
    ]);
    await agent.put(...first.blobs);
    assert.deepEqual((await agent.apply(first.spec)).entries, { entries: { matching: 3, declared: 3 } });
    const second = entriesSpec([
      [1, 10],
      [2, 21],
      [4, 40],
    ]);
    await agent.put(...second.blobs);
    assert.deepEqual((await agent.apply(second.spec)).entries, { entries: { matching: 3, declared: 3 } });
    const shown = bpftool(
      "map",
      "dump",
      "pinned",
      `${host.roots.bpffs}/${host.pins(programId).find((pin) => pin.endsWith("/list"))}`,
    );
    const rows = (shown as { formatted: { key: number; value: number } }[]).map(({ formatted }) => [
      formatted.key,
      formatted.value,
    ]);
    assert.deepEqual(rows.sort(), [
      [1, 10],
      [2, 21],
      [4, 40],
    ]);
    await agent.remove(entriesId, programId);
    host.assertEmpty();
  });
});
