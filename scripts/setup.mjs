// Everything between a fresh clone and running tests. Each step says what it does and how long it took; what is
// done already is skipped without a word. Uses nothing from npm, because it is what installs that.
//   node scripts/setup.mjs [--machines] [--languages]
// --machines: also what virtual machines need; --languages: also Pulumi's hosts for Python and Go
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installPackages } from "./packages.mjs";
import { lock, root, run, SetupError, step } from "./step.mjs";

/**
 * @param machines whether virtual machines are wanted as well
 * @param databases whether a database server is
 * @param languages Pulumi's language hosts that are wanted besides Node's: `yaml`, `python`, `go`
 * @param generators whether the program that writes SDKs is wanted
 */
export async function setUp({
  machines = false,
  databases = false,
  languages = [],
  generators = false,
} = {}) {
  checkMachine();
  const unlock = await lock();
  try {
    await installPackages({ machines, databases, python: languages.includes("python") });
    await checkBpf();
    if (!packagesInstalled()) {
      await step("install npm packages", () =>
        run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]),
      );
    }
    const { build } = await import("./build.mjs");
    await build();
    const { ensureEngine } = await import("./engine.mjs");
    await ensureEngine();
    const { ensureLanguages } = await import("./languages.mjs");
    await ensureLanguages(languages);
    const { ensureCodegen } = await import("./codegen.mjs");
    if (generators) await ensureCodegen();
  } finally {
    await unlock();
  }
}

function checkMachine() {
  if (process.platform !== "linux") throw new SetupError(`this needs Linux, and this is ${process.platform}`);
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20) throw new SetupError(`this needs Node 20 or newer, and this is ${process.versions.node}`);
  if (process.getuid() !== 0)
    throw new SetupError("this needs root, for network namespaces and bpf(2): use sudo");
  const bits = BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))[1]}`);
  // numbers of include/uapi/linux/capability.h
  const needed = { CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n };
  const missing = Object.keys(needed).filter((name) => ((bits >> needed[name]) & 1n) === 0n);
  if (missing.length > 0) {
    throw new SetupError(
      `root lacks ${missing.join(" and ")} here: use a machine, or a privileged container`,
    );
  }
}

async function checkBpf() {
  try {
    await run("bpftool", ["prog", "list"]);
  } catch (error) {
    const reason = error.message.split("\n").pop();
    throw new SetupError(`bpf(2) is not usable on this machine: ${reason}`);
  }
}

/** npm keeps what it installed in node_modules/.package-lock.json: compare that with what is asked for. */
function packagesInstalled() {
  const installed = join(root, "node_modules/.package-lock.json");
  if (!existsSync(installed)) return false;
  const here = JSON.parse(readFileSync(installed, "utf8")).packages;
  const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  return Object.entries(wanted).every(
    ([path, { version, optional }]) => path === "" || optional || here[path]?.version === version,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const machines = process.argv.includes("--machines");
  const languages = ["yaml", ...(process.argv.includes("--languages") ? ["python", "go"] : [])];
  await setUp({ machines, languages, generators: true }).catch((error) => {
    console.error(error instanceof SetupError ? `setup: ${error.message}` : error);
    process.exitCode = 1;
  });
}
