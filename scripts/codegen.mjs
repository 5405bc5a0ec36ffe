// The program that writes the SDKs for Python and Go, scripts/codegen/main.go: built once, kept in the cache.
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { buildGo, hasGo, pulumiModule, pulumiVersion } from "./go-build.mjs";
import { cache, root, SetupError, step } from "./step.mjs";

const source = join(root, "scripts/codegen/main.go");

/** Path of the program. Throws when it is not there: run set-up with Go. */
export function codegenProgram() {
  const program = path();
  if (existsSync(program)) return program;
  throw new SetupError("Pulumi's generators are not built: install Go >= 1.21, then `npm run setup`");
}

/** Without Go nothing is built; codegenProgram says so to whoever needs it. */
export async function ensureCodegen() {
  const program = path();
  if (existsSync(program) || !(await hasGo())) return;
  await step("build Pulumi's SDK generators from Go modules (once)", async () => {
    const directory = mkdtempSync(join(cache, "codegen."));
    try {
      const modules = ["pkg", "sdk"].map((name) => `${pulumiModule}/${name}/v3@v${pulumiVersion}`);
      await buildGo({ package: ".", source, get: modules }, join(directory, "codegen"));
      rmSync(dirname(program), { recursive: true, force: true });
      renameSync(directory, dirname(program));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

function path() {
  const key = createHash("sha256").update(readFileSync(source)).update(pulumiVersion).digest("hex");
  return join(cache, `codegen-${key.slice(0, 12)}`, "codegen");
}
