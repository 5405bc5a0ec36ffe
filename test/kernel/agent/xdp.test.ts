/** XDP: modes, owners, and where an interface is. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { EbpfError } from "../../../provider/errors";
import type { Hook, XdpMode } from "../../../provider/protocol/hooks";
import { bpftool, closesEverything, ip, PrivateNetwork } from "../bpf/support";
import { compileGuard, linkId, linkSpec, programId, programSpec, TestHost } from "./support";

const guard = compileGuard();
const entrypoints = ["xdp_guard", "xdp_other"];

describe("xdp", function () {
  this.timeout(60_000);
  closesEverything();
  let host: TestHost;
  let network: PrivateNetwork;

  const inside = <T>(work: () => T): T => network.inside(work);
  const shown = () =>
    (inside(() => bpftool("net", "show")) as { xdp: { id: number; mode: string }[] }[])[0]!.xdp;

  const xdp = (mode: XdpMode | "auto", allowGap = false): Hook => ({
    type: "xdp",
    interface: "veth0",
    netns: network.name,
    mode,
    allowGap,
  });
  const mode = () => shown().map((row) => row.mode);

  beforeEach(async () => {
    host = new TestHost();
    network = new PrivateNetwork();
    await host.agent.put(guard);
    await host.agent.apply(programSpec(guard, { entrypoints }));
  });
  afterEach(async () => {
    await host.agent.remove(linkId, programId);
    host.assertEmpty();
    await host.remove();
    network.remove();
  });

  it("changes its mode only where a gap is allowed", async () => {
    const { agent } = host;
    await agent.apply(linkSpec(xdp("generic")));
    assert.deepEqual(mode(), ["generic"]);
    await assert.rejects(agent.apply(linkSpec(xdp("native"))), (error) => EbpfError.is(error, "conflict"));
    assert.deepEqual(mode(), ["generic"]);
    const { notes } = await agent.apply(linkSpec(xdp("native", true)));
    assert.match(notes.join(), /for an instant nothing judged/);
    assert.deepEqual(mode(), ["driver"]);
    const auto = await agent.apply(linkSpec(xdp("auto")));
    assert.equal(auto.links.link!.facts.mode, "native");
  });

  it("names who owns the interface", async () => {
    const { agent } = host;
    attachForeign();
    await assert.rejects(agent.apply(linkSpec(xdp("generic"))), (error) => {
      assert.ok(EbpfError.is(error, "conflict"));
      assert.match(error.details.owner!, /^program "xdp_guard" \(id \d+\), not of pulumi-ebpf$/);
      return true;
    });
    inside(() => execFileSync("bpftool", ["net", "detach", "xdpgeneric", "dev", "veth0"]));
    await agent.apply(linkSpec(xdp("generic")));
    const rival = linkSpec(xdp("generic"), "xdp_other", "demo/other/Attachment/rival");
    await assert.rejects(
      agent.apply(rival),
      (error) => EbpfError.is(error, "conflict") && error.details.owner === linkId,
    );
    const { problems } = await agent.call("plan", { spec: rival, blobs: {} });
    assert.deepEqual(
      problems.map(({ code }) => code),
      ["conflict"],
    );
  });

  it("is restored with a note on what judged meanwhile", async () => {
    const { agent } = host;
    const { links } = await agent.apply(linkSpec(xdp("generic")));
    execFileSync("bpftool", ["link", "detach", "id", String(links.link!.linkId)]);
    assert.deepEqual(shown(), []);
    assert.deepEqual(await agent.call("restore", { ids: [linkId] }), [
      {
        id: linkId,
        restored: true,
        notes: [
          `xdp on veth0 in network namespace ${network.name} was detached; it is attached anew, nothing judged in between`,
        ],
      },
    ]);
    assert.deepEqual(mode(), ["generic"]);
  });

  it("takes another entrypoint where it stands", async () => {
    const { agent } = host;
    const first = await agent.apply(linkSpec(xdp("generic")));
    const second = await agent.apply(linkSpec(xdp("generic"), "xdp_other"));
    assert.equal(second.links.link!.linkId, first.links.link!.linkId);
    const { programs } = await agent.observe(programId);
    assert.deepEqual(
      shown().map(({ id }) => id),
      [programs.xdp_other!.programId],
    );
  });

  it("is refused for a card, in plan and apply, with what is missing", async () => {
    const { agent } = host;
    const spec = linkSpec(xdp("offload"));
    const { problems } = await agent.call("plan", { spec, blobs: {} });
    assert.deepEqual(
      problems.map(({ code }) => code),
      ["unsupported"],
    );
    await assert.rejects(agent.apply(spec), (error) => {
      assert.ok(EbpfError.is(error, "unsupported"));
      assert.match(
        error.message,
        /in offload mode: the program is loaded for the kernel, not for the card of veth0/,
      );
      assert.equal(error.details.feature, "xdp mode offload");
      assert.match(error.context.remedy!, /"native" or "generic"/);
      return true;
    });
    assert.deepEqual(mode(), []);
  });

  it("names the remedy when the driver refuses the MTU; auto takes generic and says why", async () => {
    const { agent } = host;
    inside(() => ip("link", "set", "veth1", "mtu", "9000"));
    await assert.rejects(agent.apply(linkSpec(xdp("native"))), (error) => {
      assert.ok(EbpfError.is(error, "unsupported"));
      assert.match(error.message, /in native mode: the driver refuses/);
      assert.match(error.context.remedy!, /lower the interface's MTU.*LRO.*xdp\.frags.*generic/);
      return true;
    });
    assert.deepEqual(mode(), []);
    const { notes } = await agent.apply(linkSpec(xdp("auto")));
    assert.match(notes.join(), /native mode is not possible .*; generic mode is used/);
    assert.deepEqual(mode(), ["generic"]);
  });

  it("keeps the mode that auto found, and says so when it must choose again", async () => {
    const { agent } = host;
    inside(() => ip("link", "set", "veth1", "mtu", "9000"));
    await agent.apply(linkSpec(xdp("auto")));
    inside(() => ip("link", "set", "veth1", "mtu", "1500"));
    await agent.apply(programSpec(guard, { entrypoints, verdict: 1 }));
    await agent.apply(linkSpec(xdp("auto"), "xdp_other"));
    assert.deepEqual(mode(), ["generic"]);
    execFileSync("bpftool", ["link", "detach", "pinned", `${host.roots.bpffs}/${host.pins(linkId)[0]}`]);
    const { notes } = await agent.apply(linkSpec(xdp("auto"), "xdp_other"));
    assert.match(notes.join(), /attached in native mode, before it was in generic mode/);
    assert.deepEqual(mode(), ["driver"]);
  });

  it("finds the interface by the path of its namespace as by its name", async () => {
    const { agent } = host;
    const byPath = { ...xdp("generic"), netns: `/run/netns/${network.name}` } as Hook;
    const first = await agent.apply(linkSpec(byPath));
    assert.deepEqual(mode(), ["generic"]);
    const second = await agent.apply(linkSpec(xdp("generic")));
    assert.equal(second.links.link!.linkId, first.links.link!.linkId);
    assert.deepEqual(second.drift, []);
    await assert.rejects(
      agent.apply(linkSpec({ ...byPath, netns: "/run/netns/nowhere" } as Hook)),
      (error) => EbpfError.is(error, "not-found") && error.details.what === "network namespace",
    );
  });

  /** By netlink and without a pin, as `ip link` does. */
  function attachForeign(): void {
    const object = `${host.roots.state}/guard.o`;
    const pin = `${host.roots.bpffs}/foreign`;
    fs.writeFileSync(object, guard);
    execFileSync("bpftool", ["prog", "load", object, pin, "type", "xdp"]);
    try {
      inside(() => execFileSync("bpftool", ["net", "attach", "xdpgeneric", "pinned", pin, "dev", "veth0"]));
    } finally {
      fs.unlinkSync(pin);
      fs.unlinkSync(object);
    }
  }
});
