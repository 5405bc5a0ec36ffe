/** Hooks that somebody else holds, by other means than ours: refused in plan and in apply, naming the owner. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { EbpfError } from "../../../provider/errors";
import type { Hook } from "../../../provider/protocol/hooks";
import { closesEverything, PrivateCgroup, PrivateNetwork } from "../bpf/support";
import { compileGuard, linkId, linkSpec, programId, programSpec, TestHost } from "./support";

const guard = compileGuard();
const entrypoints = ["tc_guard", "cgroup_guard"];

describe("a hook that somebody else holds", function () {
  this.timeout(60_000);
  closesEverything();
  let host: TestHost;
  let network: PrivateNetwork;
  let cgroup: PrivateCgroup;

  beforeEach(async () => {
    host = new TestHost();
    network = new PrivateNetwork();
    cgroup = new PrivateCgroup();
    await host.agent.put(guard);
    await host.agent.apply(programSpec(guard, { entrypoints }));
  });
  afterEach(async () => {
    await host.agent.remove(linkId, programId);
    host.assertEmpty();
    await host.remove();
    network.remove();
    cgroup.remove();
  });

  async function isRefused(hook: Hook, entrypoint: string, owner: RegExp): Promise<void> {
    const spec = linkSpec(hook, entrypoint);
    const { problems } = await host.agent.call("plan", { spec, blobs: {} });
    assert.deepEqual(
      problems.map(({ code }) => code),
      ["conflict"],
    );
    await assert.rejects(host.agent.apply(spec), (error) => {
      assert.ok(EbpfError.is(error, "conflict"));
      assert.match(error.details.owner!, owner);
      assert.ok(error.message.includes(error.details.owner!));
      assert.notEqual(error.context.remedy, undefined);
      return true;
    });
    assert.equal(await host.agent.look(linkId), null);
  }

  /** A program that bpftool loaded, pinned while `work` runs. */
  function withForeign(entrypoint: string, work: (pin: string) => void): void {
    const object = path.join(host.roots.state, "foreign.o");
    const pins = path.join(host.roots.bpffs, "foreign");
    fs.writeFileSync(object, guard);
    execFileSync("bpftool", ["prog", "loadall", object, pins]);
    try {
      work(path.join(pins, entrypoint));
    } finally {
      for (const pin of fs.readdirSync(pins)) fs.unlinkSync(path.join(pins, pin));
      fs.rmdirSync(pins);
      fs.unlinkSync(object);
    }
  }

  it("at a priority and handle of tc", async () => {
    const place = ["dev", "veth0", "ingress", "prio", "3", "handle", "7"];
    withForeign("tc_guard", (pin) =>
      network.inside(() => {
        execFileSync("tc", ["qdisc", "add", "dev", "veth0", "clsact"]);
        execFileSync("tc", ["filter", "add", ...place, "bpf", "da", "object-pinned", pin]);
      }),
    );
    const hook: Hook = {
      type: "tc",
      interface: "veth0",
      netns: network.name,
      direction: "ingress",
      priority: 3,
      handle: 7,
    };
    await isRefused(hook, "tc_guard", /^program "tc_guard" \(id \d+\), not of pulumi-ebpf$/);
    await host.agent.apply(linkSpec({ ...hook, handle: 8 }, "tc_guard"));
    const filters = network.inside(() => execFileSync("tc", ["filter", "show", "dev", "veth0", "ingress"]));
    assert.match(filters.toString(), /handle 0x7/);
  });

  for (const [where, child] of [
    ["there", ""],
    ["in its parent", "child"],
  ] as const) {
    it(`in a cgroup whose program, ${where}, allows no other`, async () => {
      const inner = path.join(cgroup.path, child);
      fs.mkdirSync(inner, { recursive: true });
      withForeign("cgroup_guard", (pin) =>
        execFileSync("bpftool", ["cgroup", "attach", cgroup.path, "egress", "pinned", pin]),
      );
      const hook: Hook = { type: "cgroup", path: inner, attach: "skb/egress" };
      await isRefused(hook, "cgroup_guard", new RegExp(`^program "cgroup_guard" .* at ${cgroup.path}$`));
      if (child !== "") fs.rmdirSync(inner);
    });
  }
});
