// Pulumi's language hosts for YAML, Python and Go, beside the engine. The engine brings its own where npm's launcher
// or the user installed it; else they are built from Go modules, kept with the engine in the cache.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { engineDirectory } from "./engine.mjs";
import { buildGo, hasGo, pulumiModule, pulumiVersion } from "./go-build.mjs";
import { cache, SetupError, step } from "./step.mjs";

const yaml = "github.com/pulumi/pulumi-yaml";
const python = "pulumi-language-python";

/** The last hosts inside the SDK's module; later ones are modules of their own. They run under any 3.x CLI. */
const hosts = {
  yaml: {
    package: `${yaml}/cmd/pulumi-language-yaml`,
    // with the CLI's own modules: they are compiled already
    get: [
      `${yaml}/cmd/pulumi-language-yaml@v1.38.1`,
      ...["pkg", "sdk"].map((name) => `${pulumiModule}/${name}/v3@v${pulumiVersion}`),
    ],
  },
  python: {
    package: `${pulumiModule}/sdk/v3/python/cmd/${python}`,
    get: [`${pulumiModule}/sdk/v3/python/cmd/${python}@v3.68.0`],
    flags: ["-ldflags", "-s -w"],
    copies: [{ module: `${pulumiModule}/sdk/v3`, path: `python/cmd/${python}-exec` }],
  },
  go: {
    package: `${pulumiModule}/sdk/v3/go/pulumi-language-go`,
    get: [`${pulumiModule}/sdk/v3/go/pulumi-language-go@v3.66.0`],
    flags: ["-ldflags", "-s -w"],
  },
};

/** Directory to put on PATH behind the engine's; the same one where the engine is ours. */
export function languageDirectory() {
  const engine = engineDirectory();
  return engine.startsWith(cache) ? engine : join(cache, `languages-${pulumiVersion}`);
}

/** @param names of `yaml`, `python`, `go` */
export async function ensureLanguages(names) {
  const directories = [engineDirectory(), languageDirectory()];
  const missing = names.filter((name) =>
    directories.every((directory) => !existsSync(join(directory, `pulumi-language-${name}`))),
  );
  if (missing.length === 0) return;
  if (!(await hasGo())) {
    throw new SetupError(
      `no language host for ${missing.join(", ")}: install Go >= 1.21 to build it, or a Pulumi engine that has it`,
    );
  }
  for (const name of missing) {
    await step(`build Pulumi's language host for ${name} from Go modules (once)`, () => install(name));
  }
}

/** Into a directory beside, then file by file: the host itself last, which says that all is there. */
async function install(name) {
  const target = languageDirectory();
  mkdirSync(target, { recursive: true });
  const directory = mkdtempSync(join(cache, "language."));
  try {
    const executable = `pulumi-language-${name}`;
    await buildGo(hosts[name], join(directory, executable));
    for (const file of readdirSync(directory).sort((a, b) => b.length - a.length)) {
      chmodSync(join(directory, file), 0o755);
      renameSync(join(directory, file), join(target, file));
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
