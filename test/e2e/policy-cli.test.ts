/** `pulumi-ebpf policy …` as it is built, on a host with a policy and without one. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { bin } from "../../package.json";
import { closeAll } from "../../provider/transport/pool";
import type { ExplainResult, FlowsResult, PlaneFacts } from "../../provider/protocol/policy";
import { type CommandResult, run } from "../support/command";
import { Lab } from "../support/lab";
import { temporaryPrefix } from "../support/lab-network";
import { ManagedResource } from "../support/managed-resource";
import type { NetnsHost } from "../support/netns-host";
import { connect, NetworkService } from "../support/network-service";

const command = resolve(__dirname, "../..", bin["pulumi-ebpf"]);
const web = {
  ingress: [
    { name: "https", ports: [{ protocol: "TCP", port: 443 }] },
    { name: "no telnet", action: "deny", ports: [{ protocol: "TCP", port: 23 }] },
  ],
};

describe("Given the command and a host with a network policy", function () {
  this.timeout(60_000);
  let lab: Lab;
  let host: NetnsHost;
  let service: NetworkService;
  let policy: ManagedResource;
  const directory = mkdtempSync(join(tmpdir(), temporaryPrefix));

  before(async () => {
    lab = await Lab.create();
    host = lab.host();
    service = await NetworkService.start(host, { tcp: [443, 8443] });
    policy = await ManagedResource.create("NetworkPolicy", "web", {
      ...{ connection: host.connection, interfaces: ["eth0"], ...web },
    });
    assert.equal(await connect(lab.client, host.address, 443), "open");
    assert.equal(await connect(lab.client, host.address, 8443), "dropped");
  });

  after(async () => {
    await policy?.delete();
    closeAll();
    await service?.stop();
    await lab?.destroy();
    rmSync(directory, { recursive: true, force: true });
  });

  function file(content: unknown): string {
    const path = join(directory, "policy.json");
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  }

  function reach(words: string[], ...args: string[]): Promise<CommandResult> {
    const { host: address, port, hostKey = "" } = host.connection;
    const options = ["--identity", host.identityFile, "--host-key", hostKey];
    const line = [...words, `root@${address}:${port}`, ...args, ...options];
    return run([process.execPath, command, "policy", ...line], { check: false });
  }

  it("show lists the rules, the used ones first, and what was dropped", async () => {
    const { code, stdout } = await reach(["show"]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^eth0: generation \d+ at tc/);
    const rules = stdout.split("\n").filter((line) => line.includes("web ingress"));
    assert.match(rules[0]!, /"https" +allow +[1-9]/);
    assert.match(rules[1]!, /"no telnet" +deny +0 /);
    assert.match(stdout, /dropped on ingress, default: [1-9]/);
    const { planes } = JSON.parse((await reach(["show"], "--json")).stdout) as { planes: PlaneFacts[] };
    assert.equal(planes[0]!.ruleCount, 2);
    const other = await reach(["show"], "demo/dev/NetworkPolicy/none");
    assert.equal(other.code, 1);
    assert.match(other.stdout, /demo\/dev\/NetworkPolicy\/none judges nothing there/);
  });

  it("flows lists the connection that passed, with its rule", async () => {
    const { stdout } = await reach(["flows"]);
    assert.match(stdout, new RegExp(`TCP +${lab.client.address}:\\d+ +${host.address}:443 .*"https"`));
    const { flows } = JSON.parse((await reach(["flows"], "--json")).stdout) as FlowsResult;
    const ports = new Set(flows.map(({ destinationPort }) => destinationPort));
    assert.deepEqual(ports, new Set([443, 22]), "the SSH sessions were open before the policy was");
  });

  it("explain names the rule that decides about a packet", async () => {
    const ask = (port: number) =>
      reach(["explain"], "--from", lab.client.address, "--protocol", "TCP", "--port", String(port));
    assert.match((await ask(443)).stdout, /TCP 443: allow by .* web ingress "https"/);
    assert.match((await ask(23)).stdout, /TCP 23: deny by .* web ingress "no telnet"/);
    assert.match((await ask(80)).stdout, /TCP 80: deny \(default\)/);
    const { stdout } = await reach(["explain"], "--from", "::1", "--protocol", "58", "--json");
    assert.equal((JSON.parse(stdout) as ExplainResult).verdict, "deny");
    const wrong = await reach(["explain"], "--from", "300.1.1.1", "--protocol", "TCP");
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /expected an address/);
    assert.match(wrong.stderr, /port/);
  });

  it("test judges a file by the evaluator, verify the same file by the host, alike", async () => {
    const tests = [
      { from: "192.0.2.9", protocol: "TCP", port: 443, expect: "allow", rule: "https" },
      { from: "192.0.2.9", protocol: "TCP", port: 22, expect: "deny" },
      { to: "192.0.2.9", protocol: "UDP", port: 53, expect: "allow" },
    ];
    const path = file({ policies: { web }, tests });
    for (const outcome of [
      await run([process.execPath, command, "policy", "test", path], { check: false }),
      await reach(["verify"], path),
    ]) {
      assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
      assert.match(outcome.stdout, /3 as expected, 0 not/);
    }
    const contradicted = file({
      policies: { web },
      tests: [{ ...tests[0], expect: "deny", rule: undefined }],
    });
    for (const outcome of [
      await run([process.execPath, command, "policy", "test", contradicted], { check: false }),
      await reach(["verify"], contradicted),
    ]) {
      assert.equal(outcome.code, 1);
      assert.match(
        outcome.stdout,
        /ingress from 192\.0\.2\.9, TCP 443: expected deny, got allow by .*"https"/,
      );
    }
  });

  it("test tells everything that is wrong with a file", async () => {
    const path = file({
      policies: { web: { ingress: [{ name: "x", from: [{ cidr: "10.0.0.1/8" }] }], modes: "audit" } },
      tests: [{ from: "192.0.2.9", protocol: "TCP", expect: "allow" }],
    });
    const { code, stderr } = await run([process.execPath, command, "policy", "test", path], { check: false });
    assert.equal(code, 1);
    assert.match(stderr, /policies\.web\.ingress\[0\]\.from\[0\]\.cidr/);
    assert.match(stderr, /modes/);
    const broken = await run([process.execPath, command, "policy", "test", file("{")], { check: false });
    assert.match(broken.stderr, /it is not JSON/);
    assert.doesNotMatch(broken.stderr, /\n {4}at /);
  });
});
