// check-jsonschema of PyPI, which carries the schemas of GitHub's workflows and GitLab's CI files: they cannot be had
// from npm. It lies in the cache outside the clone.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cache, run } from "./step.mjs";

const version = "0.39.0";

/** Words to put before its arguments, and the environment that it needs. */
export async function checkJsonschema() {
  const directory = join(cache, `check-jsonschema-${version}`);
  if (!existsSync(directory)) await install(directory);
  return { command: ["python3", "-m", "check_jsonschema"], env: { PYTHONPATH: directory } };
}

/** Into a directory beside it first: it is there whole or not at all. */
async function install(directory) {
  mkdirSync(cache, { recursive: true });
  const fresh = mkdtempSync(`${directory}.`);
  try {
    const options = ["--quiet", "--disable-pip-version-check", "--no-compile", "--target", fresh];
    await run("python3", ["-m", "pip", "install", ...options, `check-jsonschema==${version}`]);
    if (!existsSync(directory)) renameSync(fresh, directory);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}
