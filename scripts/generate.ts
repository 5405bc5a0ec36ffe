// Writes all that is made of the schemas anew: schema.json, the reference pages, the tables of README.md, and the SDKs
// for Python and Go.
//   npm run generate
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { graphOf, svgOf } from "../provider/cli/graph";
import { packageSchema } from "../provider/schema/package";
import { type Example, referencePages } from "../provider/schema/pages";
import { withTables } from "../provider/schema/tables";
import recordedState from "../test/fixtures/graph/firewall.state.json";
import manifest from "../package.json";

const root = resolve(__dirname, "..");

/** Texts by their path in the clone, as they should be. */
export function texts(): Record<string, string> {
  const pages = Object.entries(referencePages(exampleOf)).map(([file, text]) => [
    `docs/reference/${file}`,
    text,
  ]);
  return {
    ...Object.fromEntries(pages),
    "README.md": withTables(readFileSync(join(root, "README.md"), "utf8")),
    "docs/firewall-graph.svg": svgOf(graphOf(recordedState)),
    "schema.json": `${JSON.stringify(packageSchema(manifest), null, 2)}\n`,
  };
}

/** The part of the example programs between `example: NAME` and `end`, of YAML below its section. */
function exampleOf(name: string): Example {
  const cut = (file: string): [before: string, text: string] => {
    const text = readFileSync(join(root, "docs/reference/examples", file), "utf8");
    const [, before, part] =
      new RegExp(`^([^]*)example: ${name}\\n([^]*?) *(?://|#) end\\n`).exec(text) ?? [];
    if (before === undefined || part === undefined) throw new Error(`${file} has no example: ${name}`);
    return [before, part];
  };
  const [, ts] = cut("index.ts");
  const [before, yaml] = cut("Pulumi.yaml");
  const [section = ""] = before.match(/^\w+:$/gm)?.slice(-1) ?? [];
  return { ts, yaml: `${section}\n${yaml}` };
}

/** The generated folders of each SDK: what lies beside them is written by hand. */
export const sdkFolders = ["python", "go/ebpf"];

/** Writes the SDKs for schema.json into a directory, by Pulumi's own generators. */
export async function writeSdks(directory: string): Promise<void> {
  const { codegenProgram } = await import("./codegen.mjs");
  execFileSync(codegenProgram(), [join(root, "schema.json"), directory], { stdio: "inherit" });
}

async function main(): Promise<void> {
  for (const [path, text] of Object.entries(texts())) writeFileSync(join(root, path), text);
  const directory = mkdtempSync(join(tmpdir(), "ebpf-generate-"));
  try {
    await writeSdks(directory);
    for (const folder of sdkFolders) {
      rmSync(join(root, "sdk", folder), { recursive: true, force: true });
      cpSync(join(directory, folder), join(root, "sdk", folder), { recursive: true });
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

if (require.main === module) {
  main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
