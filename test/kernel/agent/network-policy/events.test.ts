/** Sampled verdicts that a session reads from a host, by real packets. */
import assert from "node:assert/strict";
import type { EventFacts } from "../../../../provider/protocol/policy";
import { closesEverything } from "../../bpf/support";
import type { Agent } from "../support";
import { PolicyHost, tcp } from "./support";

describe("sampled verdict events", function () {
  this.timeout(60_000);
  let at: PolicyHost;

  beforeEach(() => {
    at = new PolicyHost();
  });
  afterEach(() => at.end());
  closesEverything();

  const sampled = { sampleRate: 1 };
  const stack = "demo/test";

  /** Until there are so many on that port of the host, whatever else is told. */
  async function eventsOn(port: number, count: number, agent: Agent = at.agent, policy?: string) {
    const found: EventFacts[] = [];
    while (found.length < count) {
      const { events } = await agent.call("policy.events", policy === undefined ? {} : { policy });
      found.push(
        ...events.filter(({ packet }) => [packet?.sourcePort, packet?.destinationPort].includes(port)),
      );
    }
    return found;
  }

  it("tell of real packets: where, when, what, and the rule that decided", async () => {
    await at.apply(
      at.policy("web", {
        ...sampled,
        ingress: [
          { name: "https", ports: tcp(443) },
          { name: "no telnet", action: "deny", ports: tcp(23) },
        ],
      }),
    );
    const { sampled: where } = await at.agent.call("policy.events", {});
    assert.deepEqual(where, [
      { interfaces: ["veth0"], netns: `/run/netns/${at.network.name}`, sampleRate: 1 },
    ]);
    const began = Date.now();
    assert.ok(at.network.enters(443));
    assert.ok(at.network.keptOut(23));
    assert.ok(at.network.keptOut(80));
    const [syn, reset] = await eventsOn(443, 2);
    const rule = (name: string) => ({ stack, policy: "web", direction: "ingress", name });
    const { time, generation, ...facts } = syn!;
    assert.ok(Math.abs(Date.parse(time) - began) < 30_000, time);
    assert.equal(generation, (await at.agent.call("policy.show", { limit: 1 }))[0]!.generation);
    const { sourcePort } = facts.packet!;
    assert.deepEqual(facts, {
      ...{ interface: "veth0", netns: `/run/netns/${at.network.name}`, direction: "ingress" },
      ...{ verdict: "allow", reason: "rule", rule: rule("https"), bytes: 74 },
      packet: {
        protocol: 6,
        source: "10.98.0.2",
        sourcePort,
        destination: "10.98.0.1",
        destinationPort: 443,
      },
    });
    assert.deepEqual(
      [reset!.direction, reset!.verdict, reset!.reason, reset!.packet!.destinationPort],
      ["egress", "allow", "connection", sourcePort],
    );
    const judged = async (port: number) => {
      at.network.knocks(port);
      const [{ verdict, reason, rule: by }] = (await eventsOn(port, 1)) as [EventFacts];
      return [verdict, reason, by];
    };
    assert.deepEqual(await judged(23), ["deny", "rule", rule("no telnet")]);
    assert.deepEqual(await judged(80), ["deny", "default", undefined]);
  });

  it("mark what audit policies would drop, and pass it", async () => {
    await at.apply(
      at.policy("trial", {
        ...{ ...sampled, mode: "audit" },
        ingress: [{ name: "no telnet", action: "deny", ports: tcp(23) }],
      }),
    );
    await at.agent.call("policy.events", {});
    assert.ok(at.network.enters(23));
    const [event] = await eventsOn(23, 1);
    assert.deepEqual([event!.verdict, event!.reason, event!.rule], ["allow", "unnamed", undefined]);
    assert.deepEqual(event!.audit, {
      verdict: "deny",
      rule: { stack, policy: "trial", direction: "ingress", name: "no telnet" },
    });
  });

  it("follow a change of the rules, and a program that is loaded anew", async () => {
    const web = (port: number, rate: number) =>
      at.policy("web", { sampleRate: rate, ingress: [{ name: `port ${port}`, ports: tcp(port) }] });
    await at.apply(web(443, 1));
    await at.agent.call("policy.events", {});
    await at.apply(web(8443, 1));
    assert.ok(at.network.enters(8443));
    assert.equal((await eventsOn(8443, 1))[0]!.rule?.name, "port 8443");
    const [before] = at.programs("ingress");
    // a global of the program, which is loaded anew for it
    await at.apply(web(9443, 2));
    assert.notEqual(at.programs("ingress")[0], before);
    const found = eventsOn(9443, 1);
    let ended = false;
    void found.finally(() => (ended = true));
    while (!ended) {
      at.network.knocks(9443);
      await new Promise((done) => setTimeout(done, 10));
    }
    assert.equal((await found)[0]!.rule?.name, "port 9443");
  });

  it("that nobody read are not told, and make room, so that what comes then is", async () => {
    await at.apply(
      at.policy("web", { ...sampled, ingress: [{ name: "udp", ports: [{ protocol: "UDP" }] }] }),
    );
    // more than a ring of 256 KiB has room for
    at.network.floods(4000);
    await at.agent.call("policy.events", {});
    at.network.knocks(443);
    const [event] = await eventsOn(443, 1);
    assert.equal(event!.verdict, "deny");
  });

  it("go to one session: another is refused and disturbs it not, and reads when it has ended", async () => {
    await at.apply(at.policy("web", { ...sampled, ingress: [{ name: "https", ports: tcp(443) }] }));
    const reader = at.host.spawn();
    await reader.call("policy.events", {});
    await assert.rejects(at.agent.call("policy.events", {}), { code: "locked" });
    assert.ok(at.network.enters(443));
    assert.equal((await eventsOn(443, 2, reader)).length >= 2, true);
    // as when its connection drops
    await reader.end();
    await at.agent.call("policy.events", {});
    assert.ok(at.network.enters(443));
    await eventsOn(443, 2);
  });

  it("of one policy are those of its rules, and those that no rule decided", async () => {
    await at.apply(at.policy("web", { ...sampled, ingress: [{ name: "https", ports: tcp(443) }] }));
    await at.apply(at.policy("admin", { ingress: [{ name: "ssh", ports: tcp(22) }] }));
    const ask = { policy: `${stack}/NetworkPolicy/admin` };
    await at.agent.call("policy.events", ask);
    for (const port of [443, 22, 80]) at.network.knocks(port);
    const found: EventFacts[] = [];
    while (!found.some(({ packet }) => packet?.destinationPort === 80))
      found.push(...(await at.agent.call("policy.events", ask)).events);
    const opened = found.filter(({ reason }) => reason === "rule").map(({ rule }) => rule?.name);
    assert.deepEqual([...new Set(opened)], ["ssh"]);
    assert.ok(found.every(({ rule }) => rule === undefined || rule.policy === "admin"));
  });

  it("are refused with the remedy where nothing is sampled, or nothing judges", async () => {
    await assert.rejects(at.agent.call("policy.events", {}), { message: /no policy judges there/ });
    await at.apply(at.policy("web", { ingress: [] }));
    await assert.rejects(at.agent.call("policy.events", {}), { message: /no packets are sampled there/ });
    const policy = `${stack}/NetworkPolicy/other`;
    await assert.rejects(at.agent.call("policy.events", { policy }), {
      message: /other judges nothing there/,
    });
  });
});
