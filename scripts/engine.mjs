// The Pulumi engine for tests and demo: the CLI with its Node language host, in one directory.
// `pulumi` on PATH if it is new enough, else what npm's launcher downloads, else a build from Go modules; the last
// two are kept in the cache outside the clone.
import { execFileSync } from "node:child_process";
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
} from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { buildGo, hasGo, pulumiFlags, pulumiModule, pulumiVersion as version } from "./go-build.mjs";
import { cache, root, run, SetupError, step, succeeds } from "./step.mjs";

/** The last language host inside the SDK's module; later ones are modules of their own. It runs under any 3.x CLI. */
const languageHostVersion = "3.68.0";
/** @pulumi/pulumi's lowest version that we support needs a CLI of the same age. */
const minimum = [3, 216, 0];
const executables = ["pulumi", "pulumi-language-nodejs", "pulumi-resource-pulumi-nodejs"];
const built = join(cache, `engine-${version}`);

/** Directory of the engine to put first on PATH. Throws when there is none: run set-up. */
export function engineDirectory() {
  const directory = complete(built) ? built : onPath();
  if (directory === undefined) throw new SetupError("no Pulumi engine: run `npm run setup`");
  return directory;
}

export async function ensureEngine() {
  if (complete(built) || onPath() !== undefined) return;
  if (await step("fetch the Pulumi engine with npm's launcher", fetchWithLauncher)) return;
  await buildFromModules();
}

function complete(directory) {
  return executables.every((name) => isExecutable(join(directory, name)));
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function onPath() {
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    // npm puts node_modules/.bin first: its launcher is no engine
    if (!complete(directory) || directory.includes("node_modules")) continue;
    const text = execFileSync(join(directory, "pulumi"), ["version"], { encoding: "utf8" });
    const numbers = text.trim().replace(/^v/, "").split(/[.-]/).map(Number);
    const newer = numbers.findIndex((number, index) => number !== minimum[index]);
    if (numbers[newer] >= (minimum[newer] ?? 0) || newer < 0) return directory;
  }
  return undefined;
}

/** Fills a directory beside the cached one and renames it, so that it is there whole or not at all. */
async function install(fill) {
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(`${built}.`);
  try {
    await fill(directory);
    const shim = join(directory, "pulumi-resource-pulumi-nodejs");
    if (!existsSync(shim))
      cpSync(join(root, "node_modules/@pulumi/pulumi/pulumi-resource-pulumi-nodejs"), shim);
    await run(join(directory, "pulumi"), ["version"]);
    rmSync(built, { recursive: true, force: true });
    renameSync(directory, built);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** False where the launcher cannot reach Pulumi's downloads. */
async function fetchWithLauncher() {
  const directory = mkdtempSync(join(cache, "launcher."));
  try {
    const options = ["--prefix", directory, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"];
    await run("npm", ["install", ...options, `pulumi@${version}`], { cwd: directory });
    const launcher = join(directory, "node_modules/pulumi");
    const env = { XDG_CACHE_HOME: directory, HOME: directory, PULUMI_HOME: directory };
    if (!(await succeeds("node", [join(launcher, "run.js"), "version"], { env, timeoutSeconds: 300 })))
      return false;
    const script = `require("${launcher}/lib/resolve").resolve().then((path) => console.log(path))`;
    const binaries = dirname((await run("node", ["-e", script], { env })).trim());
    await install((target) => {
      for (const name of readdirSync(binaries)) cpSync(join(binaries, name), join(target, name));
    });
    return true;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function buildFromModules() {
  if (!(await hasGo())) {
    const ways = `install Go >= 1.21 to build it, or put pulumi >= ${minimum.join(".")} on PATH`;
    throw new SetupError(
      `no Pulumi engine: npm's launcher cannot download it and \`go\` is missing; ${ways}`,
    );
  }
  const stamp = `-X ${pulumiModule}/sdk/v3/go/common/version.Version=v${version}`;
  const programs = {
    "pulumi-language-nodejs": {
      package: `${pulumiModule}/sdk/v3/nodejs/cmd/pulumi-language-nodejs`,
      get: [`${pulumiModule}/sdk/v3/nodejs/cmd/pulumi-language-nodejs@v${languageHostVersion}`],
      flags: ["-ldflags", "-s -w"],
    },
    pulumi: {
      package: `${pulumiModule}/pkg/v3/cmd/pulumi`,
      get: [`${pulumiModule}/pkg/v3/cmd/pulumi@v${version}`, `${pulumiModule}/sdk/v3@v${version}`],
      flags: [...pulumiFlags.slice(0, -1), `${pulumiFlags.at(-1)} ${stamp}`],
    },
  };
  await step(`build the Pulumi engine ${version} from Go modules (about 5 minutes, once)`, () =>
    install(async (directory) => {
      for (const [name, program] of Object.entries(programs)) {
        await buildGo(program, join(directory, name));
      }
    }),
  );
}
