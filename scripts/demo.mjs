// Set-up, then the demo: a firewall on two hosts that are made for it.
//   node scripts/demo.mjs
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setUp } from "./setup.mjs";
import { root, SetupError } from "./step.mjs";

try {
  await setUp();
  const args = ["--require", "tsx/cjs", join(root, "test/demo/main.ts")];
  const child = spawn(process.execPath, args, { cwd: root, stdio: "inherit" });
  // the terminal sends Ctrl-C to both; the demo takes its hosts down and ends
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  process.exitCode = await new Promise((done, fail) => {
    child.once("error", fail);
    child.once("close", (code) => done(code ?? 1));
  });
} catch (error) {
  console.error(error instanceof SetupError ? `demo: ${error.message}` : error);
  process.exitCode = 1;
}
