/** `plugin install`, `plugin path`: where Pulumi finds the provider plugin. */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { EbpfError } from "../errors";
import { packageRoot, packageVersion } from "../version";
import type { Command, Outcome } from "./command";

const executable = "pulumi-resource-ebpf";

export const plugin: Command = {
  operands: ["install|path"],
  run: async ({ operands: [action = ""] }) => {
    const directory = join(packageRoot(), "plugin");
    if (action === "install") return install(directory);
    if (action === "path") return { well: true, text: directory, json: { directory } };
    throw new EbpfError(
      "invalid",
      `read the command line: "${action}" is neither install nor path`,
      {},
      {
        remedy: "see `pulumi-ebpf --help`",
      },
    );
  },
};

/** Leaves a launcher, no copy: the package stays where it is, and so do its dependencies. */
function install(packaged: string): Outcome {
  const version = packageVersion();
  const home = process.env["PULUMI_HOME"] ?? join(homedir(), ".pulumi");
  const directory = join(home, "plugins", `resource-ebpf-v${version}`);
  const launched = join(packaged, executable);
  try {
    mkdirSync(directory, { recursive: true });
    replace(join(directory, `${executable}.cmd`), `@node "%~dp0${executable}" %*\r\n`);
    replace(join(directory, executable), launcher(launched, version));
  } catch (cause) {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    if (code !== "EACCES" && code !== "EROFS" && code !== "EPERM") throw cause;
    throw new EbpfError(
      "permission",
      `write the plugin's launcher: ${message}`,
      { needed: directory },
      {
        remedy: "set PULUMI_HOME to a directory of your own",
        cause,
      },
    );
  }
  return {
    well: true,
    text: `pulumi-resource-ebpf ${version} is in ${directory}\nit starts ${launched}: install again when that moves`,
    json: { version, directory, launches: launched },
  };
}

/** An engine that starts it meanwhile has the old one or the new one whole. */
function replace(file: string, text: string): void {
  const fresh = `${file}.${process.pid}`;
  writeFileSync(fresh, text, { mode: 0o755 });
  renameSync(fresh, file);
}

function launcher(file: string, version: string): string {
  return `#!/usr/bin/env node
// Written by \`pulumi-ebpf plugin install\` ${version}.
const plugin = ${JSON.stringify(file)};
if (!require("node:fs").existsSync(plugin)) {
  console.error(\`\${plugin} is gone: install pulumi-ebpf ${version} there, or elsewhere and run \\\`npx pulumi-ebpf plugin install\\\`\`);
  process.exit(1);
}
require(plugin);
`;
}
