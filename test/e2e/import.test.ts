/** A stack in dynamic mode whose state is lost: `npx pulumi-ebpf import` brings it back from what the host holds. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { bin } from "../../package.json";
import { type CommandResult, run } from "../support/command";
import { Lab } from "../support/lab";
import { PulumiProject } from "../support/pulumi";
import { bpffsOf, filterProgram, programOnEth0 } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");

const more = `
new ebpf.Map("sessions", { connection, type: "lru_hash", key: "u32", value: { packets: "u64" }, maxEntries: 16 });
const offices = new ebpf.AddressSet("offices", { connection, cidrs: ["198.51.100.0/24"] });
new ebpf.NetworkPolicy("web", {
  connection,
  interfaces: ["eth0"],
  egress: [{ name: "offices", to: [{ addressSet: offices }] }, { name: "all", to: [{ any: true }] }],
});
`;
const withSecret = `${more}
const tokens = new ebpf.Map("tokens", { connection, type: "hash", key: "u32", value: "text:16", maxEntries: 4 });
new ebpf.MapEntries("tokens", { map: tokens, entries: [{ key: 1, value: pulumi.secret("declared-token") }] });
`;

describe("Given a host that holds a stack whose state is lost", function () {
  this.timeout(180_000);
  let lab: Lab;
  let lost: PulumiProject;
  let found: PulumiProject;

  before(async () => {
    lab = await Lab.create();
    lost = await project();
    await lost.up();
    found = await project();
  });

  after(async () => {
    lost?.dispose();
    found?.dispose();
    await lab?.destroy();
  });

  /** The key comes from the environment: a state that is imported has none. */
  function project(): Promise<PulumiProject> {
    const { privateKey, ...connection } = lab.host().connection;
    return PulumiProject.create({
      program: filterProgram({ ports: [9001], more }),
      config: { connection, source: fixture },
      env: { PULUMI_EBPF_PRIVATE_KEY: privateKey },
    });
  }

  function cli(...args: string[]): Promise<CommandResult> {
    const { host, port, hostKey = "" } = lab.host().connection;
    const installed = join(found.directory, "node_modules/pulumi-ebpf", bin["pulumi-ebpf"]);
    const words = ["import", `root@${host}:${port}`, "--host-key", hostKey, ...args];
    return run([installed, ...words], { check: false, cwd: found.directory, env: found.environment });
  }

  it("refuses what may be secret, and names it", async () => {
    const { code, stdout, stderr } = await cli();
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /Program\/filter: globals may be secret.*version/);
    assert.match(stderr, /--clear globals/);
    assert.equal((await cli("--clear", "rows")).code, 1);
  });

  it("names what the host does not have", async () => {
    const { code, stderr } = await cli("test/dev/Program/filtre");
    assert.equal(code, 1);
    assert.match(stderr, /did you mean "test\/dev\/Program\/filter"\?/);
  });

  it("brings back a state that previews clean, with and without a look at the host", async () => {
    const before = await programOnEth0(lab.host());
    const { code, stdout, stderr } = await cli("--clear", "globals");
    assert.equal(code, 0, stderr);
    found.write("import.json", stdout);
    const flags = ["--yes", "--skip-preview", "--protect=false", "--generate-code=false"];
    await found.pulumi("import", "--file", "import.json", ...flags, "--non-interactive");
    for (const args of [["--expect-no-changes"], ["--refresh", "--expect-no-changes"]]) {
      const preview = await found.preview({ args, check: false });
      assert.equal(preview.code, 0, preview.stdout);
    }
    assert.equal(await programOnEth0(lab.host()), before);
  });

  it("and that can be changed and destroyed", async () => {
    found.write("index.ts", filterProgram({ ports: [9001], more: withSecret, version: 2 }));
    const { changes } = await found.up();
    assert.deepEqual({ ...changes }, { create: 2, same: 6, update: 1 });
    const { code, stderr, stdout } = await cli("--clear", "globals");
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /MapEntries\/tokens: its rows are declared secret/);
    assert.ok(!readFileSync(join(found.directory, "import.json"), "utf8").includes("PRIVATE KEY"));
    await found.destroy();
    assert.equal(await programOnEth0(lab.host()), undefined);
    assert.deepEqual(await bpffsOf(lab.host()), []);
  });
});
