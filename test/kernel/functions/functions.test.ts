/** Functions on this kernel, over an agent in this process; what they say is held against bpftool. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { mount, possibleCpus, unmount } from "../../../provider/bpf";
import { type EbpfError } from "../../../provider/errors";
import { runFunction } from "../../../provider/functions";
import type { Hook } from "../../../provider/protocol/hooks";
import { PROTOCOL_VERSION } from "../../../provider/protocol/messages";
import { openSources } from "../../../provider/sources";
import type { AgentSession } from "../../../provider/transport/session";
import {
  compileGuard,
  entriesId,
  entriesSpec,
  linkId,
  linkSpec,
  programId,
  programSpec,
  TestHost,
} from "../agent/support";
import { bpftool, closesEverything, PrivateCgroup, PrivateNetwork } from "../bpf/support";

type Found = Record<string, unknown>;
interface Attached {
  hook: string;
  programId: number;
  programName: string;
  linkId: number;
  spec?: string;
  facts: Record<string, string | number>;
}

const guard = compileGuard();
const entrypoints = ["xdp_guard", "tc_guard", "cgroup_guard", "tp_guard", "raw_guard"];

describe("functions", function () {
  this.timeout(60_000);
  closesEverything();
  let host: TestHost;

  beforeEach(async () => {
    host = new TestHost();
    await host.agent.put(guard);
    await host.agent.apply(programSpec(guard, { entrypoints }));
  });
  afterEach(async () => {
    await host.agent.remove(linkId, entriesId, programId);
    await host.endSessions();
    host.assertEmpty();
    await host.remove();
  });

  async function call(
    name: string,
    args: Found = {},
  ): Promise<{ outputs: Found; secrets: readonly string[] }> {
    const session = {
      host: "here",
      hello: await host.agent.call("hello", { protocol: PROTOCOL_VERSION }),
      call: (verb, params) => host.agent.call(verb, params),
      release: () => undefined,
    } satisfies AgentSession;
    const answer = await runFunction(name, args, { open: async () => session, openSources });
    // as it would travel
    assert.deepEqual(JSON.parse(JSON.stringify(answer.outputs)), answer.outputs);
    return answer;
  }
  const ask = async (name: string, args: Found = {}) => (await call(name, args)).outputs;
  const fails = (name: string, args: Found, code: "not-found" | "invalid" | "conflict", text: RegExp) =>
    assert.rejects(call(name, args), (error: EbpfError) => {
      assert.equal(error.code, code, error.message);
      assert.match(error.render(), text);
      return true;
    });
  const pinOf = (end: string) =>
    `${host.roots.bpffs}/${host.pins(programId).find((path) => path.endsWith(end))}`;

  it("getHostFeatures says what probe finds", async () => {
    const features = await ask("getHostFeatures");
    assert.equal(features["kernel"], execFileSync("uname", ["-r"], { encoding: "utf8" }).trim());
    assert.equal(features["possibleCpus"], possibleCpus());
    assert.ok((features["mapTypes"] as string[]).includes("lru_hash"));
  });

  describe("getProgram", () => {
    it("finds a program by reference, kernel id and pin, and says what bpftool says", async () => {
      const program = await ask("getProgram", { program: { spec: programId, entrypoint: "xdp_guard" } });
      const shown = bpftool("prog", "show", "pinned", pinOf("/programs/xdp_guard")) as Found;
      for (const [ours, theirs] of [
        ["programId", "id"],
        ["name", "name"],
        ["type", "type"],
        ["tag", "tag"],
        ["jitedBytes", "bytes_jited"],
        ["memlockBytes", "bytes_memlock"],
      ] as const) {
        assert.deepEqual(program[ours], shown[theirs], ours);
      }
      assert.deepEqual(
        program["mapIds"],
        (shown["map_ids"] as number[]).sort((a, b) => a - b),
      );
      assert.ok(Math.abs(Date.parse(String(program["loadedAt"])) / 1000 - Number(shown["loaded_at"])) < 3);
      assert.equal(program["spec"], programId);
      assert.deepEqual(await ask("getProgram", { programId: program["programId"] }), program);
      assert.deepEqual(await ask("getProgram", { pin: pinOf("/programs/xdp_guard") }), program);
    });

    it("says what is not there, and takes no map for a program", async () => {
      await fails("getProgram", { programId: 0x7fffffff }, "not-found", /find program 2147483647/);
      await fails("getProgram", { pin: "/sys/fs/bpf/none" }, "not-found", /\/sys\/fs\/bpf\/none/);
      await fails("getProgram", { pin: pinOf("/maps/list") }, "invalid", /it is no program, but bpf-map/);
      const program = { spec: programId, entrypoint: "xdp_gaurd" };
      await fails("getProgram", { program }, "not-found", /xdp_guard/);
    });

    it("refuses no way, two ways, and unknown arguments", async () => {
      await fails("getProgram", {}, "invalid", /one of program, programId, pin: none is given/);
      await fails("getProgram", { programId: 1, pin: "/x" }, "invalid", /programId and pin are given/);
      await fails(
        "getProgram",
        { programid: 1, pin: 7 },
        "invalid",
        /pin: expected string[^]*programid: .*"programId"/,
      );
      await fails("getPrograms", {}, "not-found", /getProgram,/);
    });
  });

  describe("getMap", () => {
    it("says what bpftool says, with the types of BTF", async () => {
      const map = await ask("getMap", { map: { spec: programId, map: "list" } });
      const shown = bpftool("map", "show", "pinned", pinOf("/maps/list")) as Found;
      for (const [ours, theirs] of [
        ["mapId", "id"],
        ["name", "name"],
        ["type", "type"],
        ["keySize", "bytes_key"],
        ["valueSize", "bytes_value"],
        ["maxEntries", "max_entries"],
        ["memlockBytes", "bytes_memlock"],
      ] as const) {
        assert.deepEqual(map[ours], shown[theirs], ours);
      }
      assert.deepEqual([map["keyType"], map["valueType"], map["spec"]], ["u32", "u64", programId]);
      assert.deepEqual(await ask("getMap", { mapId: map["mapId"] }), map);
      assert.deepEqual(await ask("getMap", { pin: pinOf("/maps/list") }), map);
    });
  });

  describe("getMapEntries", () => {
    const list = { map: { spec: programId, map: "list" } };
    const bytes = (...numbers: number[]) => numbers.flatMap((number) => [number, 0, 0, 0]).map(String);
    const set = (map: string, key: string[], value: string[]) =>
      execFileSync("bpftool", ["map", "update", "pinned", pinOf(map), "key", ...key, "value", ...value]);
    const rows = (outputs: Found) => outputs["entries"] as { key: unknown; value: unknown }[];

    it("reads what bpftool wrote, by the map's types", async () => {
      for (const key of [1, 2, 3]) set("/maps/list", bytes(key), bytes(key * 10, 1));
      const outputs = await ask("getMapEntries", list);
      const sorted = rows(outputs).sort((a, b) => Number(a.key) - Number(b.key));
      // u64 are text: 2^32 and more
      assert.deepEqual(
        sorted,
        [1, 2, 3].map((key) => ({ key, value: String(2 ** 32 + key * 10) })),
      );
      assert.deepEqual([outputs["more"], outputs["secret"]], [false, false]);
    });

    it("gives pages, and says when the entry between two pages went", async () => {
      for (const key of [1, 2, 3, 4, 5]) set("/maps/list", bytes(key), bytes(key, 0));
      const seen: unknown[] = [];
      let after: unknown;
      for (let more = true; more;) {
        const page = await ask("getMapEntries", { ...list, limit: 2, ...(seen.length > 0 ? { after } : {}) });
        seen.push(...rows(page).map(({ key }) => key));
        assert.ok(rows(page).length <= 2);
        after = seen.at(-1);
        more = page["more"] as boolean;
      }
      assert.deepEqual(seen.sort(), [1, 2, 3, 4, 5]);
      await fails(
        "getMapEntries",
        { ...list, after: 99 },
        "conflict",
        /the entry after which to begin is gone/,
      );
    });

    it("looks keys up, and names what is wrong with one", async () => {
      for (const key of [1, 2]) set("/maps/list", bytes(key), bytes(7, 0));
      const found = await ask("getMapEntries", { ...list, keys: [2, 9] });
      assert.deepEqual(rows(found), [{ key: 2, value: "7" }]);
      await fails("getMapEntries", { ...list, keys: [1, "x", -1] }, "invalid", /keys\[1\][^]*keys\[2\]/);
    });

    it("reads values of every CPU, ids of programs, and the longest match of a prefix", async () => {
      const counters = await ask("getMapEntries", { map: { spec: programId, map: "counters" }, limit: 1 });
      assert.deepEqual(rows(counters), [{ key: 0, value: { perCpu: new Array(possibleCpus()).fill(0) } }]);
      assert.equal(counters["more"], true);

      const own = (await host.agent.observe(programId)).programs["xdp_guard"]!;
      set("/maps/jumps", bytes(2), ["pinned", pinOf("/programs/xdp_guard")]);
      const jumps = await ask("getMapEntries", { map: { spec: programId, map: "jumps" } });
      assert.deepEqual(rows(jumps), [{ key: 2, value: own.programId }]);

      set("/maps/prefixes", [...bytes(8), "10", "0", "0", "0"], bytes(1));
      set("/maps/prefixes", [...bytes(16), "10", "9", "0", "0"], bytes(2));
      const prefixes = { map: { spec: programId, map: "prefixes" } };
      const found = await ask("getMapEntries", { ...prefixes, keys: ["0x200000000a090807"] });
      assert.deepEqual(rows(found), [{ key: "0x200000000a090807", value: "0x02000000" }]);
      assert.equal(rows(await ask("getMapEntries", prefixes)).length, 2);
    });

    it("marks entries as secret where a resource declares some, and where globals are set", async () => {
      const { spec, blobs } = entriesSpec([[1, 2]], { secret: true });
      await host.agent.deliver(spec, blobs);
      assert.deepEqual((await call("getMapEntries", list)).secrets, ["entries"]);
      const { secrets, outputs } = await call("getMapEntries", { map: { spec: programId, map: ".rodata" } });
      assert.deepEqual([secrets, outputs["secret"]], [["entries"], true]);
      assert.deepEqual((await call("getMapEntries", { map: { spec: programId, map: "jumps" } })).secrets, []);
    });
  });

  describe("getAttachments", () => {
    let network: PrivateNetwork;
    let cgroup: PrivateCgroup;
    beforeEach(() => {
      network = new PrivateNetwork();
      cgroup = new PrivateCgroup();
    });
    afterEach(async () => {
      await host.agent.remove(linkId);
      network.remove();
      cgroup.remove();
    });

    const attach = async (hook: Hook, entrypoint: string) =>
      (await host.agent.apply(linkSpec(hook, entrypoint))).links["link"]!;
    const attachments = async (args: Found) =>
      (await ask("getAttachments", args))["attachments"] as Attached[];
    const target = () => ({ interface: "veth0", netns: network.name });
    const idOf = async (entrypoint: string) =>
      (await host.agent.observe(programId)).programs[entrypoint]!.programId;

    it("lists ours and others' on an interface, hook by hook", async () => {
      assert.deepEqual(await attachments(target()), []);
      const link = await attach(
        { type: "tcx", ...target(), direction: "egress", fallback: "none" },
        "tc_guard",
      );
      const guardPin = pinOf("/programs/tc_guard");
      network.inside(() => {
        for (const args of [
          `qdisc add dev veth0 clsact`,
          `filter add dev veth0 ingress pref 7 handle 3 bpf direct-action object-pinned ${guardPin}`,
        ])
          execFileSync("tc", args.split(" "));
        execFileSync(
          "bpftool",
          `net attach xdpgeneric pinned ${pinOf("/programs/xdp_guard")} dev veth0`.split(" "),
        );
      });
      const found = await attachments(target());
      assert.deepEqual(
        found.map(({ hook, programId: id, linkId: on, spec, facts }) => ({ hook, id, on, spec, facts })),
        [
          { hook: "xdp", id: await idOf("xdp_guard"), on: 0, spec: undefined, facts: { mode: "generic" } },
          {
            hook: "tcx",
            id: await idOf("tc_guard"),
            on: link.linkId,
            spec: linkId,
            facts: { direction: "egress", position: 0 },
          },
          {
            hook: "tc",
            id: await idOf("tc_guard"),
            on: 0,
            spec: undefined,
            facts: { direction: "ingress", priority: 7, handle: 3 },
          },
        ],
      );
      assert.deepEqual(
        found.map(({ programName }) => programName),
        ["xdp_guard", "tc_guard", "tc_guard"],
      );
    });

    it("knows our own xdp link and our own clsact filter", async () => {
      const xdp = await attach({ type: "xdp", ...target(), mode: "auto", allowGap: false }, "xdp_guard");
      const [onXdp] = await attachments(target());
      assert.deepEqual([onXdp!.linkId, onXdp!.spec], [xdp.linkId, linkId]);
      await host.agent.remove(linkId);
      await attach({ type: "tc", ...target(), direction: "ingress", priority: 9, handle: 2 }, "tc_guard");
      const [onTc] = await attachments(target());
      assert.deepEqual([onTc!.hook, onTc!.linkId, onTc!.spec], ["tc", 0, linkId]);
    });

    it("lists a cgroup's programs in their order", async () => {
      const link = await attach({ type: "cgroup", path: cgroup.path, attach: "skb/egress" }, "cgroup_guard");
      const pin = ["pinned", pinOf("/programs/cgroup_guard"), "multi"];
      execFileSync("bpftool", ["cgroup", "attach", cgroup.path, "egress", ...pin]);
      const found = await attachments({ cgroup: cgroup.path });
      const shown = bpftool("cgroup", "show", cgroup.path) as { id: number }[];
      assert.deepEqual(
        found.map(({ programId: id }) => id),
        shown.map(({ id }) => id),
      );
      assert.deepEqual(
        found.map(({ spec, facts }) => [spec, facts["attach"]]).sort(),
        [
          [linkId, "skb/egress"],
          [undefined, "skb/egress"],
        ].sort(),
      );
      assert.ok(found.some(({ linkId: id }) => id === link.linkId));
    });

    it("lists tracepoints and raw tracepoints", async () => {
      if (!fs.existsSync("/sys/kernel/tracing/events")) mount("tracefs", "/sys/kernel/tracing", "tracefs");
      try {
        const event = "syscalls/sys_enter_getpid";
        const link = await attach({ type: "tracepoint", event }, "tp_guard");
        const [found, ...more] = await attachments({ tracepoint: event });
        assert.deepEqual([found!.linkId, found!.spec, more.length], [link.linkId, linkId, 0]);
        assert.deepEqual(await attachments({ tracepoint: "syscalls/sys_enter_getppid" }), []);
        await host.agent.remove(linkId);
        const raw = await attach({ type: "rawTracepoint", name: "sys_enter" }, "raw_guard");
        const all = await attachments({ rawTracepoint: "sys_enter" });
        assert.equal(all.find(({ spec }) => spec === linkId)?.linkId, raw.linkId);
      } finally {
        await host.agent.remove(linkId);
        unmount("/sys/kernel/tracing");
      }
    });

    it("names the place that does not exist", async () => {
      await fails("getAttachments", { ...target(), interface: "eth7" }, "not-found", /eth7/);
      await fails("getAttachments", { cgroup: "/sys/fs/cgroup/none" }, "not-found", /none/);
      await fails("getAttachments", {}, "invalid", /interface, cgroup, tracepoint, rawTracepoint/);
    });
  });
});
