/** `pulumi-ebpf policy …` as it is built, on a host with a policy and without one. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { bin } from "../../package.json";
import { closeAll } from "../../provider/transport/pool";
import type { EventFacts, ExplainResult, FlowsResult, PlaneFacts } from "../../provider/protocol/policy";
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

/** `policy events`, as somebody watches it. */
class Following {
  stdout = "";
  stderr = "";
  private readonly child: ChildProcess;
  private readonly ended: Promise<number | null>;

  constructor([file, ...args]: string[], env = process.env) {
    this.child = spawn(file!, args, { stdio: ["ignore", "pipe", "pipe"], env });
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => (this.stdout += text));
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    this.ended = new Promise((done) => this.child.once("close", done));
  }

  async until(seen: (said: Following) => boolean): Promise<void> {
    while (!seen(this)) {
      assert.equal(this.child.exitCode, null, this.stderr);
      await new Promise((done) => setTimeout(done, 20));
    }
  }

  /** Exit status. */
  end(signal?: NodeJS.Signals): Promise<number | null> {
    if (signal !== undefined) this.child.kill(signal);
    return this.ended;
  }

  get events(): EventFacts[] {
    return this.stdout
      .split("\n")
      .slice(0, -1)
      .map((text) => JSON.parse(text) as EventFacts);
  }
}

