/** One contract for every kind of attachment; what is particular to a hook is in files of its own. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { interfaceIndex, mount, queryTcx, unmount } from "../../../provider/bpf";
import { EbpfError } from "../../../provider/errors";
import type { Hook, TcxHook } from "../../../provider/protocol/hooks";
import { bpftool, closesEverything, ip, PrivateCgroup, PrivateNetwork } from "../bpf/support";
import { compileGuard, linkId, linkSpec, programId, programSpec, TestHost } from "./support";

const guard = compileGuard();
const entrypoints = ["xdp_guard", "xdp_other", "tc_guard", "cgroup_guard", "tp_guard", "raw_guard"];

interface Place {
  hook: Hook;
  entrypoint: string;
  /** An entrypoint that the hook does not take. */
  wrong: string;
  /** Ids of the programs on the hook, not through our own code. */
  running(): number[];
  /** Takes the program off by other means; absent: the kernel has none. */
  detach?(): void;
  /** Makes the hook itself go and come back. */
  renew?(): void;
}

interface LinkShown {
  id: number;
  type: string;
  prog_id: number;
}

describe("hooks", function () {
  this.timeout(60_000);
  closesEverything();
  let host: TestHost;
  let network: PrivateNetwork;
  let cgroup: PrivateCgroup;

  beforeEach(() => {
    host = new TestHost();
    network = new PrivateNetwork();
    cgroup = new PrivateCgroup();
    if (!fs.existsSync("/sys/kernel/tracing/events")) mount("tracefs", "/sys/kernel/tracing", "tracefs");
  });
  afterEach(async () => {
    await host.remove();
    network.remove();
    cgroup.remove();
    unmount("/sys/kernel/tracing");
  });

  const inside = <T>(work: () => T): T => network.inside(work);
  const shown = (kind: "xdp" | "tc"): { id?: number; prog_id?: number; kind?: string }[] =>
    (inside(() => bpftool("net", "show")) as Record<typeof kind, never[]>[])[0]![kind];
  const detachLinks = () => {
    for (const pin of host.pins(linkId)) {
      execFileSync("bpftool", ["link", "detach", "pinned", `${host.roots.bpffs}/${pin}`]);
    }
  };
  // Debian 12's bpftool is older than TCX; this is BPF_PROG_QUERY of the kernel
  const onTcx = () =>
    inside(() => queryTcx(interfaceIndex("veth0"), "ingress").programs.map(({ programId }) => programId));
  const renewVeth = () => {
    inside(() => {
      ip("link", "delete", "veth0");
      ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1");
      for (const name of ["veth0", "veth1"]) ip("link", "set", name, "up");
    });
  };
  const pinnedProgram = (): number[] =>
    host
      .pins(linkId)
      .map((pin) => (bpftool("link", "show", "pinned", `${host.roots.bpffs}/${pin}`) as LinkShown).prog_id);

  const tcxHook = (changes: Partial<TcxHook> = {}): TcxHook => ({
    type: "tcx",
    interface: "veth0",
    netns: network.name,
    direction: "ingress",
    fallback: "none",
    ...changes,
  });

  const places: { [kind: string]: () => Place } = {
    xdp: () => ({
      hook: { type: "xdp", interface: "veth0", netns: network.name, mode: "auto", allowGap: false },
      entrypoint: "xdp_guard",
      wrong: "tc_guard",
      running: () => shown("xdp").map(({ id }) => id!),
      detach: detachLinks,
      renew: renewVeth,
    }),
    tcx: () => ({
      hook: tcxHook(),
      entrypoint: "tc_guard",
      wrong: "xdp_guard",
      running: onTcx,
      detach: detachLinks,
      renew: renewVeth,
    }),
    tc: () => ({
      hook: {
        type: "tc",
        interface: "veth0",
        netns: network.name,
        direction: "egress",
        priority: 3,
        handle: 7,
      },
      entrypoint: "tc_guard",
      wrong: "cgroup_guard",
      running: () => shown("tc").map(({ id }) => id!),
      detach: () => inside(() => execFileSync("tc", ["filter", "delete", "dev", "veth0", "egress"])),
      renew: renewVeth,
    }),
    cgroup: () => ({
      hook: { type: "cgroup", path: cgroup.path, attach: "skb/egress" },
      entrypoint: "cgroup_guard",
      wrong: "xdp_guard",
      running: () => {
        const text = execFileSync("bpftool", ["-j", "cgroup", "show", cgroup.path], { encoding: "utf8" });
        return (text.trim() === "" ? [] : (JSON.parse(text) as { id: number }[])).map(({ id }) => id);
      },
      detach: detachLinks,
      renew: () => {
        fs.rmdirSync(cgroup.path);
        fs.mkdirSync(cgroup.path);
      },
    }),
    tracepoint: () => ({
      hook: { type: "tracepoint", event: "syscalls/sys_enter_getpid" },
      entrypoint: "tp_guard",
      wrong: "xdp_guard",
      running: pinnedProgram,
      detach: () => fs.unlinkSync(`${host.roots.bpffs}/${host.pins(linkId)[0]}`),
    }),
    rawTracepoint: () => ({
      hook: { type: "rawTracepoint", name: "sys_enter" },
      entrypoint: "raw_guard",
      wrong: "xdp_guard",
      running: pinnedProgram,
      detach: () => fs.unlinkSync(`${host.roots.bpffs}/${host.pins(linkId)[0]}`),
    }),
  };

  for (const [kind, makePlace] of Object.entries(places)) {
    describe(kind, () => {
      let place: Place;
      beforeEach(async () => {
        place = makePlace();
        await host.agent.put(guard);
        await host.agent.apply(programSpec(guard, { entrypoints }));
      });
      afterEach(async () => {
        await host.agent.remove(linkId, programId);
        assert.deepEqual(place.running(), []);
        assert.equal(
          inside(() => execFileSync("tc", ["qdisc"], { encoding: "utf8" })).includes("clsact"),
          false,
        );
        host.assertEmpty();
      });

      const apply = () => host.agent.apply(linkSpec(place.hook, place.entrypoint));
      const programOf = async () =>
        (await host.agent.observe(programId)).programs[place.entrypoint]!.programId;

      it("attaches, and shows what the kernel shows", async () => {
        const status = await apply();
        assert.deepEqual(place.running(), [await programOf()]);
        assert.equal(status.links.link!.programId, await programOf());
        assert.deepEqual(status.drift, []);
        assert.deepEqual(await host.agent.drift(linkId), []);
        const again = await apply();
        assert.equal(again.revision, status.revision);
      });

      it("refuses a program of another type, in plan and in apply", async () => {
        const spec = linkSpec(place.hook, place.wrong);
        const { problems } = await host.agent.call("plan", { spec, blobs: {} });
        assert.deepEqual(
          problems.map(({ code }) => code),
          ["invalid"],
        );
        await assert.rejects(host.agent.apply(spec), (error) => EbpfError.is(error, "invalid"));
        assert.deepEqual(place.running(), []);
      });

      it("follows its program to a new revision", async () => {
        await apply();
        const before = await programOf();
        await host.agent.apply(programSpec(guard, { entrypoints, verdict: 1 }));
        assert.notEqual(await programOf(), before);
        assert.deepEqual(place.running(), [await programOf()]);
        assert.deepEqual(await host.agent.drift(linkId), []);
        await apply();
        assert.deepEqual(place.running(), [await programOf()]);
      });

      it("shows a detachment from outside as drift, and repairs it", async () => {
        await apply();
        place.detach!();
        assert.match((await host.agent.drift(linkId)).join(), /^detached: detached/);
        const { drift, notes } = await apply();
        assert.deepEqual(drift, []);
        assert.match(notes.join(), /was detached; it is attached anew/);
        assert.deepEqual(place.running(), [await programOf()]);
      });

      it("survives that its place goes and comes back", async () => {
        await apply();
        if (place.renew === undefined) return;
        place.renew();
        assert.match((await host.agent.drift(linkId)).join(), /^detached: detached/);
        await host.agent.apply(programSpec(guard, { entrypoints, verdict: 1 }));
        await apply();
        assert.deepEqual(place.running(), [await programOf()]);
        assert.deepEqual(await host.agent.drift(linkId), []);
      });

      it("is gone after remove, and remove of nothing succeeds", async () => {
        await apply();
        await host.agent.remove(linkId);
        assert.deepEqual(place.running(), []);
        const again = await host.agent.call("remove", { id: linkId, incarnation: "one" });
        assert.equal(again.removed, false);
        assert.equal(await host.agent.look(linkId), null);
      });
    });
  }
});
