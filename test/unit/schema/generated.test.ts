/** What is made of the zod schemas and kept in the repository: a new making has no difference. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { run } from "../../support/command";
import { sdkFolders, texts, writeSdks } from "../../../scripts/generate";

const root = resolve(__dirname, "../../..");
const remedy = "differs from its schemas: npm run generate";

describe("Generated files", () => {
  for (const [path, text] of Object.entries(texts())) {
    it(`${path} is as the schemas make it`, () => {
      const kept = join(root, path);
      assert.ok(existsSync(kept), `${path} is missing: npm run generate`);
      assert.ok(readFileSync(kept, "utf8") === text, `${path} ${remedy}`);
    });
  }

  it("docs/reference has no page of something that is gone", () => {
    const pages = readdirSync(join(root, "docs/reference")).filter((name) => name.endsWith(".md"));
    assert.deepEqual(
      pages.filter((name) => !(`docs/reference/${name}` in texts())),
      [],
    );
  });

  it("schema.json passes Pulumi's own check", async function () {
    this.timeout(60_000);
    const { engineDirectory } = await import("../../../scripts/engine.mjs");
    const pulumi = join(engineDirectory(), "pulumi");
    const home = mkdtempSync(join(tmpdir(), "ebpf-pulumi-home-"));
    const env = { ...process.env, PULUMI_HOME: home, PULUMI_SKIP_UPDATE_CHECK: "true" };
    try {
      const { stdout, stderr } = await run([pulumi, "schema", "check", join(root, "schema.json")], { env });
      assert.equal(stdout + stderr, "");
    } finally {
      rmSync(home, { recursive: true });
    }
  });

  it("the SDKs for Python and Go are as Pulumi's generators make them, which find no fault in schema.json", async function () {
    this.timeout(60_000);
    const directory = mkdtempSync(join(tmpdir(), "ebpf-sdks-"));
    try {
      await writeSdks(directory);
      for (const folder of sdkFolders) {
        const fresh = filesIn(join(directory, folder));
        assert.deepEqual(filesIn(join(root, "sdk", folder)), fresh);
        for (const path of fresh) {
          const name = join("sdk", folder, path);
          const same =
            readFileSync(join(root, name), "utf8") === readFileSync(join(directory, folder, path), "utf8");
          assert.ok(same, `${name} ${remedy}`);
        }
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

/** Paths of all files below a directory, less what Python leaves when it runs. */
function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((path) => !/__pycache__|\.egg-info|^build(\/|$)/.test(path))
    .filter((path) => statSync(join(directory, path)).isFile())
    .sort();
}
