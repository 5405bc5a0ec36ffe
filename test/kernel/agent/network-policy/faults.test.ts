/**
 * The agent killed, or made to fail, at every action by which policies change. Whatever happened: what was let in
 * before and after is let in, what was kept out is kept out, the next verb converges, and removal leaves nothing.
 */
import assert from "node:assert/strict";
import { closesEverything } from "../../bpf/support";
import { type AgentProcess } from "../support";
import { type Delivery, PolicyHost, setSpec, tcp } from "./support";

interface Scenario {
  title: string;
  verb: "apply" | "remove";
  before: (at: PolicyHost) => Delivery[];
  target: (at: PolicyHost) => Delivery;
  /** The interface is judged before. */
  judged: boolean;
}

const https = { name: "https", ports: tcp(443) };
const ssh = { name: "ssh", ports: tcp(22) };
const web = (at: PolicyHost, ...ingress: (typeof https)[]) =>
  at.policy("web", { interfaces: ["veth*"], ingress });
const other = (at: PolicyHost) =>
  at.policy("other", { interfaces: ["veth2"], ingress: [https, ssh] }, "demo/other");
const offices = (...networks: string[]) => setSpec("offices", networks);
const fromOffices = (at: PolicyHost) =>
  at.policy("web", {
    sets: { offices: offices().spec.id },
    ingress: [{ ...https, from: [{ addressSet: "offices" }] }],
  });

const scenarios: Scenario[] = [
  { title: "create", verb: "apply", before: () => [], target: (at) => web(at, https), judged: false },
  {
    title: "another content",
    verb: "apply",
    before: (at) => [web(at, https)],
    target: (at) => web(at, https, ssh),
    judged: true,
  },
  {
    title: "interfaces that part",
    verb: "apply",
    before: (at) => [web(at, https)],
    target: other,
    judged: true,
  },
  {
    title: "another content of a set",
    verb: "apply",
    before: (at) => [offices("10.98.0.0/24"), fromOffices(at)],
    target: () => offices("10.98.0.0/24", "192.0.2.0/24"),
    judged: true,
  },
  {
    title: "removal of one of two policies",
    verb: "remove",
    before: (at) => [web(at, https), other(at)],
    target: other,
    judged: true,
  },
  {
    title: "removal of the last policy",
    verb: "remove",
    before: (at) => [web(at, https)],
    target: (at) => web(at, https),
    judged: false,
  },
];

/** Of the policy's own transaction and of those of its planes, whichever meets it first. */
const ACTIONS = [
  "make-directory",
  ...["raise-planes", "fill-generation", "switch-generation", "pin-program", "pin-map", "pin-link"],
  ...["attach-link", "store-record", "drop-link", "delete-record", "settle-planes", "drop-revisions"],
];

/** Failing takes the way of being killed, but for what this process knows: not for every day. */
const EFFECTS = process.env["EBPF_TEST_ALL"] ? ["kill", "error:after"] : ["kill"];

describe("faults at every action of network policies", function () {
  this.timeout(300_000);
  closesEverything();

  async function run(agent: PolicyHost["agent"], { verb }: Scenario, target: Delivery): Promise<void> {
    if (verb === "apply") await agent.deliver(target.spec, target.blobs);
    else await agent.remove(target.spec.id);
  }

  async function meets(at: PolicyHost, scenario: Scenario, fault: string, effect: string): Promise<void> {
    const target = scenario.target(at);
    if (effect === "kill") {
      const agent: AgentProcess = at.host.spawn(fault);
      await run(agent, scenario, target).catch(() => undefined);
      await agent.end();
      return;
    }
    process.env.PULUMI_EBPF_FAULT = fault;
    try {
      await run(at.agent, scenario, target).catch(() => undefined);
    } finally {
      delete process.env.PULUMI_EBPF_FAULT;
    }
  }

  for (const scenario of scenarios) {
    for (const effect of EFFECTS) {
      it(`${scenario.title}: ${effect}`, async () => {
        const at = new PolicyHost(2);
        try {
          for (const action of ACTIONS) await strike(at, scenario, action, effect);
        } finally {
          await at.end();
        }
      });
    }
  }

  async function strike(at: PolicyHost, scenario: Scenario, action: string, effect: string): Promise<void> {
    const where = `after ${effect} at ${action}`;
    for (const delivery of scenario.before(at)) await at.apply(delivery);
    await meets(at, scenario, `${scenario.verb}:${action}:${effect}`, effect);
    if (scenario.judged) {
      assert.ok(at.network.enters(443), `443 ${where}`);
      assert.ok(at.network.keptOut(80), `80 ${where}`);
    }
    await run(at.agent, scenario, scenario.target(at));
    const ids = (await at.agent.call("list", {})).map(({ id }) => id);
    for (const id of ids) assert.deepEqual(await at.agent.drift(id), [], `${id} ${where}`);
    assert.deepEqual(at.host.intents(), [], where);
    assert.ok(at.network.enters(443), `443 converged ${where}`);
    await at.removeAll();
    assert.deepEqual(at.host.pins(), [], where);
  }
});
