// Set-up, then one of our TypeScript programs in a process of its own.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setUp } from "./setup.mjs";
import { root, SetupError } from "./step.mjs";

/** `file` is relative to the clone, `options` are set-up's. The exit status is the program's. */
export async function runAfterSetUp(name, file, args = [], options = {}) {
  try {
    await setUp(options);
    const words = ["--require", "tsx/cjs", join(root, file), ...args];
    const child = spawn(process.execPath, words, { cwd: root, stdio: "inherit" });
    // the terminal sends Ctrl-C to both; the program takes its hosts down and ends
    process.on("SIGINT", () => undefined);
    process.on("SIGTERM", () => child.kill("SIGTERM"));
    process.exitCode = await new Promise((done, fail) => {
      child.once("error", fail);
      child.once("close", (code) => done(code ?? 1));
    });
  } catch (error) {
    console.error(error instanceof SetupError ? `${name}: ${error.message}` : error);
    process.exitCode = 1;
  }
}
