/** NetworkPolicy and AddressSet on real hosts: who reaches whom by real connections, edits, drift, and two stacks that meet. */
import assert from "node:assert/strict";
import { closeAll } from "../../provider/transport/pool";
import { Lab } from "../support/lab";
import { ManagedResource } from "../support/managed-resource";
import { modesUnderTest } from "../support/modes";
import type { NetnsHost } from "../support/netns-host";
import { PulumiProject } from "../support/pulumi";
import { connect, connectAll, NetworkService } from "../support/network-service";
import { bpffsOf } from "./filter";

type Properties = Record<string, unknown>;

const PORTS = [2222, 443, 8443];
const tcp = (port: number) => [{ protocol: "TCP", port }];
const https = { name: "https", from: [{ any: true }], ports: tcp(443) };
const OFFICES = ManagedResource.specId("AddressSet", "offices");
const ssh = { name: "ssh from offices", from: [{ addressSet: OFFICES }], ports: tcp(2222) };

async function nothingIsLeft(host: NetnsHost): Promise<void> {
  assert.deepEqual(await bpffsOf(host), []);
  const { stdout } = await host.exec(["find", "/var/lib/pulumi-ebpf", "-path", "*/records/*", "-type", "f"]);
  assert.equal(stdout, "");
}

for (const mode of modesUnderTest(["dynamic", "plugin"])) {
  describe(`Given a host with network policies, ${mode} mode`, function () {
    this.timeout(60_000);
    let lab: Lab;
    let host: NetnsHost;
    let service: NetworkService;

    before(async () => {
      ManagedResource.useMode(mode);
      lab = await Lab.create();
      host = lab.host();
      service = await NetworkService.start(host, { tcp: PORTS });
    });

    after(async () => {
      ManagedResource.useMode("dynamic");
      closeAll();
      await service?.stop();
      await lab?.destroy();
    });

    const policy = (change: Properties = {}): Properties => ({
      ...{ connection: host.connection, interfaces: ["eth0"], ingress: [https, ssh], ...change },
    });
    const offices = (cidrs: string[]): Properties => ({ connection: host.connection, cidrs });
    const met = (address = host.address) => connectAll(lab.client, address, PORTS);

    it("then connections meet its rules, and edits of rules and of a set, until it is gone", async () => {
      const set = await ManagedResource.create("AddressSet", "offices", offices(["203.0.113.0/24"]));
      const web = await ManagedResource.create("NetworkPolicy", "web", policy());
      const enforced = { 2222: "dropped", 443: "open", 8443: "dropped" };
      assert.deepEqual(await met(), enforced);
      assert.deepEqual(await met(host.address6), enforced);
      const { interfaces, uncovered } = web.state["status"] as {
        interfaces: Properties[];
        uncovered: string[];
      };
      const [judged] = interfaces;
      assert.deepEqual([judged!["name"], judged!["policies"]], ["eth0", [web.state["specId"]]]);
      assert.deepEqual(uncovered, []);

      // the set alone changes: its networks reach all policies that name it
      await set.update(offices(["203.0.113.0/24", `${lab.client.address}/32`]));
      assert.deepEqual(await met(), { ...enforced, 2222: "open" });
      assert.equal((await met(host.address6))[2222], "dropped");
      assert.deepEqual(await web.refresh(), []);

      await web.update(policy({ ingress: [{ ...https, ports: tcp(8443) }, ssh] }));
      assert.deepEqual(await met(), { 2222: "open", 443: "dropped", 8443: "open" });
      await web.update(policy({ ingress: [], mode: "audit" }));
      assert.deepEqual(await met(), { 2222: "open", 443: "open", 8443: "open" });

      await web.delete();
      await set.delete();
      assert.equal((await met())[8443], "open");
      await nothingIsLeft(host);
    });

    it("then what somebody took off is drift, and an update brings it back", async () => {
      const web = await ManagedResource.create("NetworkPolicy", "web", policy({ ingress: [https] }));
      assert.equal(await web.update(policy({ ingress: [https] })), false);
      await host.exec(["find", "/sys/fs/bpf/pulumi-ebpf", "-path", "*/links/*", "-delete"]);
      assert.equal((await met())[8443], "open", "the links are gone with their last pins");
      const drift = await web.refresh();
      assert.ok(drift !== null && drift.length > 0, String(drift));
      assert.equal(await web.update(policy({ ingress: [https] })), true);
      assert.equal((await met())[8443], "dropped");
      assert.deepEqual(await web.refresh(), []);
      await web.delete();
      await nothingIsLeft(host);
    });

    it("then a set that a policy names stays until the policy is gone", async () => {
      const set = await ManagedResource.create(
        "AddressSet",
        "offices",
        offices([`${lab.client.address}/32`]),
      );
      const web = await ManagedResource.create("NetworkPolicy", "web", policy());
      await assert.rejects(set.delete(), ({ message }: Error) => {
        assert.match(message, /NetworkPolicy\/web/);
        return true;
      });
      assert.equal((await met())[2222], "open");
      await web.delete();
      await set.delete();
      await nothingIsLeft(host);
    });

    it("then what only the host knows to be wrong is said at its property, and nothing is done", async () => {
      const failure = async (change: Properties): Promise<string> => {
        const made = ManagedResource.create("NetworkPolicy", "bad", policy(change));
        return made.then(
          () => assert.fail("it was created"),
          ({ message }: Error) => message,
        );
      };
      assert.match(await failure({ ingress: [https], interfaces: ["wlan*"] }), /^\W*interfaces: .*wlan\*/m);
      assert.match(await failure({ ingress: [https], netns: "nowhere" }), /^\W*netns: .*nowhere/m);
      assert.match(await failure({}), /^\W*ingress\[1\]\.from\[0\]\.addressSet: .*offices/m);
      assert.equal((await met())[8443], "open");
      await nothingIsLeft(host);
    });
  });

  describe(`Given two stacks with policies on one interface, ${mode} mode`, function () {
    this.timeout(180_000);
    let lab: Lab;
    let host: NetnsHost;
    let service: NetworkService;
    let base: PulumiProject | undefined;
    let web: PulumiProject | undefined;

    before(async () => {
      lab = await Lab.create();
      host = lab.host();
      service = await NetworkService.start(host, { tcp: PORTS });
    });

    after(async () => {
      web?.dispose();
      base?.dispose();
      await service?.stop();
      await lab?.destroy();
    });

    const program = (text: string) => `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";
const connection = new pulumi.Config().requireObject<ebpf.ConnectionArgs>("connection");
const common = { connection, interfaces: ["eth0"] };
${text}`;

    it("then allows are joined, a deny of one beats the other, and one leaves without the other", async () => {
      const config = { connection: host.connection };
      base = await PulumiProject.create({
        ...{ name: "base", mode, config },
        program: program(`
const offices = new ebpf.AddressSet("offices", { connection, cidrs: ["${lab.client.address}/32"] });
export const ref = offices.ref;
new ebpf.NetworkPolicy("ssh", {
  ...common,
  ingress: [{ name: "ssh from offices", from: [{ addressSet: offices }], ports: [{ protocol: "TCP", port: 2222 }] }],
});`),
      });
      await base.preview(); // before the host has the set
      await base.up();
      const meets = () => connectAll(lab.client, host.address, PORTS);
      assert.deepEqual(await meets(), { 2222: "open", 443: "dropped", 8443: "dropped" });

      const ports = (...allowed: number[]) =>
        program(`
const offices = new pulumi.StackReference("organization/base/dev").getOutput("ref");
new ebpf.NetworkPolicy("web", {
  ...common,
  ingress: [
    { name: "web", ports: ${JSON.stringify(allowed)}.map((port) => ({ protocol: "TCP", port })) },
    { name: "no offices", action: "deny", from: [{ addressSet: offices }], ports: [{ protocol: "TCP", port: 8443 }] },
  ],
});`);
      web = await PulumiProject.create({
        ...{ name: "web", mode, config, backend: base.backend, program: ports(443, 8443) },
      });
      await web.up();
      assert.deepEqual(await meets(), { 2222: "open", 443: "open", 8443: "dropped" });
      assert.equal(await connect(lab.client, host.address6, 8443), "open", "it is in no office");

      web.write("index.ts", ports(8443));
      const { stdout, stderr } = await web.preview();
      assert.match(stdout + stderr, /web: ingress: 1 rule changed \("web"\)/);
      await web.up();
      assert.deepEqual(await meets(), { 2222: "open", 443: "dropped", 8443: "dropped" });
      assert.equal((await base.preview({ args: ["--expect-no-changes"] })).code, 0);

      // the set is the other stack's, and still named
      const refused = await base.destroy({ check: false });
      assert.notEqual(refused.code, 0);
      assert.match(refused.stdout, /NetworkPolicy\/web/);
      await web.destroy();
      await base.destroy();
      assert.deepEqual(await meets(), { 2222: "open", 443: "open", 8443: "open" });
      await nothingIsLeft(host);
    });
  });
}
