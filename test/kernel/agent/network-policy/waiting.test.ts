/** Changes of policies that wait to be confirmed: the kernel goes back by itself, whatever became of our processes. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Record } from "../../../../provider/agent/records";
import { digestOf } from "../../../../provider/protocol/spec";
import { closesEverything } from "../../bpf/support";
import type { AgentProcess } from "../support";
import { type Delivery, PolicyHost, tcp } from "./support";

describe("network policies that wait to be confirmed", function () {
  this.timeout(60_000);
  closesEverything();
  let at: PolicyHost;
  let agent: AgentProcess;

  beforeEach(() => {
    at = new PolicyHost();
    agent = at.host.spawn();
  });
  afterEach(async () => {
    await agent.end();
    await at.end();
  });

  const web = (...ports: number[]) =>
    at.policy("web", { ingress: ports.map((port) => ({ name: `port ${port}`, ports: tcp(port) })) });

  async function change({ spec, blobs }: Delivery, withinSeconds: number): Promise<void> {
    await agent.put(...blobs);
    await agent.call("apply", { spec, inputs: {}, incarnation: "one", confirm: { withinSeconds } });
  }

  const confirm = ({ spec }: Delivery) =>
    agent.call("confirm", { id: spec.id, incarnation: "one", specDigest: digestOf(spec) });

  /** Of the change's own process group, as its Record names it. */
  function killClock({ spec }: Delivery): void {
    const file = path.join(at.host.roots.state, "records", `${spec.id.replaceAll("/", "%2F")}.json`);
    process.kill(-(JSON.parse(fs.readFileSync(file, "utf8")) as Record).unconfirmed!.timer, "SIGKILL");
  }

  it("goes back in the kernel when all our processes are dead, and the next apply goes on from there", async () => {
    await at.apply(web(443));
    await change(web(443, 80), 3);
    assert.ok(at.network.enters(80));
    killClock(web());
    agent.child.kill("SIGKILL");
    await sleep(3_200);
    assert.ok(at.network.keptOut(80), "the earlier rules judge again");
    assert.ok(at.network.enters(443));
    assert.match((await at.agent.drift(web().spec.id)).join("\n"), /generation \d+ judges in place of/);
    await at.apply(web(22));
    assert.ok(at.network.enters(22) && !at.network.enters(443));
    assert.deepEqual(await at.agent.drift(web().spec.id), []);
  });

  it("lets everything pass again where nothing judged before", async () => {
    await change(web(443), 3);
    assert.ok(at.network.keptOut(80));
    killClock(web());
    await sleep(3_200);
    assert.ok(at.network.enters(80));
  });

  it("stays when it is confirmed", async () => {
    await at.apply(web(443));
    await change(web(80), 3);
    assert.deepEqual(await confirm(web(80)), { confirmed: true });
    await sleep(3_200);
    assert.ok(at.network.enters(80) && !at.network.enters(443));
    assert.deepEqual(await at.agent.drift(web().spec.id), []);
  });

  it("lets its own stack go on, and no other come in between", async () => {
    await at.apply(web(443));
    await change(web(443, 80), 30);
    const other = at.policy("ssh", { ingress: [{ name: "ssh", ports: tcp(22) }] }, "demo/other");
    assert.match(
      await at.refusal(other),
      /^conflict: judge veth0 otherwise: demo\/test\/NetworkPolicy\/web waits there to be confirmed, for \d+ s more/,
    );
    await change(web(443, 22), 30);
    assert.ok(at.network.enters(22) && !at.network.enters(80));
    assert.deepEqual(await confirm(web(443, 22)), { confirmed: true });
    await at.apply(other);
    assert.ok(at.network.enters(22) && at.network.enters(443));
  });
});
