/** What the guard refuses before anything changes. Over SSH it is put to the test by test/e2e/lock-out.test.ts. */
import assert from "node:assert/strict";
import { Host } from "../../../../provider/agent/host";
import { type Guarded, type GuardContext, guard } from "../../../../provider/agent/network-policy/guard";
import { endRehearsals } from "../../../../provider/agent/network-policy/rehearsal";
import { EbpfError } from "../../../../provider/errors";
import type { AppliedPolicy } from "../../../../provider/network-policy/applied";
import { PROTOCOL_VERSION } from "../../../../provider/protocol/messages";
import type { IngressRule } from "../../../../provider/network-policy";
import { compile } from "../../../support/compiled-union";
import { closesEverything } from "../../bpf/support";
import type { Agent } from "../support";
import { type Delivery, PolicyHost, policySpec, setSpec, tcp } from "./support";

const management = ["10.98.0.0/24"];
const ssh = { name: "ssh", ports: tcp(22) };
const https = { name: "https", ports: tcp(443) };

describe("The guard of a change by an operator", function () {
  this.timeout(60_000);
  let at: PolicyHost;
  /** The host's other sessions serve nobody, so that what is left of a test goes in any order. */
  let operator: Agent;

  beforeEach(async () => {
    at = new PolicyHost();
    operator = at.host.open();
    await operator.call("hello", { protocol: PROTOCOL_VERSION, sshConnection: "" });
  });
  afterEach(() => at.end());
  closesEverything();

  const apply = ({ spec, blobs }: Delivery) => operator.deliver(spec, blobs);
  const remove = ({ spec }: Delivery) => operator.remove(spec.id);
  const refuses = async (change: Promise<unknown>, message: RegExp) => {
    await assert.rejects(change, { code: "conflict", message });
    assert.ok(at.network.enters(22), "as before");
  };

  it("refuses to remove the policy that lets the managers in, while another closes the direction, which it names", async () => {
    const operators = at.policy("ssh", { ingress: [ssh], management });
    const web = at.policy("web", { ingress: [https] }, "demo/other");
    await apply(operators);
    await apply(web);
    await refuses(
      remove(operators),
      /^remove ssh: no ingress rule of demo\/other\/NetworkPolicy\/web lets in SSH of 10\.98\.0\.0 in 10\.98\.0\.0\/24 to 10\.98\.0\.1:22$/,
    );
    assert.deepEqual(await operator.drift(operators.spec.id), []);
    await remove(web);
    await remove(operators);
    assert.ok(at.network.enters(22));
    assert.deepEqual(at.programs("ingress"), []);
  });

  it("lets a policy go that lets nobody in", async () => {
    const web = at.policy("web", { ingress: [https] });
    await apply(at.policy("ssh", { ingress: [ssh], management }, "demo/other"));
    await apply(web);
    assert.ok(at.network.enters(443));
    await remove(web);
    assert.ok(at.network.enters(22));
    assert.ok(at.network.keptOut(443));
  });

  it("refuses a set that shrinks to less than the managers", async () => {
    const set = (...networks: string[]) => setSpec("operators", networks);
    const sets = { operators: set().spec.id };
    const own = at.policy("ssh", {
      ...{ ingress: [{ ...ssh, from: [{ addressSet: "operators" }] }], management, sets },
    });
    await apply(set("10.98.0.0/16", "192.0.2.0/24"));
    await apply(own);
    await refuses(
      apply(set("192.0.2.0/24", "10.98.0.0/25")),
      /^operators: no ingress rule of demo\/test\/NetworkPolicy\/ssh lets in SSH of 10\.98\.0\.128 in/,
    );
    await apply(set("10.98.0.0/24"));
    assert.ok(at.network.enters(22));
  });

  it("lets answers out in a preview as in the apply, also of what changes", async () => {
    const preview = async (delivery: Delivery) => (await at.plan(delivery, operator)).problems;
    const own = (...more: IngressRule[]) =>
      at.policy("ssh", { ingress: [ssh, ...more], egress: [], management });
    assert.deepEqual(await preview(own()), []);
    await apply(own());
    assert.deepEqual(await preview(own(https)), []);
    await apply(own(https));
    assert.ok(at.network.enters(22));
    assert.ok(at.network.keptIn(22));
  });

  it("refuses a change of mode that would keep them out, either way", async () => {
    const operators = (mode: "enforce" | "audit") => at.policy("ssh", { ingress: [ssh], mode });
    const web = (mode: "enforce" | "audit") =>
      at.policy("web", { ingress: [https], mode, management }, "demo/other");
    await apply(web("audit"));
    await refuses(apply(web("enforce")), /^web: no ingress rule lets in SSH of 10\.98\.0\.0/);
    await apply(operators("enforce"));
    await apply(web("enforce"));
    await refuses(apply(operators("audit")), /^ssh: no ingress rule lets in SSH of 10\.98\.0\.0/);
  });
});

