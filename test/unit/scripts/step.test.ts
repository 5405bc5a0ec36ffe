import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

describe("scripts/step.mjs", () => {
  it("lets a process end that asked for a command which is not there", function () {
    this.timeout(30_000);
    const program = `
      import { succeeds } from ${JSON.stringify(resolve("scripts/step.mjs"))};
      console.log(await succeeds("no-such-command", []));`;
    const { stdout, signal } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
      encoding: "utf8",
      timeout: 20_000,
    });
    assert.deepEqual({ stdout, signal }, { stdout: "false\n", signal: null });
  });

  it("ends a command that takes longer than it may, and says so", async () => {
    const { run } = await import("../../../scripts/step.mjs");
    await assert.rejects(run("sleep", ["30"], { timeoutSeconds: 0.2 }), {
      message: "sleep: still runs after 0.2 s, ended",
    });
  });
});
