/**
 * Every action of apply and remove, with the agent killed, or made to fail, just before and just after it. Whatever
 * happened: a hook that was judged is judged, the next verb converges, and removal leaves nothing.
 */
import assert from "node:assert/strict";
import type { Spec } from "../../../provider/protocol/spec";
import { bpftool, closesEverything, PrivateNetwork } from "../bpf/support";
import {
  type Agent,
  AgentProcess,
  compileGuard,
  entriesId,
  entriesSpec,
  linkId,
  linkSpec,
  programId,
  programSpec,
  TestHost,
} from "./support";

interface Scenario {
  title: string;
  verb: "apply" | "remove";
  /** Specs that stand before. */
  before: (hook: ReturnType<typeof xdpHook>) => Spec[];
  /** What is applied, or removed, when the fault strikes. */
  target: (hook: ReturnType<typeof xdpHook>) => Spec;
  /** A program must be on the interface all the time. */
  judged: boolean;
}

const guard = compileGuard();
const grown = compileGuard("-DMAX_ENTRIES=2048");
const few = entriesSpec([
  [5, 50],
  [6, 60],
  [7, 70],
  [8, 80],
  [9, 90],
]);
const others = entriesSpec([
  [5, 51],
  [6, 60],
  [10, 100],
  [11, 110],
  [12, 120],
  [13, 130],
]);

const blobs = [guard, grown, ...few.blobs, ...others.blobs];

const xdpHook = (network: PrivateNetwork, mode: "generic" | "native" = "generic", allowGap = false) =>
  ({ type: "xdp", interface: "veth0", netns: network.name, mode, allowGap }) as const;

/** Program, entries and attachment in one Spec, as packaged applications have them. */
function application(hook: ReturnType<typeof xdpHook>, verdict: number, rows: typeof few): Spec {
  const program = programSpec(guard, { verdict });
  const entries = rows.spec.entries.map((part) => ({ ...part, map: { spec: programId, map: "list" } }));
  const links = linkSpec(hook).links;
  return { ...program, entries, links };
}

const scenarios: Scenario[] = [
  {
    title: "create of a program",
    verb: "apply",
    before: () => [],
    target: () => programSpec(guard),
    judged: false,
  },
  {
    title: "create of an attachment",
    verb: "apply",
    before: () => [programSpec(guard)],
    target: (hook) => linkSpec(hook),
    judged: false,
  },
  {
    title: "update of a program with an attachment of another Spec",
    verb: "apply",
    before: (hook) => [programSpec(guard), few.spec, linkSpec(hook)],
    target: () => programSpec(guard, { verdict: 1 }),
    judged: true,
  },
  {
    title: "update that migrates a map",
    verb: "apply",
    before: (hook) => [programSpec(guard), few.spec, linkSpec(hook)],
    target: () => programSpec(grown, { mapDataPolicy: "migrate" }),
    judged: true,
  },
  {
    title: "update of entries",
    verb: "apply",
    before: (hook) => [programSpec(guard), linkSpec(hook), few.spec],
    target: () => others.spec,
    judged: true,
  },
  {
    title: "update of program, entries and attachment in one Spec",
    verb: "apply",
    before: (hook) => [application(hook, 2, few)],
    target: (hook) => application(hook, 1, others),
    judged: true,
  },
  {
    title: "remove of program, entries and attachment in one Spec",
    verb: "remove",
    before: (hook) => [application(hook, 2, few)],
    target: (hook) => application(hook, 2, few),
    judged: false,
  },
  {
    title: "remove of entries",
    verb: "remove",
    before: (hook) => [programSpec(guard), linkSpec(hook), few.spec],
    target: () => few.spec,
    judged: true,
  },
];

describe("faults at every action", function () {
  this.timeout(300_000);
  closesEverything();
  let host: TestHost;
  let network: PrivateNetwork;

  beforeEach(() => {
    host = new TestHost();
    network = new PrivateNetwork();
  });
  afterEach(async () => {
    await host.remove();
    network.remove();
  });

  const attached = (): number | undefined => {
    const [shown] = network.inside(() => bpftool("net", "show")) as [{ xdp: { id: number }[] }];
    return shown.xdp[0]?.id;
  };

  /** False when the verb says that it left something to clean up. */
  async function run(agent: Agent, { verb }: Scenario, target: Spec): Promise<boolean> {
    if (verb === "apply") {
      const { notes } = await agent.deliver(target, blobs);
      return !notes.some((note) => note.startsWith("cleaning up is left"));
    }
    await agent.remove(target.id);
    return true;
  }

  async function fails(agent: Agent, scenario: Scenario, target: Spec): Promise<boolean> {
    try {
      return !(await run(agent, scenario, target));
    } catch {
      return true;
    } finally {
      if (agent instanceof AgentProcess) await agent.end();
    }
  }

  async function withFault<T>(fault: string, work: () => Promise<T>): Promise<T> {
    process.env.PULUMI_EBPF_FAULT = fault;
    try {
      return await work();
    } finally {
      delete process.env.PULUMI_EBPF_FAULT;
    }
  }

  /** Stands as before, then meets the fault; false when there was no such action any more. */
  async function strike(scenario: Scenario, index: number, effect: string): Promise<boolean> {
    const hook = xdpHook(network);
    const { agent } = host;
    for (const spec of scenario.before(hook)) await agent.deliver(spec, blobs);
    const target = scenario.target(hook);
    const fault = `${scenario.verb}:${index}:${effect}`;
    const failed = effect.startsWith("kill")
      ? await fails(host.spawn(fault), scenario, target)
      : await withFault(fault, () => fails(agent, scenario, target));
    if (scenario.judged) {
      assert.ok(attached(), "the hook is empty");
      assert.ok(
        host.pins().some((pin) => pin.includes("/links/")),
        "no pin holds the link",
      );
    }
    return failed;
  }

  for (const scenario of scenarios) {
    for (const effect of ["kill", "error:after"]) {
      it(`${scenario.title}: ${effect}`, async () => {
        let index = 0;
        for (; index < 40; index++) {
          const struck = await strike(scenario, index, effect);
          const hook = xdpHook(network);
          const target = scenario.target(hook);
          const { agent } = host;
          await run(agent, scenario, target);
          if (scenario.verb === "apply") {
            for (const id of new Set([...scenario.before(hook).map((spec) => spec.id), target.id])) {
              assert.deepEqual(await agent.drift(id), [], `${id} after action ${index}`);
            }
            const revisions = new Set(host.pins(target.id).map((pin) => pin.split("/")[5]));
            assert.ok(revisions.size <= 1, `revisions ${[...revisions]}`);
          }
          assert.deepEqual(host.intents(), []);
          for (const id of [linkId, entriesId, programId]) await agent.remove(id);
          assert.equal(attached(), undefined);
          host.assertEmpty();
          if (!struck) break;
        }
        assert.ok(index > 0 && index < 40, `${index} actions`);
      });
    }
  }
});