describe("The guard, asked by itself,", function () {
  this.timeout(60_000);
  const host = new Host();
  afterEach(() => endRehearsals(host));
  closesEverything();

  const flow = {
    peer: { address: "192.0.2.9", port: 40000 },
    local: { address: "198.51.100.1", port: 22 },
  };
  const applied = (name: string, rest: Partial<AppliedPolicy>): AppliedPolicy => ({
    ...{ stack: "demo/test", name, mode: "enforce", infrastructure: true, established: "recheck" },
    ...rest,
  });
  const idOf = ({ stack, name }: AppliedPolicy) => `${stack}/NetworkPolicy/${name}`;
  const part = (mode: "enforce" | "audit", rest = {}) =>
    policySpec("", { mode, ingress: [], ...rest }).spec.policy!;

  const open = applied("web", { ingress: [{ name: "ssh", action: "allow", ports: tcp(22) }] });
  const shut = applied("web", { ingress: [] });

  function refusals(
    policies: AppliedPolicy[],
    context: Partial<GuardContext>,
    rest: Partial<Guarded> = {},
  ): string[] {
    const ids = policies.map(idOf);
    const guarded: Guarded = {
      subject: ids[0]!,
      before: undefined,
      policies: new Map(ids.map((id, index) => [id, part(policies[index]!.mode)])),
      wish: {
        ...{
          hook: "tc",
          linkHeader: true,
          interfaces: ["nowhere0"],
          policies: ids,
          sampleRate: 0,
          untracked: false,
        },
        ...{ content: "", self: ["198.51.100.1"] },
      },
      union: compile(policies, { number: 1n }).union,
      candidates: () => policies,
      ...rest,
    };
    return guard(host, guarded, { flow, confirm: false, ...context }).map(
      (error) => `${error.code}: ${EbpfError.from(error).render()}`,
    );
  }

  it("accepts what both judges let through", () => {
    assert.deepEqual(refusals([open], {}), []);
  });

  it("names the direction of the packet that is dropped", () => {
    const egress = applied("web", { egress: [{ name: "no", action: "deny" }] });
    assert.deepEqual(refusals([egress], {}), []); // a reply is no rule's affair
    assert.deepEqual(refusals([{ ...egress, established: "ignore" }], {}), [
      'conflict: egress: web: rule "no" would cut the connection this runs over (192.0.2.9:40000 → 22)',
    ]);
    assert.deepEqual(refusals([shut], {}), [
      "conflict: ingress: web: no ingress rule lets through the connection this runs over (192.0.2.9:40000 → 22)",
    ]);
  });

  it("refuses where program and evaluator disagree, whichever of them would drop", () => {
    const wrong = (program: string, evaluator: string) =>
      `internal: try ingress from 192.0.2.9 to 198.51.100.1, port 22: the program says ${program}, the evaluator ` +
      `${evaluator}; one of them is wrong, so nothing was changed; report it, with the policies of the interface`;
    const [allowed, denied] = ['allow by rule "ssh" of demo/test/web', "deny by no rule"];
    const both = (verdict: string) => `${verdict}, audited ${verdict}`;
    const compiledWrong = { union: compile([shut], { number: 1n }).union };
    assert.deepEqual(refusals([open], {}, compiledWrong), [wrong(both(denied), allowed)]);
    const readWrong = { candidates: () => [shut] };
    assert.deepEqual(refusals([open], {}, readWrong), [wrong(both(allowed), denied)]);
  });

  it("refuses a removal over no known connection, unless management is told or nothing is closed", () => {
    const rest = { subject: "demo/test/NetworkPolicy/ssh", before: part("enforce") };
    const told = { ...rest, before: part("enforce", { management: ["192.0.2.0/24"] }) };
    const audit = { ...rest, before: part("audit") };
    assert.deepEqual(refusals([shut], { flow: null }, rest), [
      "conflict: judge nowhere0 without demo/test/NetworkPolicy/ssh: whether that cuts off whoever manages the host " +
        "cannot be told: this session runs over no SSH connection; give management, the networks from which the host is " +
        "managed, to demo/test/NetworkPolicy/web",
    ]);
    assert.deepEqual(refusals([open], { flow: null }, told), []);
    assert.match(refusals([shut], { flow: null }, told).join(), /^conflict: remove ssh: no ingress rule of/);
    assert.deepEqual(refusals([shut], { flow: null }, audit), []);
    assert.deepEqual(refusals([applied("web", { mode: "audit", ingress: [] })], { flow: null }, rest), []);
  });

  it("refuses a removal that cuts the connection it runs over", () => {
    const rest = { subject: "demo/test/NetworkPolicy/ssh", before: part("enforce") };
    assert.deepEqual(refusals([open], {}, rest), []);
    assert.deepEqual(refusals([shut], {}, rest), [
      "conflict: remove ssh: no ingress rule of demo/test/NetworkPolicy/web lets through the connection this runs over " +
        "(192.0.2.9:40000 → 22); let what stays allow it, or remove that first",
    ]);
  });
});
