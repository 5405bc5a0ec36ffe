/**
 * ebpf.Host on a machine without Node: bare → host → program on it → bare again. @pulumi/command's own plugin runs where
 * it can be downloaded, else the stand-in of test/support/command-plugin, which runs the same commands over real SSH;
 * the first test's name says which.
 */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { useCommandPlugin } from "../support/command-plugin/index";
import { Lab } from "../support/lab";
import { PulumiProject } from "../support/pulumi";
import { bpffsOf, programOnEth0 } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");

/** Config `connection`, `source`, `host` (arguments besides the connection). */
function program({ filter = true, more = "" } = {}): string {
  return `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const connection = config.requireObject<ebpf.ConnectionArgs>("connection");
const host = new ebpf.Host("edge", { connection, ...config.getObject<object>("host") });
export const { features, agent, restoresAtBoot, coversNewInterfaces } = host;
${
  filter
    ? `const filter = new ebpf.Program("filter", { connection: host.connection, source: config.require("source") });
new ebpf.Attachment("filter-eth0", { program: filter, xdp: { interface: "eth0" } });`
    : ""
}
${more}
`;
}

describe("Given a bare machine and an ebpf.Host", function () {
  this.timeout(180_000);
  let lab: Lab;
  let project: PulumiProject;
  const sysctl = "net.ipv4.ip_forward"; // of the host's own network namespace
  const serviceUser = { name: "ebpf", authorizedKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA operator"] };
  const wishes = { sysctls: { [sysctl]: 1 }, serviceUser, coverNewInterfaces: true };

  before(async () => {
    lab = await Lab.create({ hosts: [{ node: false }] });
    project = await PulumiProject.create({ program: program() });
    configure(wishes);
  });

  after(async () => {
    project?.dispose();
    await lab?.destroy();
  });

  function configure(host: Record<string, unknown>): void {
    // a login that is not root, so that everything goes by sudo
    project.configure({ connection: lab.host().connectionAs("deploy"), source: fixture, host });
  }

  async function shell(text: string): Promise<string> {
    return (await lab.host().exec(["sh", "-c", text])).stdout.trim();
  }

  it("when @pulumi/command is not installed, then the program says how to get it", async () => {
    const { code, stdout, stderr } = await project.preview({ check: false });
    const text = stdout + stderr;
    assert.notEqual(code, 0, text);
    assert.match(
      text,
      /ebpf\.Host works by @pulumi\/command: run `npm install --save-exact @pulumi\/command@1\.2\.1`/,
    );
    assert.doesNotMatch(text, /^\s+at .+[:(]\d+/m, "no stack trace");
  });

  it("when previewed with @pulumi/command and its plugin, or the stand-in for it, then its connection is known", async function () {
    const plugin = await useCommandPlugin(project);
    this.test!.title += ` (it is ${plugin})`;
    const { stdout } = await project.preview();
    const ofProgram = stdout.slice(stdout.indexOf("ebpf:Program"));
    assert.match(ofProgram, new RegExp(`host *: "${lab.host().connection.host}"`), stdout);
    assert.match(stdout, /features *: \[unknown\]/);
    assert.equal(
      await shell("ls -A /var/lib/pulumi-ebpf"),
      "agent",
      "a preview delivers the agent and no more",
    );
    await shell("rm -r /var/lib/pulumi-ebpf/agent");
  });

  it("when brought up, then the agent is where every resource looks for it, and a program runs by it", async () => {
    await project.up();
    const { agent, features, restoresAtBoot, coversNewInterfaces } = await project.outputs<{
      agent: { digest: string; path: string };
      features: { kernel: string };
      restoresAtBoot: boolean;
      coversNewInterfaces: boolean;
    }>();
    assert.equal(features.kernel, await shell("uname -r"));
    assert.equal(await shell("ls -A /var/lib/pulumi-ebpf/agent"), agent.digest);
    assert.equal(agent.path, `/var/lib/pulumi-ebpf/agent/${agent.digest}`);
    assert.deepEqual([restoresAtBoot, coversNewInterfaces], [false, false]);
    assert.equal(await shell("ls -A ~deploy | grep pulumi-ebpf || true"), "", "the upload is gone");
    assert.notEqual(await programOnEth0(lab.host()), undefined);
    assert.equal(await shell(`sysctl -n ${sysctl}`), "1");
  });

  it("when nothing changes, then there is nothing to do", async () => {
    const { code, stdout } = await project.preview({ args: ["--expect-no-changes"], check: false });
    assert.equal(code, 0, stdout);
  });

  it("when the host has no systemd, then it says what does not come back at boot, and is not judged", async () => {
    const { stdout, stderr } = await project.preview();
    assert.match(stdout + stderr, /no systemd: nothing comes back at boot.*agent\.js restore/);
    assert.match(stdout + stderr, /no systemd with udev: interfaces that come later are not judged/);
  });

  it("when new interfaces are to be covered but nothing restored at boot, then preview refuses it", async () => {
    configure({ restoreAtBoot: false, coverNewInterfaces: true });
    const { code, stdout, stderr } = await project.preview({ check: false });
    assert.notEqual(code, 0);
    assert.match(stdout + stderr, /coverNewInterfaces: needs restoreAtBoot/);
    configure(wishes);
  });

  it("when the agent is damaged by hand, then the next up repairs it", async () => {
    const { agent } = await project.outputs<{ agent: { path: string } }>();
    const sum = `cd ${agent.path} && sha256sum main.js | cut -c 1-64`;
    const whole = await shell(sum);
    await shell(`echo '// more' >> ${agent.path}/main.js`);
    assert.notEqual(await shell(sum), whole);
    await project.up();
    assert.equal(await shell(sum), whole);
  });

  it("when the service user logs in, then the agent starts, and nothing else as root", async () => {
    const as = (words: string): string => `su ebpf -c ${JSON.stringify(words)}`;
    assert.equal(await shell(as("sudo -n sh -c id 2>/dev/null || echo refused")), "refused");
    assert.match(await shell("cat /etc/sudoers.d/pulumi-ebpf"), /^ebpf ALL=\(root\) NOPASSWD: \S+$/);
    const config = { ...lab.host().connection, user: "ebpf" };
    project.write("index.ts", program({ more: serviceProgram(config) }));
    await project.up();
    const { stdout } = await lab.host().exec(["find", "/sys/fs/bpf", "-path", "*own*", "-type", "f"]);
    assert.notEqual(stdout, "");
  });

  it("when other resources are on it than the stack's, then it is not deleted, and says whose they are", async () => {
    await shell("cd /var/lib/pulumi-ebpf/records && cp *filter.json other%2Fprod%2FProgram%2Fweb.json");
    const refused = await project.destroy({ check: false });
    assert.notEqual(refused.code, 0);
    assert.match(
      refused.stdout + refused.stderr,
      /still holds resources of other stacks.*other\/prod\/Program\/web/s,
    );
    assert.notEqual(await shell("ls -A /var/lib/pulumi-ebpf/agent"), "");
    assert.equal(await programOnEth0(lab.host()), undefined, "what is the stack's own is gone");
    await shell("rm /var/lib/pulumi-ebpf/records/other*");
  });

  it("when destroyed, then nothing of it is left", async () => {
    await project.destroy();
    assert.deepEqual(await bpffsOf(lab.host()), []);
    const places =
      "/var/lib/pulumi-ebpf /run/pulumi-ebpf /usr/local/sbin /etc/sudoers.d /etc/sysctl.d /etc/systemd /sys/fs/bpf";
    assert.equal(await shell(`find ${places} -mindepth 1 -name '*pulumi-ebpf*' 2>/dev/null || true`), "");
    assert.equal(await shell("ls -A /var/lib/pulumi-ebpf"), "");
    assert.equal(await shell("id ebpf 2>/dev/null || echo gone"), "gone");
    assert.equal(await shell(`sysctl -n ${sysctl}`), "0");
  });
});

/** A Map by the service user's login. */
function serviceProgram(connection: unknown): string {
  return `
const service = ${JSON.stringify(connection)};
new ebpf.Map("own", { connection: service, type: "hash", key: "u32", value: "u64", maxEntries: 4 }, { dependsOn: host });
`;
}

describe("Given a bare machine behind a bastion, and an ebpf.Host", function () {
  this.timeout(180_000);
  let lab: Lab;
  let project: PulumiProject;

  before(async () => {
    lab = await Lab.create({ hosts: [{ node: false }, { node: false, behind: 0 }] });
    project = await PulumiProject.create({ program: program() });
    project.configure({ connection: lab.host(1).connection, source: fixture });
  });

  after(async () => {
    project?.dispose();
    await lab?.destroy();
  });

  it("when brought up, then the agent is on the machine, none on the bastion, and a program runs by it", async function () {
    const plugin = await useCommandPlugin(project);
    this.test!.title += ` (@pulumi/command with ${plugin})`;
    await project.up();
    const { agent } = await project.outputs<{ agent: { digest: string } }>();
    const agents = ["sh", "-c", "ls -A /var/lib/pulumi-ebpf/agent 2>/dev/null || true"];
    assert.equal((await lab.host(1).exec(agents)).stdout.trim(), agent.digest);
    assert.equal((await lab.host(0).exec(agents)).stdout, "");
    assert.notEqual(await programOnEth0(lab.host(1)), undefined);
    const { code, stdout } = await project.preview({ args: ["--expect-no-changes"], check: false });
    assert.equal(code, 0, stdout);
  });

  it("when destroyed, then nothing of it is left", async () => {
    await project.destroy();
    assert.deepEqual(await bpffsOf(lab.host(1)), []);
    assert.equal((await lab.host(1).exec(["ls", "-A", "/var/lib/pulumi-ebpf"])).stdout, "");
  });
});
