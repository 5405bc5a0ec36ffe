/** The command `pulumi-ebpf` as it is installed, on a host that a stack has filled. */
import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { bin } from "../../package.json";
import type { Check } from "../../provider/cli/checks";
import type { RecordSummary } from "../../provider/protocol/messages";
import type { Status } from "../../provider/protocol/status";
import { type CommandResult, run } from "../support/command";
import { Lab } from "../support/lab";
import type { NetnsHost } from "../support/netns-host";
import { PulumiProject } from "../support/pulumi";
import { makeSshKey } from "../support/ssh-keys";
import { bpffsOf, filterProgram, programOnEth0 } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");
const prefix = "test/dev";

/** A map beside the filter whose values nobody may read in messages. */
const more = `
const tokens = new ebpf.Map("tokens", { connection, type: "hash", key: "u32", value: "text:16", maxEntries: 4 });
const token = pulumi.secret("declared-token");
new ebpf.MapEntries("tokens", { map: tokens, entries: [{ key: 1, value: token }] });
`;

describe("Given the installed command and a host", function () {
  this.timeout(120_000);
  let lab: Lab;
  let host: NetnsHost;
  let project: PulumiProject;

  before(async () => {
    lab = await Lab.create();
    host = lab.host();
    const config = { connection: host.connection, source: fixture };
    project = await PulumiProject.create({ program: filterProgram({ ports: [9001], more }), config });
    project.write("ssh_config", "");
  });

  after(async () => {
    project?.dispose();
    await lab?.destroy();
  });

  describe("doctor", () => {
    it("finds nothing wrong, and says what the kernel itself says", async () => {
      const { code, stdout } = await reach("doctor");
      assert.equal(code, 0, stdout);
      const checks = await checksOf("root");
      const { stdout: release } = await host.exec(["uname", "-r"]);
      assert.ok(detail(checks, "kernel").startsWith(release.trim()));
      assert.equal(detail(checks, "cgroup2"), "at /sys/fs/cgroup");
      assert.equal(detail(checks, "root"), "by login");
      const [digest] = detail(checks, "agent").split(",");
      const { stdout: delivered } = await host.exec(["ls", "/var/lib/pulumi-ebpf/agent"]);
      assert.match(delivered, new RegExp(`^${digest}[0-9a-f]{52}$`, "m"));
      assert.ok(checks.every(({ status }) => status !== "fail"));
      for (const { check } of checks) assert.match(stdout, new RegExp(`^  (ok|warn) +${check}(  |$)`, "m"));
    });

    it("tells a login with sudo from one without, and what to do", async () => {
      assert.equal(detail(await checksOf("deploy"), "root"), "by sudo -n");
      const checks = await checksOf("guest", 1);
      const { check, status, remedy } = checks.at(-1)!;
      assert.deepEqual([check, status], ["root", "fail"]);
      assert.match(remedy!, /sudo/);
      assert.ok(checks.slice(0, -1).every((passed) => passed.status === "ok"));
    });

    it("names the step at which the way to the host ends", async () => {
      const other = makeSshKey();
      project.write("other-key", other.privateKey);
      await run(["chmod", "600", join(project.directory, "other-key")]);
      const steps: [string, string[]][] = [
        ["configuration", ["--identity", "no-such-file"]],
        ["host key", ["--host-key", other.publicKey]],
        ["login", ["--identity", "other-key"]],
      ];
      for (const [step, args] of steps) {
        const { code, stdout, stderr } = await reach("doctor", [...args]);
        assert.equal(code, 1, stdout);
        assert.match(stdout, new RegExp(`^  fail +${step} .*\\n +→ `, "m"));
        assert.doesNotMatch(stdout + stderr, / at .*\.js:\d+/);
      }
      await host.stop();
      try {
        const { code, stdout } = await reach("doctor");
        assert.equal(code, 1);
        assert.match(stdout, /^ {2}fail +reach /m);
      } finally {
        await host.start();
      }
    });

    it("reaches the host by the operator's own ssh, and by an alias of its configuration", async () => {
      const { stdout } = await reach("doctor", ["--transport", "openssh"]);
      assert.match(stdout, /^ {2}ok +ssh .*\n {2}ok +root/m);
      const { host: address } = host.connection;
      const files = `IdentityFile ${host.identityFile}\n  UserKnownHostsFile ${host.knownHostsFile}`;
      project.write("ssh_config", `Host edge\n  HostName ${address}\n  ${files}\n`);
      const { code, stdout: aliased } = await cli("doctor", "edge");
      assert.equal(code, 0, aliased);
      assert.match(aliased, new RegExp(`^edge\n  ok +configuration +root@${address}:22\n`));
      assert.match(aliased, /\n {2}ok +host key +as known_hosts has it\n/);
    });

    it("examines the machine that it runs on", async () => {
      const main = resolve(__dirname, "../../dist/provider/cli/main.js");
      const { code, stdout } = await host.exec(
        [process.execPath, main, "doctor", "here", "--transport", "local"],
        {
          check: false,
        },
      );
      assert.equal(code, 0, stdout);
      assert.match(stdout, /^here\n {2}ok +root +this machine\n {2}ok +agent/);
    });
  });

  describe("with a stack on the host", () => {
    before(() => project.up());
    after(() => project.destroy());

    it("ls lists what every resource holds there", async () => {
      const { stdout } = await reach("ls", ["--json"]);
      const { records } = JSON.parse(stdout) as { records: RecordSummary[] };
      assert.deepEqual(
        records.map(({ id, programs, links, revision }) => [id, programs, links, revision]),
        [
          [`${prefix}/Attachment/filter-eth0`, [], ["link"], 1],
          [`${prefix}/Map/tokens`, [], [], 1],
          [`${prefix}/MapEntries/ports`, [], [], 1],
          [`${prefix}/MapEntries/tokens`, [], [], 1],
          [`${prefix}/Program/filter`, ["xdp_filter"], [], 1],
        ],
      );
      const text = (await reach("ls")).stdout;
      assert.match(text, /^ID +REVISION +AGE +PROGRAMS +MAPS +LINKS\n/);
      assert.match(
        text,
        new RegExp(`^${prefix}/Program/filter +1 +\\d+ (s|min) +xdp_filter +\\S*ports\\S* +-$`, "m"),
      );
    });

    it("inspect shows the kernel's own ids and pins", async () => {
      const program = await status("Program/filter");
      assert.equal(program.programs["xdp_filter"]!.programId, await programOnEth0(host));
      const pins = await bpffsOf(host);
      for (const { pin } of [...Object.values(program.programs), ...Object.values(program.maps)])
        assert.ok(pins.includes(pin), pin);
      const { links } = await status("Attachment/filter-eth0");
      const ids = (await host.bpftool<{ id: number }[]>("link", "list")).map(({ id }) => id);
      assert.ok(ids.includes(links["link"]!.linkId));
      const { stdout } = await inspect("Attachment/filter-eth0");
      assert.match(stdout, new RegExp(`\\n  links\\n    link +id ${links["link"]!.linkId} +xdp `));
      assert.match(stdout, /\n {2}no drift\n$/);
    });

    it("inspect takes the id that Pulumi prints", async () => {
      const { deployment } = await project.exportState();
      const ids = (deployment.resources ?? []).flatMap(({ id }) =>
        id?.endsWith("MapEntries/ports") ? id : [],
      );
      const { code, stdout } = await reach("inspect", [ids[0]!]);
      assert.equal(code, 0);
      assert.match(stdout, /1 of 1 as declared/);
    });

    it("inspect tells drift in the words of refresh, and is not well then", async () => {
      const [pin] = (await bpffsOf(host)).filter((path) => path.endsWith("maps/ports"));
      const update = `map update pinned ${pin} key hex 23 29 value hex 00 00 00 00 00 00 00 00`;
      await host.bpftool(...update.split(" "));
      const { links } = await status("Attachment/filter-eth0");
      await host.bpftool("link", "detach", "id", String(links["link"]!.linkId));
      await project.refresh();
      const { deployment } = await project.exportState();
      for (const [id, words] of [
        ["MapEntries/ports", /key 9001: declared .*DROP.*, found .*PASS/],
        ["Attachment/filter-eth0", /detached/],
      ] as const) {
        const { code, stdout } = await inspect(id);
        assert.equal(code, 1);
        assert.match(stdout, words);
        const { drift } = JSON.parse((await inspect(id, "--json")).stdout) as { drift: string[] };
        const inState = (deployment.resources ?? []).find((resource) => resource.id?.endsWith(id));
        assert.deepEqual(drift, inState?.outputs?.["drift"]);
      }
    });

    it("inspect tells that a secret value drifted, without either value", async () => {
      const [pin] = (await bpffsOf(host)).filter((path) => path.endsWith("maps/tokens"));
      const found = [...Buffer.from("by-hand-token".padEnd(16, "\0"))].map(String);
      await host.bpftool("map", "update", "pinned", pin!, "key", ..."1 0 0 0".split(" "), "value", ...found);
      const text = (await inspect("MapEntries/tokens")).stdout;
      const json = (await inspect("MapEntries/tokens", "--json")).stdout;
      assert.match(text, /\n {2}drift\n {4}.*key 1$/m);
      for (const token of ["declared-token", "by-hand-token"]) {
        const forms = [
          token,
          Buffer.from(token).toString("hex"),
          Buffer.from(token).toString("base64").slice(0, 16),
        ];
        for (const form of forms) assert.ok(!(text + json).includes(form), form);
      }
    });

    it("inspect of what is not there names what was probably meant", async () => {
      const { code, stdout, stderr } = await inspect("Program/filtre");
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, /did you mean "test\/dev\/Program\/filter"\?/);
      assert.equal(stderr.split("\n").length, 2);
    });
  });

  it("ls of a host without stacks says so", async () => {
    const { code, stdout } = await reach("ls");
    assert.deepEqual([code, stdout], [0, `root@${host.connection.host}:22 holds nothing of pulumi-ebpf\n`]);
  });

  it("ls and doctor name a damaged Record, and are not well then", async () => {
    const file = "/var/lib/pulumi-ebpf/records/test%2Fdev%2FProgram%2Fhalf.json";
    await host.write(file, '{"format":1,');
    try {
      const listed = await reach("ls");
      assert.equal(listed.code, 1);
      assert.match(listed.stdout, /^test\/dev\/Program\/half .*damaged/m);
      const { check, status } = (await checksOf("root", 1)).at(-1)!;
      assert.deepEqual([check, status], ["records", "fail"]);
    } finally {
      await host.exec(["rm", file]);
    }
  });

  it("types prints TypeScript that the operator's compiler takes, without a host", async () => {
    const { code, stdout } = await cli("types", fixture);
    assert.equal(code, 0);
    project.write(
      "types.ts",
      `${stdout}\nexport const row: Maps["ports"] = { key: 1, value: { action: "DROP", note: 0 } };`,
    );
    await run(["node_modules/.bin/tsc", "--noEmit", "--strict", "types.ts"], { cwd: project.directory });
  });

  it("wrong usage prints everything that is wrong, and exits with 2", async () => {
    const { code, stdout, stderr } = await cli("inspekt", "--jsn", "--colour=22");
    assert.deepEqual([code, stdout], [2, ""]);
    assert.equal(stderr.trim().split("\n").length, 4);
    assert.match(stderr, /did you mean inspect\?/);
    assert.match(stderr, /did you mean --json\?/);
  });

  /** The file that npm links as `pulumi-ebpf`, started by its own first line; nothing native may be loaded on the operator's side. */
  function cli(...args: string[]): Promise<CommandResult> {
    const config = join(project.directory, "ssh_config");
    const env = { ...project.environment, NODE_OPTIONS: "--no-addons", PULUMI_EBPF_SSH_CONFIG: config };
    const installed = join(project.directory, "node_modules/pulumi-ebpf");
    return run([join(installed, bin["pulumi-ebpf"]), ...args], { check: false, cwd: project.directory, env });
  }

  /** The later of two equal options counts. */
  function reach(command: string, args: string[] = [], user = "root"): Promise<CommandResult> {
    const { host: address, port, hostKey = "" } = host.connection;
    const options = ["--identity", host.identityFile, "--host-key", hostKey];
    return cli(command, `${user}@${address}:${port}`, ...options, ...args);
  }

  function inspect(id: string, ...args: string[]): Promise<CommandResult> {
    return reach("inspect", [`${prefix}/${id}`, ...args]);
  }

  async function status(id: string): Promise<Status> {
    const { stdout, stderr } = await inspect(id, "--json");
    assert.equal(stderr, "");
    return JSON.parse(stdout) as Status;
  }

  async function checksOf(user: string, expected = 0): Promise<Check[]> {
    const { code, stdout, stderr } = await reach("doctor", ["--json"], user);
    assert.equal(code, expected, stdout + stderr);
    return (JSON.parse(stdout) as { checks: Check[] }).checks;
  }

  function detail(checks: Check[], name: string): string {
    return checks.find(({ check }) => check === name)?.detail ?? `no check ${name}`;
  }
});
