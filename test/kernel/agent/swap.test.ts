/** What happens to packets, and to links that somebody else touched, while programs are exchanged. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import { LinkHandle, ProgramHandle, tryLock, unlock } from "../../../provider/bpf";
import { intentPath } from "../../../provider/agent/layout";
import { Lock } from "../../../provider/agent/lock";
import { EbpfError } from "../../../provider/errors";
import { bpftool, closesEverything, ip, PrivateNetwork } from "../bpf/support";
import { compileGuard, linkId, linkSpec, programId, programSpec, TestHost } from "./support";

const XDP_DROP = 1;
const XDP_PASS = 2;
const guard = compileGuard();
const rejected = compileGuard("-DREJECT");

describe("exchange of programs", function () {
  this.timeout(120_000);
  closesEverything();
  let host: TestHost;
  let network: PrivateNetwork;

  beforeEach(async () => {
    host = new TestHost();
    network = new PrivateNetwork();
    await host.agent.put(guard, rejected);
    await host.agent.apply(programSpec(guard, { verdict: XDP_DROP }));
    await host.agent.apply(
      linkSpec({ type: "xdp", interface: "veth0", netns: network.name, mode: "generic", allowGap: false }),
    );
  });
  afterEach(async () => {
    await host.agent.remove(linkId, programId);
    await host.endSessions();
    host.assertEmpty();
    await host.remove();
    network.remove();
  });

  const isCode = (code: string) => (error: unknown) => error instanceof EbpfError && error.code === code;
  const running = () =>
    (network.inside(() => bpftool("net", "show")) as { xdp: { id: number }[] }[])[0]!.xdp[0]!.id;

  it("lets no packet through while 100 dropping programs follow each other under a flood", async () => {
    const flood = startFlood();
    try {
      await new Promise((resolve) => setTimeout(resolve, 300));
      const seen = echoesSeen();
      for (let i = 0; i < 100; i++) {
        const unused = { name: "tunable", section: ".data", offset: 0, bytes: bytes(i) };
        const { globals } = programSpec(guard, { verdict: XDP_DROP }).objects[0]!;
        await host.agent.apply(programSpec(guard, { globals: [...globals, unused] }));
        if (i % 10 === 0)
          await assert.rejects(
            host.agent.apply(programSpec(rejected, { verdict: XDP_DROP })),
            isCode("verifier"),
          );
      }
      assert.equal(echoesSeen(), seen, "a packet came through");
      const { programs } = await host.agent.observe(programId);
      assert.equal(running(), programs.xdp_guard!.programId);
      await host.agent.apply(programSpec(guard, { verdict: XDP_PASS }));
      for (let looks = 0; echoesSeen() === seen; looks++) {
        assert.ok(looks < 100, "the flood never reached the interface");
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    } finally {
      await stop(flood);
    }
  });

  /** Echo requests from the other end of the pair, in a namespace of its own. */
  function startFlood(): ChildProcess {
    return network.inside(() => {
      ip("address", "add", "192.0.2.1/24", "dev", "veth0");
      ip("netns", "add", `${network.name}-p`);
      ip("link", "set", "veth1", "netns", `${network.name}-p`);
      ip("-n", `${network.name}-p`, "address", "add", "192.0.2.2/24", "dev", "veth1");
      ip("-n", `${network.name}-p`, "link", "set", "veth1", "up");
      ip(
        "-n",
        `${network.name}-p`,
        "neighbour",
        "add",
        "192.0.2.1",
        "lladdr",
        macOf("veth0"),
        "dev",
        "veth1",
      );
      return spawn(
        "ip",
        ["netns", "exec", `${network.name}-p`, "ping", "-f", "-i", "0.001", "-w", "100", "192.0.2.1"],
        { stdio: "ignore" },
      );
    });
  }

  function macOf(name: string): string {
    return (JSON.parse(ip("-j", "link", "show", name)) as [{ address: string }])[0].address;
  }

  /** ICMP requests that the stack of veth0 saw. */
  function echoesSeen(): string {
    const counters = network.inside(() =>
      execFileSync("nstat", ["-asz", "IcmpInEchos"], { encoding: "utf8" }),
    );
    return /IcmpInEchos\s+(\d+)/.exec(counters)![1]!;
  }

  async function stop(flood: ChildProcess): Promise<void> {
    const ended = new Promise((resolve) => flood.once("exit", resolve));
    flood.kill("SIGINT");
    await ended;
    ip("netns", "delete", `${network.name}-p`);
  }

  function bytes(value: number): string {
    const buffer = Buffer.alloc(4);
    buffer.writeUInt32LE(value);
    return buffer.toString("base64");
  }

  it("leaves a link alone that somebody gave another program, shows it, and takes it back on apply", async () => {
    const foreign = await host.agent.apply(programSpec(guard, { verdict: 2 }, "demo/other/Program/foreign"));
    setProgram(foreign.programs.xdp_guard!.programId);
    assert.match(
      (await host.agent.drift(linkId)).join(),
      /^other-program: xdp on veth0.*demo\/other\/Program\/foreign/,
    );
    const { notes } = await host.agent.apply(programSpec(guard, { verdict: 2 }));
    assert.match(notes.join(), /runs program \d+, which is not ours; it was left so/);
    assert.equal(running(), foreign.programs.xdp_guard!.programId);
    const repaired = await host.agent.apply(
      linkSpec({ type: "xdp", interface: "veth0", netns: network.name, mode: "generic", allowGap: false }),
    );
    assert.deepEqual(repaired.drift, []);
    assert.match(repaired.notes.join(), /ran demo\/other\/Program\/foreign; it is replaced/);
    await host.agent.remove("demo/other/Program/foreign");
  });

  function setProgram(id: number): void {
    const link = LinkHandle.fromPin(`${host.roots.bpffs}/${host.pins(linkId)[0]}`);
    const program = ProgramHandle.fromId(id);
    try {
      link.update(program);
    } finally {
      program.close();
      link.close();
    }
  }

  it("resolves by the next apply what an undo could not set back, and shows it as mixed until then", async () => {
    // the new revision's program on the link, the old one gone for good: nothing to go back to
    const first = await host.agent.observe(programId);
    const stray = await host.agent.apply(
      programSpec(guard, { verdict: XDP_PASS }, "demo/other/Program/stray"),
    );
    const to = stray.programs.xdp_guard!.programId;
    setProgram(to);
    const pin = `${host.roots.bpffs}/${host.pins(linkId)[0]}`;
    const hook = { type: "xdp", interface: "veth0", netns: network.name, mode: "generic", allowGap: false };
    const applied = { hook: "xdp", linkId: 1, programId: 1, facts: {} };
    const place = { spec: linkId, part: "link", hook, applied, pin };
    const actions = [
      { type: "make-directory" },
      { type: "exchange-program", place, from: 2 ** 30, to },
      { type: "store-record" },
    ];
    const intent = { format: 1, id: programId, verb: "apply", from: 1, to: 2, actions };
    fs.writeFileSync(intentPath(host.roots, programId), JSON.stringify(intent));
    assert.match((await host.agent.drift(programId)).join(), /^incomplete: apply was interrupted/);
    await host.agent.call("remove", { id: programId, incarnation: "another" });
    assert.match(
      (await host.agent.drift(programId)).join(),
      /^mixed: some links run the old, some the new program: link of/,
    );
    await host.agent.apply(programSpec(guard, { verdict: XDP_DROP }));
    assert.deepEqual(await host.agent.drift(programId), []);
    assert.deepEqual(await host.agent.drift(linkId), []);
    assert.equal(running(), first.programs.xdp_guard!.programId);
    await host.agent.remove(stray.id);
  });

  it("names the holder of the lock when it waits too long", async () => {
    const lock = new Lock(host.roots, 200);
    const held = tryLock(`${host.roots.run}/lock`)!;
    try {
      await assert.rejects(
        lock.run("apply", [programId], () => undefined),
        isCode("locked"),
      );
    } finally {
      unlock(held);
    }
    let message = "";
    await lock.run("apply", [programId], async () => {
      await new Lock(host.roots, 50)
        .run("remove", [linkId], () => undefined)
        .catch((error: EbpfError) => (message = error.message));
    });
    assert.match(message, /held for 0.05 s by pid \d+, apply of demo\/test\/Program\/guard since 20/);
  });
});
