/** examples/gitops: its scripts by the demo, which runs them; files for services that are not here by their schemas. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { run } from "../support/command";

const root = resolve(__dirname, "../..");
const example = join(root, "examples/gitops");

describe("Example gitops", function () {
  this.timeout(300_000);
  let directory: string;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "pulumi-ebpf-gitops-"));
  });

  after(() => rmSync(directory, { recursive: true, force: true }));

  /** What check-jsonschema has against a file; each fault is put into it in turn, and must be found. */
  async function keepsTo(
    schema: string[],
    file: string,
    faults: [right: RegExp, wrong: string][],
  ): Promise<void> {
    const { checkJsonschema } = await import("../../scripts/check-jsonschema.mjs");
    const { command, env } = await checkJsonschema();
    const check = (path: string) =>
      run([...command, ...schema, path], { env: { ...process.env, ...env }, check: false });
    const { code, stdout } = await check(join(example, file));
    assert.equal(code, 0, stdout);
    const text = readFileSync(join(example, file), "utf8");
    for (const [right, wrong] of faults) {
      assert.match(text, right);
      const copy = join(directory, "copy.yml");
      writeFileSync(copy, text.replace(right, wrong));
      assert.notEqual((await check(copy)).code, 0, `${file} with ${wrong}`);
    }
  }

  it("its workflow for GitHub Actions keeps to the published schema; it was never run", () =>
    keepsTo(["--builtin-schema", "vendor.github-workflows"], ".github/workflows/ebpf.yml", [
      [/runs-on:/, "runs_on:"],
      [/timeout-minutes: 15/, "timeout-minutes: soon"],
    ]));

  it("its file for GitLab keeps to the published schema; it was never run", () =>
    keepsTo(["--builtin-schema", "vendor.gitlab-ci"], ".gitlab-ci.yml", [
      [/stages: \[preview, up, drift\]/, "stages: preview"],
      [/interruptible: false/, "interruptible: maybe"],
    ]));

  it("its Stack keeps to the operator's published schema; it was never run", () =>
    keepsTo(["--schemafile", join(root, "test/fixtures/gitops/stack.schema.json")], "kubernetes/stack.yaml", [
      [/projectRepo:/, "projectRepository:"],
      [/resyncFrequencySeconds: 600/, "resyncFrequencySeconds: often"],
    ]));

  it("its scripts are right by bash, and tell how they are used", async () => {
    const scripts = ["stack-job", "stacks", "run-at", "drift-job", "hooks/post-receive"];
    for (const script of scripts) await run(["bash", "-n", join(example, script)]);
    const { code, stderr } = await run([join(example, "stack-job"), "upp", "edge"], { check: false });
    assert.equal(code, 2);
    assert.match(stderr, /^usage: stack-job preview\|up\|drift\|repair\|destroy STACK$/m);
  });

  if (process.env["EBPF_TEST_ALL"]) {
    it("a push previews, a merge changes packets, drift is reported and repaired: the demo's checks hold", async () => {
      const words = [process.execPath, "--require", "tsx/cjs", "test/demo/main.ts", "gitops"];
      const { stdout } = await run(words, { cwd: root, timeoutSeconds: 240, env: process.env });
      assert.match(stdout, /[1-9]\d* checks held, 0 did not/);
    });
  }
});