describe("Given the command and a host with a network policy", function () {
  this.timeout(60_000);
  let lab: Lab;
  let host: NetnsHost;
  let service: NetworkService;
  let policy: ManagedResource;
  let directory: string;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), temporaryPrefix));
    lab = await Lab.create({ hosts: [{}, {}] });
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
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  });

  function file(content: unknown): string {
    const path = join(directory, "policy.json");
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  }

  function line(words: string[], ...args: string[]): string[] {
    const { host: address, port, hostKey = "" } = host.connection;
    const options = ["--identity", host.identityFile, "--host-key", hostKey];
    return [process.execPath, command, "policy", ...words, `root@${address}:${port}`, ...args, ...options];
  }

  function reach(words: string[], ...args: string[]): Promise<CommandResult> {
    return run(line(words, ...args), { check: false });
  }

  /** Resolves when it says that from now on nothing is missed. */
  async function follow(...args: string[]): Promise<Following> {
    const following = new Following(line(["events"], ...args));
    await following.until(({ stderr }) => /: every packet of eth0, mgmt0\n/.test(stderr));
    return following;
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

  describe("when the policy samples packets, also of the interface that SSH comes over", () => {
    const ssh = { name: "ssh", ports: [{ protocol: "TCP", port: 22 }] };
    const portsOf = ({ packet }: EventFacts) => [packet?.sourcePort, packet?.destinationPort];

    before(async () => {
      await policy.update({
        ...{ connection: host.connection, interfaces: ["eth0", "mgmt0"], sampleRate: 1 },
        ingress: [...web.ingress, ssh],
      });
      // this process' own session
      closeAll();
      while ((await host.exec(["ss", "-tnH", "sport = :22"])).stdout !== "");
    });

    it("events tells the verdicts as they happen, but of its own connection, until Ctrl-C", async () => {
      const following = await follow("--json");
      assert.equal(await connect(lab.client, host.address, 443), "open");
      assert.equal(await connect(lab.client, host.address, 8443), "dropped");
      await following.until(({ events }) => events.some((event) => portsOf(event).includes(8443)));
      assert.equal(await following.end("SIGINT"), 0, following.stderr);
      const { events } = following;
      const opening = (port: number) => events.find(({ packet }) => packet?.destinationPort === port)!;
      const { interface: name, verdict, rule, packet } = opening(443);
      assert.deepEqual([name, verdict, rule?.name], ["eth0", "allow", "https"]);
      assert.deepEqual([packet?.source, packet?.destination], [lab.client.address, host.address]);
      const { verdict: other, reason, rule: none } = opening(8443);
      assert.deepEqual([other, reason, none], ["deny", "default", undefined]);
      assert.deepEqual(
        events.flatMap(portsOf).filter((port) => port === 22),
        [],
      );
    });

    it("events ends by itself after --count, with a line each", async () => {
      const following = await follow("--count", "3");
      assert.equal(await connect(lab.client, host.address, 443), "open");
      assert.equal(await following.end(), 0, following.stderr);
      const lines = following.stdout.split("\n").slice(0, -1);
      assert.equal(lines.length, 3, following.stdout);
      for (const text of lines)
        assert.match(text, /^\d{4}-\d\d-\d\dT[\d:.]+Z {2}\S+ (in|e)gress {2}.*, \d+ bytes: /);
    });

    it("events of a second reader is refused, and the first one goes on", async () => {
      const first = await follow("--json");
      const second = await reach(["events"]);
      assert.equal(second.code, 1);
      assert.match(second.stderr, /somebody reads them already/);
      assert.doesNotMatch(second.stderr, /\n {4}at /);
      assert.equal(await connect(lab.client, host.address, 443), "open");
      await first.until(({ events }) => events.some((event) => portsOf(event).includes(443)));
      assert.equal(await first.end("SIGTERM"), 0);
    });

    it("events ends with an error that says so when the connection drops, and leaves the place to the next", async () => {
      const following = await follow();
      await host.dropSessions();
      assert.equal(await following.end(), 1);
      assert.match(following.stderr, /the connection was lost/);
      // brackets, so that it does not find itself
      const agents = ["sh", "-c", "grep -lz 'agent[.]js' /proc/[0-9]*/cmdline"];
      while ((await host.exec(agents, { check: false })).stdout !== "");
      const again = await follow();
      assert.equal(await again.end("SIGINT"), 0);
    });

    it("events of several hosts come together, named, and end together when one is lost", async () => {
      const [one, other] = [lab.host(0), lab.host(1)];
      const second = await ManagedResource.create("NetworkPolicy", "db", {
        ...{ connection: other.connection, interfaces: ["eth0"], sampleRate: 1, ingress: [ssh] },
      });
      const aliases = { web: one, db: other };
      const config = Object.entries(aliases).map(
        ([name, { connection, identityFile, knownHostsFile }]) =>
          `Host ${name}\n  HostName ${connection.host}\n  User root\n` +
          `  IdentityFile ${identityFile}\n  UserKnownHostsFile ${knownHostsFile}\n`,
      );
      const file = join(directory, "ssh_config");
      writeFileSync(file, config.join(""));
      const words = [process.execPath, command, "policy", "events", ...Object.keys(aliases), "--json"];
      const following = new Following(words, { ...process.env, PULUMI_EBPF_SSH_CONFIG: file });
      for (const name of Object.keys(aliases))
        await following.until(({ stderr }) => stderr.includes(`${name}: every packet of eth0`));
      for (const { address } of [one, other]) await connect(lab.client, address, 8443);
      const denied = ({ events }: Following) =>
        events.filter(({ verdict }) => verdict === "deny") as (EventFacts & { host: string })[];
      await following.until((said) => new Set(denied(said).map(({ host: name }) => name)).size === 2);
      for (const { host: name, packet } of denied(following))
        assert.equal(packet!.destination, aliases[name as keyof typeof aliases].address);
      await other.dropSessions();
      assert.equal(await following.end(), 1);
      assert.match(following.stderr, /db.*the connection was lost/);
      await second.delete();
    });

    it("events of hosts that sample nothing, and options that make no sense, are refused", async () => {
      const other = await reach(["events"], "--policy", "demo/dev/NetworkPolicy/none");
      assert.equal(other.code, 1);
      assert.match(other.stderr, /demo\/dev\/NetworkPolicy\/none judges nothing there/);
      const wrong = await reach(["events"], "--count", "none");
      assert.equal(wrong.code, 1);
      assert.match(wrong.stderr, /--count: expected a whole number from 1, got "none"/);
    });
  });
});
