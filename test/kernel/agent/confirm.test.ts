/** Changes that go back by themselves unless they are confirmed in time. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EbpfError } from "../../../provider/errors";
import { type Record } from "../../../provider/agent/records";
import { type Spec, digestOf } from "../../../provider/protocol/spec";
import { until } from "../../support/until";
import { closesEverything, PrivateNetwork } from "../bpf/support";
import {
  type AgentProcess,
  compileGuard,
  linkId,
  linkSpec,
  programId,
  programSpec,
  TestHost,
} from "./support";

const guard = compileGuard();

describe("confirm", function () {
  this.timeout(120_000);
  closesEverything();
  let host: TestHost;
  let agent: AgentProcess;
  let network: PrivateNetwork;
  const earlier = programSpec(guard, { verdict: 2 });
  const later = programSpec(guard, { verdict: 1 });

  beforeEach(() => {
    host = new TestHost();
    network = new PrivateNetwork();
    agent = host.spawn();
  });
  afterEach(async () => {
    await agent.end();
    await host.remove();
    network.remove();
  });

  const change = (spec: Spec, withinSeconds = 60, incarnation = "one", by = agent) =>
    by.call("apply", { spec, inputs: { version: digestOf(spec) }, incarnation, confirm: { withinSeconds } });
  const confirm = (spec: Spec, incarnation = "one") =>
    agent.call("confirm", { id: spec.id, incarnation, specDigest: digestOf(spec) });
  const recordFile = (id = programId) =>
    path.join(host.roots.state, "records", `${id.replaceAll("/", "%2F")}.json`);
  const record = (id = programId) => JSON.parse(fs.readFileSync(recordFile(id), "utf8")) as Record;
  const hook = () =>
    ({ type: "xdp", interface: "veth0", netns: network.name, mode: "generic", allowGap: false }) as const;

  /** As `ip` sees it. */
  function runningProgram(): number | undefined {
    const show = ["-n", network.name, "-j", "-d", "link", "show", "veth0"];
    const [link] = JSON.parse(execFileSync("ip", show, { encoding: "utf8" })) as {
      xdp?: { prog?: { id: number } };
    }[];
    return link?.xdp?.prog?.id;
  }

  const eventually = (what: string, holds: () => boolean) => until(what, holds, 10);

  const clockRuns = (pid: number) =>
    fs.existsSync(`/proc/${pid}/cmdline`) &&
    fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("revert");
  const clockGoes = (pid: number) => eventually("the clock is gone", () => !clockRuns(pid));

  it("a change that nobody confirms goes back, though its session is over: program, links and inputs", async () => {
    await agent.put(guard);
    await agent.apply(earlier, "one", { version: 1 });
    await agent.apply(linkSpec(hook()));
    const before = runningProgram();
    const { revertsAt, drift } = await change(later, 2);
    assert.deepEqual(drift, []);
    assert.ok(Date.parse(revertsAt!) > Date.now());
    assert.notEqual(runningProgram(), before);
    const clock = record().unconfirmed!.timer;
    assert.ok(clockRuns(clock));
    await agent.end();
    await eventually("it went back", () => record().wentBackAt !== undefined);
    await clockGoes(clock);
    assert.deepEqual(record().inputs, { version: 1 });
    assert.deepEqual(await host.agent.drift(programId), [
      `unconfirmed: went back at ${record().wentBackAt}: not confirmed`,
    ]);
    assert.deepEqual(await host.agent.drift(linkId), []);
    assert.equal(record().programs["xdp_guard"]!.programId, runningProgram());
    await host.agent.apply(earlier, "one", { version: 1 });
    assert.deepEqual(await host.agent.drift(programId), [], "an apply takes note of it");
  });

  it("a change that was confirmed in time stays, and confirming it once more changes nothing", async () => {
    await agent.put(guard);
    await agent.apply(earlier);
    await change(later, 2);
    const clock = record().unconfirmed!.timer;
    assert.deepEqual(await confirm(later), { confirmed: true });
    await clockGoes(clock);
    assert.deepEqual(await confirm(later), { confirmed: true });
    await sleep(2_500);
    const status = await agent.observe(programId);
    assert.deepEqual([status.specDigest, status.revertsAt, status.drift], [digestOf(later), undefined, []]);
  });

  it("what was not there before goes away", async () => {
    await agent.put(guard);
    await change(later, 1);
    const clock = record().unconfirmed!.timer;
    await clockGoes(clock);
    assert.equal(await agent.look(programId), null);
    host.assertEmpty();
  });

  it("it goes back when the agent dies right after the commit", async () => {
    await agent.put(guard);
    await agent.apply(earlier);
    const dying = host.spawn("apply:store-record:kill:after");
    await assert.rejects(change(later, 1, "one", dying));
    await dying.end();
    const { specDigest, unconfirmed } = record();
    assert.equal(specDigest, digestOf(later));
    await eventually("it went back", () => record().specDigest === digestOf(earlier));
    await clockGoes(unconfirmed!.timer);
  });

  it("an apply that fails leaves no clock", async () => {
    await agent.put(guard);
    await agent.apply(earlier);
    const failing = host.spawn("apply:store-record:error");
    try {
      await assert.rejects(change(later, 60, "one", failing), /fault injected/);
      const children = `/proc/${failing.child.pid}/task/${failing.child.pid}/children`;
      await eventually("its clock is gone", () => fs.readFileSync(children, "utf8").trim() === "");
    } finally {
      await failing.end();
    }
    assert.equal(record().specDigest, digestOf(earlier));
  });

  it("nothing waits where nothing changes", async () => {
    await agent.put(guard);
    await agent.apply(earlier);
    assert.equal((await change(earlier)).revertsAt, undefined);
  });

  it("the next change takes the place of one that waits, and goes back to what was confirmed last", async () => {
    await agent.put(guard);
    await agent.apply(earlier);
    await change(later);
    const clock = record().unconfirmed!.timer;
    await change(programSpec(guard, { verdict: 3 }), 1);
    const next = record().unconfirmed!.timer;
    await clockGoes(clock);
    await eventually("it went back", () => record().wentBackAt !== undefined);
    await clockGoes(next);
    assert.equal(record().specDigest, digestOf(earlier));
    await change(later);
    const second = record().unconfirmed!.timer;
    assert.equal((await agent.apply(later)).revertsAt, undefined, "without confirm it stays");
    await clockGoes(second);
  });

  it("the same change once more has its time anew", async () => {
    await agent.put(guard);
    await change(later, 60);
    const { timer, until } = record().unconfirmed!;
    const { revertsAt } = await change(later, 90);
    assert.ok(Date.parse(revertsAt!) > Date.parse(until));
    await clockGoes(timer);
    assert.deepEqual(await confirm(later), { confirmed: true });
  });

  it("another version, another creation, and what is over are not confirmed, each with its reason", async () => {
    await agent.put(guard);
    await agent.apply(earlier);
    assert.match((await confirm(later)).reason!, /another version/);
    await change(later, 1);
    assert.match((await confirm(later, "two")).reason!, /another version/);
    process.kill(-record().unconfirmed!.timer, "SIGKILL");
    await sleep(1_100);
    assert.match((await confirm(later)).reason!, /its time was over at/);
    await agent.remove(programId);
    assert.match((await confirm(later)).reason!, /not on this host/);
  });

  it("without its clock it is told as drift, which the next apply repairs", async () => {
    await agent.put(guard);
    await agent.apply(earlier);
    await change(later, 1);
    process.kill(-record().unconfirmed!.timer, "SIGKILL");
    await sleep(1_100);
    assert.match(
      (await agent.drift(programId)).join(),
      /^unconfirmed: was not confirmed until .*, and has not gone/,
    );
    await agent.apply(later);
    assert.deepEqual(await agent.drift(programId), []);
  });

  it("a boot is no confirmation: what was before it is restored", async () => {
    await agent.put(guard);
    await agent.apply(earlier);
    await change(later);
    process.kill(-record().unconfirmed!.timer, "SIGKILL");
    assert.deepEqual(await agent.call("restore", {}), [
      { id: programId, restored: true, notes: ["waits to be confirmed: left as it is"] },
    ]);
    fs.writeFileSync(recordFile(), JSON.stringify({ ...record(), bootId: "another" }));
    assert.deepEqual(await agent.call("restore", {}), [
      {
        id: programId,
        restored: true,
        notes: ["was not confirmed before the boot: went back to what was there before"],
      },
    ]);
    assert.equal(record().specDigest, digestOf(earlier));
    assert.equal(record().bootId, fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  });

  it("what others refer to by then cannot go, and says so", async () => {
    await agent.put(guard);
    await change(later, 1);
    await agent.apply(linkSpec(hook()));
    const clock = record().unconfirmed!.timer;
    await eventually("it tried", () => record().unconfirmed?.obstacle !== undefined);
    process.kill(-clock, "SIGKILL");
    assert.match(
      (await agent.drift(programId)).join(),
      /has not gone back: remove .*demo\/test\/Attachment\/link/,
    );
    await assert.rejects(agent.remove(programId), (error) => EbpfError.is(error, "conflict"));
  });
});
