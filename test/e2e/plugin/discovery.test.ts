/** How Pulumi finds the plugin without a word about it in Pulumi.yaml. No host: previews are offline. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../../package.json";
import { run } from "../../support/command";
import { PulumiProject } from "../../support/pulumi";

const program = `
import * as ebpf from "pulumi-ebpf";
const map = new ebpf.Map("m", { connection: { host: "edge-1" }, type: "array", key: "u32", value: "u32", maxEntries: 1 });
export const spec = map.specId;
`;

describe("Given a project in plugin mode whose Pulumi.yaml names no plugin", function () {
  this.timeout(120_000);
  let project: PulumiProject;

  before(async () => {
    const config = { "ebpf:preview": "offline" };
    project = await PulumiProject.create({ program, config, mode: "plugin" });
    project.write("Pulumi.yaml", JSON.stringify({ name: "test", runtime: "nodejs", main: "." }));
    const scripts = { preview: "pulumi preview --non-interactive --stack dev" };
    project.write("package.json", JSON.stringify({ name: "test", private: true, main: "index.ts", scripts }));
  });

  after(() => project?.dispose());

  function npx(...args: string[]) {
    const command = ["npx", "--no", "pulumi-ebpf", ...args];
    return run(command, { cwd: project.directory, env: project.environment });
  }

  if (process.env["EBPF_TEST_ALL"]) {
    it("when nothing was installed, then the error names the plugin", async () => {
      const { code, stdout, stderr } = await project.preview({ check: false });
      assert.notEqual(code, 0);
      assert.match(stdout + stderr, /no resource plugin 'pulumi-resource-ebpf' found/);
    });

    it("when npm runs it, then node_modules/.bin has the plugin", async () => {
      const command = ["npm", "run", "preview"];
      const { stdout } = await run(command, { cwd: project.directory, env: project.environment });
      assert.match(stdout, /ebpf:index:Map m create/);
    });
  }

  it("when `pulumi-ebpf plugin install` was run, then plain pulumi finds it, and it says so as JSON too", async () => {
    const { stdout } = await npx("plugin", "install", "--json");
    const installed = JSON.parse(stdout) as { version: string; directory: string; launches: string };
    assert.equal(installed.version, version);
    assert.match(installed.directory, new RegExp(`\\.pulumi-home/plugins/resource-ebpf-v${version}$`));
    await npx("plugin", "install"); // once more is no error
    assert.deepEqual(readdirSync(installed.directory).sort(), [
      "pulumi-resource-ebpf",
      "pulumi-resource-ebpf.cmd",
    ]);
    const { stdout: preview } = await project.preview();
    assert.match(preview, /spec: "test\/dev\/Map\/m"/);
  });

  it("when the package has moved away, then the launcher says where it was", async () => {
    const { stdout } = await npx("plugin", "install", "--json");
    const { directory, launches } = JSON.parse(stdout) as { directory: string; launches: string };
    const elsewhere = mkdtempSync(join(project.directory, "moved-"));
    await run(["mv", launches, elsewhere]);
    const { code, stderr } = await run([join(directory, "pulumi-resource-ebpf")], {
      env: project.environment,
      check: false,
    });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /node_modules\/pulumi-ebpf\/plugin\/pulumi-resource-ebpf is gone: install pulumi-ebpf/,
    );
    rmSync(elsewhere, { recursive: true });
  });
});
