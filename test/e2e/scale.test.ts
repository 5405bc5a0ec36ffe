/**
 * Stacks on one PostgreSQL, run at once as CI jobs would run them: examples/gitops/stacks. Two of one host each, and under
 * test:all four of five.
 */
import assert from "node:assert/strict";
import { descendants, parents } from "../support/processes";
import { Stacks } from "../support/stacks";
import { bpffsOf, programOnEth0 } from "./filter";

const all = process.env["EBPF_TEST_ALL"] === "1";
const names = all ? ["north", "east", "south", "west"] : ["north", "south"];
const size = all ? 5 : 1;

describe(`Given ${names.length} stacks on one PostgreSQL, hosts of each: ${size}`, function () {
  this.timeout(300_000);
  let stacks: Stacks;

  before(async () => {
    stacks = await Stacks.create(Object.fromEntries(names.map((name) => [name, size])));
  });

  after(() => stacks?.destroy());

  const programsOf = (stack: string) => Promise.all(stacks.hosts[stack]!.map(programOnEth0));

  /** Until a stack is locked by whoever changes it. */
  async function locked(stack: string): Promise<void> {
    for (let attempt = 0; (await stacks.locksOf(stack)).length === 0; attempt++) {
      assert.ok(attempt < 200, `${stack} was never locked`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  it("all go up at once, each with its own hosts, and keep their state in the database", async () => {
    const { code, stdout, stderr } = await stacks.run("stacks", "up", ...names);
    assert.equal(code, 0, stdout + stderr);
    for (const name of names) {
      assert.match(
        stdout,
        new RegExp(`^${name}: .*${3 * size} created|^${name}: +\\+ ${3 * size + 1} created`, "m"),
      );
      for (const program of await programsOf(name)) assert.notEqual(program, undefined, name);
      assert.deepEqual(await stacks.locksOf(name), []);
    }
    const keys = await stacks.postgres.query("select key from pulumi_state where key like '%/stacks/%'");
    for (const name of names)
      assert.ok(
        keys.some((key) => key.endsWith(`/${name}.json`)),
        keys.join(),
      );
  });

  it("of two ups of one stack exactly one fails, at once, and names the lock; stack-job waits instead", async () => {
    const before = await programsOf("north");
    stacks.configure("north", 10);
    const up = ["up", "--yes", "--skip-preview", "--non-interactive", "--stack", "north"];
    const first = stacks.run("pulumi", ...up);
    await locked("north");
    const [second, waiting] = await Promise.all([
      stacks.run("pulumi", ...up),
      stacks.run("stack-job", "up", "north"),
    ]);
    assert.equal(second.code, 1);
    assert.match(second.stderr + second.stdout, /the stack is currently locked by 1 lock/);
    assert.equal((await first).code, 0);
    assert.equal(waiting.code, 0, waiting.stdout);
    assert.match(waiting.stdout, /stack-job: north is locked, try 1 of 30/);
    assert.match(waiting.stdout, /unchanged/);
    for (const [index, program] of (await programsOf("north")).entries()) {
      assert.notEqual(program, before[index]);
    }
  });

  it("the lock of a killed job is cancelled by the next one of its machine, which finishes the change", async () => {
    stacks.configure("south", 10);
    const before = await programsOf("south");
    const job = stacks.spawn(
      "pulumi",
      "up",
      "--yes",
      "--skip-preview",
      "--non-interactive",
      "--stack",
      "south",
    );
    await locked("south");
    const ended = new Promise((done) => job.once("exit", done));
    // stopped first, so that it starts nothing more: the language host does not end with its engine
    job.kill("SIGSTOP");
    const started = descendants(job.pid!);
    job.kill("SIGKILL");
    await ended;
    for (const pid of started.filter((one) => parents().has(one))) process.kill(pid, "SIGKILL");
    const refused = await stacks.run("pulumi", "up", "--yes", "--skip-preview", "--stack", "south");
    assert.match(refused.stderr + refused.stdout, /currently locked/);
    const { code, stdout } = await stacks.run("stack-job", "up", "south");
    assert.equal(code, 0, stdout);
    assert.match(stdout, /the lock of south is of a job that runs no more: cancelled/);
    for (const [index, program] of (await programsOf("south")).entries()) {
      assert.notEqual(program, before[index]);
    }
    assert.equal((await stacks.run("stacks", "drift", "south")).code, 0);
  });

  it("drift of one stack does not hide behind the others: status 7, and a repair of all", async () => {
    const [host] = stacks.hosts["south"]!;
    const program = await programOnEth0(host!);
    const links = await host!.bpftool<{ id: number; prog_id: number }[]>("link", "list");
    const link = links.find(({ prog_id }) => prog_id === program);
    await host!.exec(["bpftool", "link", "detach", "id", String(link?.id)]);
    assert.equal(await programOnEth0(host!), undefined);
    const drift = await stacks.run("stacks", "drift", ...names);
    assert.equal(drift.code, 7, drift.stdout);
    assert.match(drift.stdout, /^south: .*detached from eth0/m);
    assert.match(drift.stdout, /^stacks: drift of south ended with status 7$/m);
    assert.equal((await stacks.run("stacks", "repair", "south")).code, 0);
    assert.notEqual(await programOnEth0(host!), undefined);
  });

  it("all go down at once, and nothing is left on any host", async () => {
    const { code, stdout } = await stacks.run("stacks", "destroy", ...names);
    assert.equal(code, 0, stdout);
    for (const host of names.flatMap((name) => stacks.hosts[name]!)) {
      assert.equal(await programOnEth0(host), undefined);
      assert.deepEqual(await bpffsOf(host), []);
    }
  });
});
