/** Incarnations, Records, locks, sessions side by side, and what is left after a reboot. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { EbpfError } from "../../../provider/errors";
import { intentPath, specDirectory } from "../../../provider/agent/layout";
import { closesEverything, PrivateNetwork } from "../bpf/support";
import {
  compileGuard,
  entriesId,
  entriesSpec,
  linkId,
  linkSpec,
  programId,
  programSpec,
  TestHost,
} from "./support";

const guard = compileGuard();

describe("identity", function () {
  this.timeout(120_000);
  closesEverything();
  let host: TestHost;
  let network: PrivateNetwork;

  beforeEach(async () => {
    host = new TestHost();
    network = new PrivateNetwork();
    await host.agent.put(guard);
    await host.agent.apply(programSpec(guard));
  });
  afterEach(async () => {
    await host.remove();
    network.remove();
  });

  const hook = (name = "veth0") =>
    ({ type: "xdp", interface: name, netns: network.name, mode: "generic", allowGap: false }) as const;
  const isCode =
    (code: string, pattern = /./) =>
    (error: unknown) =>
      error instanceof EbpfError && error.code === code && pattern.test(error.message);
  const recordFile = (id: string) =>
    path.join(host.roots.state, "records", `${id.replaceAll("/", "%2F")}.json`);

  it("adopts what another creation left, without touching the kernel", async () => {
    const before = await host.agent.observe(programId);
    const adopted = await host.agent.apply(programSpec(guard), "two");
    assert.equal(adopted.incarnation, "two");
    assert.deepEqual(adopted.programs, before.programs);
    const removal = await host.agent.call("remove", { id: programId, incarnation: "one" });
    assert.equal(removal.removed, false);
    assert.match(removal.reason!, /later creation/);
    assert.deepEqual((await host.agent.observe(programId)).programs, before.programs);
    assert.equal((await host.agent.call("remove", { id: programId, incarnation: "two" })).removed, true);
    host.assertEmpty();
  });

  it("answers the inputs that were applied, and stores new ones without a new revision", async () => {
    const { revision } = await host.agent.apply(programSpec(guard), "one", { user: "a" });
    assert.equal(revision, 1);
    const result = await host.agent.look(programId);
    assert.deepEqual(result!.inputs, { user: "a" });
  });

  it("refuses to remove what another Record refers to, naming it", async () => {
    await host.agent.apply(linkSpec(hook()));
    await assert.rejects(
      host.agent.call("remove", { id: programId, incarnation: "one" }),
      (error) => EbpfError.is(error, "conflict") && error.details.owner === linkId,
    );
    await assert.rejects(
      host.agent.apply(programSpec(guard, { entrypoints: ["xdp_other"] })),
      (error) => EbpfError.is(error, "conflict") && error.details.owner === linkId,
    );
    assert.deepEqual(await host.agent.drift(linkId), []);
    await host.agent.remove(linkId);
    await host.agent.apply(programSpec(guard, { entrypoints: ["xdp_other"] }));
  });

  it("sees a Record that another session wrote", async () => {
    const other = host.open();
    await other.apply(linkSpec(hook()));
    await assert.rejects(
      host.agent.call("remove", { id: programId, incarnation: "one" }),
      isCode("conflict"),
    );
    await other.remove(linkId);
    await host.agent.remove(programId);
  });

  it("answers for several Specs at once, though one of them is damaged and one is not there", async () => {
    await host.agent.apply(linkSpec(hook()));
    fs.writeFileSync(recordFile(linkId), "{");
    const ids = [linkId, "demo/test/Program/nobody", programId];
    const [damaged, absent, program] = await host.agent.call("observe", { ids });
    assert.ok(damaged && "error" in damaged);
    assert.equal(damaged.error.code, "record");
    assert.equal(absent, null);
    assert.ok(program && "status" in program);
    assert.equal(program.status.id, programId);
  });

  it("names a damaged Record, and one of a newer format with both versions", async () => {
    fs.writeFileSync(recordFile(programId), "{");
    await assert.rejects(
      host.agent.observe(programId),
      isCode("record", /demo\/test\/Program\/guard: damaged: it is not JSON/),
    );
    await assert.rejects(host.agent.apply(programSpec(guard)), isCode("record"));
    const [summary] = await host.agent.call("list", {});
    assert.equal(summary!.id, programId);
    assert.match(summary!.damaged!, /not JSON/);
    fs.writeFileSync(recordFile(programId), JSON.stringify({ format: 9 }));
    await assert.rejects(
      host.agent.call("remove", { id: programId, incarnation: "one" }),
      isCode("record", /format 9, this agent knows up to 1/),
    );
  });

  it("refuses every verb that would act on a newer Record or intent, naming both versions", async () => {
    const newer = isCode("record", /format 9, this agent knows up to 1/);
    const verbs = (agent: typeof host.agent) => [
      () => agent.call("remove", { id: programId, incarnation: "one" }),
      () => agent.apply(programSpec(guard, { verdict: 1 })),
    ];
    const before = host.pins();
    const intent = intentPath(host.roots, programId);
    fs.writeFileSync(intent, JSON.stringify({ format: 9, id: programId }));
    for (const verb of verbs(host.open())) await assert.rejects(verb, newer);
    assert.equal(fs.existsSync(intent), true);
    // other Specs go on
    await host.agent.apply(programSpec(guard, {}, "demo/test/Program/beside"));
    fs.unlinkSync(intent);
    fs.writeFileSync(recordFile(programId), JSON.stringify({ format: 9, id: programId }));
    for (const verb of verbs(host.open())) await assert.rejects(verb, newer);
    await assert.rejects(host.agent.observe(programId), newer);
    assert.deepEqual(host.pins(programId), before);
  });

  it("keeps Records to root", async () => {
    assert.equal(fs.statSync(recordFile(programId)).mode & 0o777, 0o600);
    assert.equal(fs.statSync(path.dirname(recordFile(programId))).mode & 0o777, 0o700);
  });

  it("calls pins without a Record incomplete, and apply takes over", async () => {
    fs.unlinkSync(recordFile(programId));
    assert.match((await host.agent.drift(programId)).join(), /^incomplete: pins without a Record/);
    const status = await host.agent.apply(programSpec(guard));
    assert.deepEqual(status.drift, []);
    assert.equal(fs.readdirSync(specDirectory(host.roots, programId)).length, 1);
  });

  it("puts back a pin that somebody removed, without loading again", async () => {
    const before = await host.agent.apply(linkSpec(hook()));
    const program = await host.agent.observe(programId);
    for (const pin of host.pins())
      if (/links|xdp_guard/.test(pin)) {
        // something else must hold the link, as the kernel would free it
        if (pin.includes("links")) continue;
        fs.unlinkSync(path.join(host.roots.bpffs, pin));
      }
    assert.match((await host.agent.drift(programId)).join(), /^pin-missing/);
    const after = await host.agent.apply(programSpec(guard));
    assert.deepEqual(after.drift, []);
    assert.equal(after.programs.xdp_guard!.programId, program.programs.xdp_guard!.programId);
    assert.equal((await host.agent.observe(linkId)).links.link!.linkId, before.links.link!.linkId);
  });

  it("serves two sessions at once", async () => {
    const sessions = [host.spawn(), host.spawn(), host.spawn()];
    try {
      await Promise.all(
        sessions.map(async (session, index) => {
          await session.put(guard);
          for (let i = 0; i < 5; i++)
            await session.apply(programSpec(guard, {}, `demo/s${index}/Program/p${i}`));
        }),
      );
    } finally {
      for (const session of sessions) await session.end();
    }
    assert.equal(host.records().length, 16);
    assert.equal(
      (await host.agent.call("list", {})).filter(({ damaged }) => damaged !== undefined).length,
      0,
    );
  });

  it("keeps a blob that a session put and has not applied yet", async () => {
    const other = host.spawn();
    const blob = Buffer.from("not applied yet");
    try {
      await other.put(blob);
      await host.agent.remove(programId);
      assert.equal(host.blobs().length, 1);
    } finally {
      await other.end();
    }
    assert.deepEqual(host.blobs(), []);
  });

  it("says that nothing is loaded since boot, and restore brings all back in order", async () => {
    const rows = entriesSpec([
      [1, 1],
      [2, 2],
    ]);
    await host.agent.put(...rows.blobs);
    await host.agent.apply(rows.spec);
    await host.agent.apply(linkSpec(hook()));
    reboot();
    for (const id of [linkId, entriesId, programId])
      assert.match((await host.agent.drift(id)).join(), /^not-loaded: not loaded since boot/);
    await assert.rejects(host.agent.apply(linkSpec(hook())), isCode("not-found", /not loaded since boot/));
    const results = await host.agent.call("restore", {});
    assert.deepEqual(
      results.map(({ restored }) => restored),
      [true, true, true],
      JSON.stringify(results),
    );
    for (const id of [linkId, entriesId, programId]) assert.deepEqual(await host.agent.drift(id), []);
    assert.equal((await host.agent.observe(programId)).incarnation, "one");
    await host.agent.remove(linkId, entriesId, programId);
    host.assertEmpty();
  });

  it("removes after a reboot what was never restored", async () => {
    await host.agent.apply(linkSpec(hook()));
    reboot();
    await host.agent.remove(linkId, programId);
    host.assertEmpty();
  });

  /** What a reboot does to bpffs, the run directory, and the meaning of Records. */
  function reboot(): void {
    fs.rmSync(path.join(host.roots.bpffs, "pulumi-ebpf"), { recursive: true });
    fs.rmSync(host.roots.run, { recursive: true });
    for (const name of host.records()) {
      const file = path.join(host.roots.state, "records", name);
      const record = JSON.parse(fs.readFileSync(file, "utf8")) as { bootId: string };
      fs.writeFileSync(file, JSON.stringify({ ...record, bootId: "an earlier boot" }));
    }
  }
});
