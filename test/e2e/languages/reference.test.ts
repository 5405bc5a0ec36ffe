/** docs/reference/examples/Pulumi.yaml: each resource and function in YAML, typed by schema.json. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, cpSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import schema from "../../../schema.json";
import { Lab } from "../../support/lab";
import { temporaryPrefix } from "../../support/lab-network";
import type { NetnsHost } from "../../support/netns-host";
import { PulumiProject } from "../../support/pulumi";
import { bpffsOf } from "../filter";

const root = resolve(__dirname, "../../..");
const text = readFileSync(join(root, "docs/reference/examples/Pulumi.yaml"), "utf8");

// firewall.test.ts shows every day that YAML works
const described = process.env["EBPF_TEST_ALL"] ? describe : () => undefined;

described("Given the reference's program in YAML on a host", function () {
  this.timeout(120_000);
  let lab: Lab;
  let host: NetnsHost;
  let directory: string;
  let project: PulumiProject;

  before(async () => {
    lab = await Lab.create();
    host = lab.host();
    directory = mkdtempSync(join(tmpdir(), `${temporaryPrefix}reference-`));
    mkdirSync(join(directory, "bpf"));
    cpSync(join(root, "examples/firewall/bpf"), join(directory, "bpf"), { recursive: true });
    const connection = JSON.stringify(host.connection);
    const here = text.replace("{ host: edge-1.example.net, user: deploy }", connection);
    assert.notEqual(here, text);
    writeFileSync(join(directory, "Pulumi.yaml"), here);
    project = await PulumiProject.create({
      program: { directory },
      name: "reference",
      language: "yaml",
      config: { "ebpf:connection": host.connection },
    });
  });

  after(async () => {
    project?.dispose();
    if (directory !== undefined) rmSync(directory, { recursive: true });
    await lab?.destroy();
  });

  it("a first preview knows the parts of an object, and leaves unknown what functions ask of them", async () => {
    const { stdout } = await project.preview();
    assert.match(stdout, /keySize *: 8/);
    assert.deepEqual(await bpffsOf(host), []);
  });

  it("up creates all, and functions tell what the host has", async () => {
    await project.up();
    const outputs = await project.outputs<Record<string, never>>();
    const { stdout: kernel } = await host.exec(["uname", "-r"]);
    assert.equal(outputs["kernel"], kernel.trim());
    assert.equal(outputs["keyType"], "u32");
    assert.ok(Number(outputs["instructions"]) > 0);
    assert.deepEqual(Object.keys(outputs["entrypoints"]!), ["xdp_filter"]);
    assert.deepEqual(
      (outputs["counters"] as unknown as { key: number }[]).map(({ key }) => key),
      [0, 1],
    );
  });

  it("all that the state holds is in schema.json, and all that schema.json requires is in the state", async () => {
    const { resources = [] } = (await project.exportState({ secrets: true })).deployment;
    const ours = resources.filter(({ type }) => type.startsWith("ebpf:index:"));
    assert.equal(ours.length, 6);
    for (const { type, outputs = {} } of ours) {
      const { properties, required } = schema.resources[type as keyof typeof schema.resources];
      const unknown = Object.keys(outputs).filter((name) => !(name in properties));
      const missing = required.filter((name) => !(name in outputs));
      assert.deepEqual({ type, unknown, missing }, { type, unknown: [], missing: [] });
    }
  });

  it("a misspelt property and a wrong value are errors that name them", async () => {
    const broken = readFileSync(join(project.directory, "Pulumi.yaml"), "utf8");
    project.write("Pulumi.yaml", broken.replace("maxEntries: 65536", "maxEntrees: 65536"));
    const misspelt = await project.preview({ check: false });
    assert.notEqual(misspelt.code, 0);
    assert.match(misspelt.stdout + misspelt.stderr, /Property maxEntrees does not exist/);
    project.write("Pulumi.yaml", broken.replace("type: lru_hash", "type: lru_hush"));
    const wrong = await project.preview({ check: false });
    assert.notEqual(wrong.code, 0);
    assert.match(wrong.stdout + wrong.stderr, /Cannot assign type 'string' to type 'ebpf:index:MapType'/);
    project.write("Pulumi.yaml", broken);
  });

  it("destroy leaves nothing", async () => {
    await project.destroy();
    assert.deepEqual(await bpffsOf(host), []);
  });
});
