/** Network policies on the interface over which the host is managed: nobody locks himself out. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { digestOf } from "../../provider/protocol/spec";
import type { PolicyTest } from "../../provider/protocol/policy";
import { closeAll, openSession } from "../../provider/transport/pool";
import { bpffsOf, says } from "./filter";
import { policySpec } from "../kernel/agent/network-policy/support";
import { Lab } from "../support/lab";
import { CheckFailed, ManagedResource } from "../support/managed-resource";
import { modesUnderTest } from "../support/modes";

type Properties = Record<string, unknown>;

for (const mode of modesUnderTest()) {
  describe(`Given a policy on the interface that SSH comes over, ${mode} mode`, function () {
    this.timeout(180_000);
    let lab: Lab;

    before(async () => {
      lab = await Lab.create();
    });
    beforeEach(() => ManagedResource.useMode(mode));
    afterEach(() => {
      ManagedResource.useMode("dynamic");
      closeAll();
    });
    after(() => lab?.destroy());

    const anyone = [{ any: true }];
    const ssh = { name: "ssh", from: anyone, ports: [{ protocol: "TCP", port: 22 }] };
    const policyArgs = (rest: Properties): Properties => ({
      connection: { ...lab.host().connection, dialErrorLimit: 2, perDialTimeout: 2 },
      interfaces: ["mgmt0"],
      ...rest,
    });
    const create = (rest: Properties) => ManagedResource.create("NetworkPolicy", "web", policyArgs(rest));

    /** Once this process has applied something, check asks no host: then it is the apply that refuses. */
    async function refused(
      rest: Properties,
      pattern: RegExp,
      how: "preview" | "either" = "either",
    ): Promise<void> {
      // the plugin is told of a preview; in dynamic mode earlier tests of this process may have applied something
      if (how === "preview") ManagedResource.useMode("plugin");
      await assert.rejects(create(rest), (error: Error) => {
        assert.match(error.message, pattern);
        assert.ok(how === "either" || error instanceof CheckFailed, error.message);
        return true;
      });
      assert.deepEqual(await bpffsOf(lab.host()), []);
    }

    it("when no rule lets the operator in, then preview refuses it, naming the connection", async () => {
      await refused(
        { ingress: [{ name: "https", from: anyone, ports: [{ protocol: "TCP", port: 443 }] }] },
        /ingress: .*web: no ingress rule lets through the connection this runs over \(198\.18\.\d+\.\d+:\d+ → 22\)/,
        "preview",
      );
    });

    it("when a rule keeps the operator out, then preview names the rule", async () => {
      const deny = { ...ssh, name: "no ssh", action: "deny", from: [{ cidr: "198.18.0.0/15" }] };
      await refused(
        { ingress: [ssh, deny] },
        /ingress: .*web: rule "no ssh" would cut the connection this runs over \(198\.18\.\d+\.\d+:\d+ → 22\)/,
        "preview",
      );
    });

    it("when apply is asked without a preview, then the host refuses it as well, and nothing changes", async () => {
      const policy = await create({ ingress: [ssh] });
      const session = await openSession(lab.host().connection);
      const { spec, blobs } = policySpec("web", { interfaces: ["mgmt0"], ingress: [] }, "test/dev");
      await session.call("blob.put", {
        blobs: Object.fromEntries(blobs.map((text) => [digestOf(text), text])),
      });
      const incarnation = policy.state["incarnation"] as string;
      await assert.rejects(session.call("apply", { spec, inputs: {}, incarnation }), {
        code: "conflict",
        message: /web: no ingress rule lets through the connection this runs over/,
      });
      assert.deepEqual(await policy.refresh(), []);
      await policy.delete();
    });

    it("when the operator comes from loopback, then management or confirm is asked for", async () => {
      const { connection } = lab.host();
      const forwarded = { ...connection, host: "127.0.0.1", proxy: connection };
      const args = { ingress: [ssh], connection: forwarded };
      await refused(
        args,
        /management: .*cannot be told: this session comes from 127\.0\.0\.1, as through a forwarded port; give management.*or confirm/,
      );
      const policy = await create({ ...args, management: ["198.18.0.0/15"] });
      await policy.delete();
      const confirmed = await create({ ...args, confirm: { withinSeconds: 20 } });
      assert.deepEqual(await confirmed.refresh(), []);
      await confirmed.delete();
    });

    it("when a change cuts the operator off all the same, then the host goes back, also with our processes killed", async () => {
      const { connection } = lab.host();
      const forwarded = {
        ...connection,
        host: "127.0.0.1",
        proxy: connection,
        dialErrorLimit: 20,
        perDialTimeout: 3,
      };
      const open = { ingress: [ssh], connection: forwarded, management: ["198.18.0.0/15"] };
      const policy = await create(open);
      const shut = policyArgs({ ...open, management: [], ingress: [], confirm: { withinSeconds: 8 } });
      const updating = assert.rejects(policy.update(shut), says(/not confirmed/));
      const waits = ["grep", "-rq", '"unconfirmed"', "/var/lib/pulumi-ebpf/records"];
      for (let tries = 0; (await lab.host().exec(waits, { check: false })).code !== 0 && tries < 200; tries++)
        await sleep(50);
      await lab.host().exec(["pkill", "-KILL", "-f", "agent.js"]);
      await assert.rejects(openSession(connection, { anew: true, singleDialSeconds: 1 }), {
        code: "transport",
      });
      await updating;
      closeAll();
      assert.equal((await openSession(connection)).host, `root@${connection.host}:22`, "SSH is let in again");
      assert.notEqual((await policy.refresh())!.join(), "");
      await policy.update(policyArgs(open));
      assert.deepEqual(await policy.refresh(), []);
      await policy.delete();
    });

    it("when a policy goes that lets the operator in where another closes, then destroy refuses it until that one is gone", async () => {
      const operators = await create({ ingress: [ssh] });
      const https = { name: "https", from: anyone, ports: [{ protocol: "TCP", port: 443 }] };
      const other = await ManagedResource.create("NetworkPolicy", "other", policyArgs({ ingress: [https] }));
      await assert.rejects(
        operators.delete(),
        says(
          /remove web: no ingress rule of \S+\/NetworkPolicy\/other lets through the connection this runs over \(198\.18\.\d+\.\d+:\d+ → 22\); let what stays allow it, or remove that first/,
        ),
      );
      closeAll();
      assert.deepEqual(await operators.refresh(), [], "over a new connection");
      await other.delete();
      await operators.delete();
      assert.deepEqual(await bpffsOf(lab.host()), []);
    });

    it("when the policy is on another interface, then it may refuse all", async () => {
      const policy = await create({ interfaces: ["eth0"], ingress: [], egress: [] });
      assert.deepEqual(await policy.refresh(), []);
      await policy.delete();
    });

    it("when management is kept out, then it is refused, and with a rule for it applied", async () => {
      const { host } = lab.host().connection;
      const operators = { name: "operators", from: [{ cidr: "198.18.0.0/15" }], ports: ssh.ports };
      const management = ["203.0.113.0/24"];
      await refused(
        { ingress: [operators], management },
        new RegExp(
          `management\\[0\\]: .*web: no ingress rule lets in SSH of 203\\.0\\.113\\.0 in 203\\.0\\.113\\.0/24 to ${host}:22`,
        ),
      );
      const half = { name: "half", from: [{ cidr: "203.0.113.0/25" }], ports: ssh.ports };
      await refused({ ingress: [operators, half], management }, /SSH of 203\.0\.113\.128/);
      const rest = { name: "rest", from: [{ cidr: "203.0.113.128/25" }], ports: ssh.ports };
      const policy = await create({ ingress: [operators, half, rest], management });
      assert.deepEqual(await policy.refresh(), []);
      await policy.delete();
    });

    it("when a test of the policy fails with what others allow there, then the host refuses it and says what decides", async () => {
      const policy = await create({ ingress: [ssh] });
      const session = await openSession(lab.host().connection);
      const tests: PolicyTest[] = [
        { direction: "ingress", address: "192.0.2.9", protocol: "TCP", port: 25, expect: "deny" },
        { direction: "ingress", address: "192.0.2.9", protocol: "TCP", port: 22, expect: "deny" },
      ];
      const wish = { interfaces: ["mgmt0"], ingress: [], tests };
      const { spec, blobs } = policySpec("strict", wish, "test/other");
      const named = Object.fromEntries(blobs.map((text) => [digestOf(text), text]));
      const { problems } = await session.call("plan", { spec, blobs: named });
      assert.deepEqual(
        problems.map(({ property, message }) => [property, message]),
        [
          [
            "tests[1]",
            'test test/other/NetworkPolicy/strict: ingress of 192.0.2.9, TCP port 22: allow by rule "ssh" of test/dev/web, expected deny',
          ],
        ],
      );
      await policy.delete();
    });
  });
}
