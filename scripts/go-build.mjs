// Go programs that set-up builds, each from modules in a module of its own.
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { run, succeeds } from "./step.mjs";

export const pulumiVersion = "3.259.0";
export const pulumiModule = "github.com/pulumi/pulumi";

/** Those of the CLI: what is compiled with the same ones is compiled once for all programs. */
export const pulumiFlags = ["-tags", "osusergo,grpcnotrace", "-ldflags", "-s -w"];

export function hasGo() {
  return succeeds("go", ["version"]);
}

/**
 * Builds `program`, and copies files of modules beside it.
 * @param program `{ package, get: modules with versions, flags?, source?: a main.go, copies?: [{ module, path }] }`;
 *   with a source, `package` is "."
 * @param output path of the executable, in an existing directory
 */
export async function buildGo(program, output) {
  const cwd = mkdtempSync(join(dirname(output), "module."));
  try {
    const options = { cwd, env: { GOFLAGS: "-mod=mod", CGO_ENABLED: "0" } };
    await run("go", ["mod", "init", "built"], options);
    if (program.source !== undefined) copyFileSync(program.source, join(cwd, "main.go"));
    await run("go", ["get", ...program.get], options);
    const flags = ["-trimpath", ...(program.flags ?? pulumiFlags)];
    await run("go", ["build", ...flags, "-o", output, program.package], options);
    for (const { module, path } of program.copies ?? []) {
      const directory = (await run("go", ["list", "-m", "-f", "{{.Dir}}", module], options)).trim();
      copyFileSync(join(directory, path), join(dirname(output), path.split("/").at(-1)));
    }
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}
