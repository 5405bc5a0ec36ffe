import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import ts from "typescript";
import { readObject } from "../../../provider/btf";
import { openSources } from "../../../provider/sources";
import type { ObjectSource } from "../../../provider/sources/source";

const root = resolve(__dirname, "../../..");

describe("README.md", () => {
  const text = readFileSync(join(root, "README.md"), "utf8");

  it("has a table for each kind of resource, its parts, and each hook", () => {
    const named = [...text.matchAll(/<!-- table: (\w+) -->/g)].map(([, name]) => name);
    const kinds = ["Program", "Map", "MapEntries", "Attachment", "NetworkPolicy", "AddressSet"];
    const expected = ["common", ...kinds, "connection", "rule", "peer", "port", "test"];
    const hooks = ["xdp", "tcx", "tc", "cgroup", "tracepoint", "rawTracepoint"];
    assert.deepEqual(named.sort(), [...expected, ...hooks].sort());
  });

  it("links to files and headings that exist", () => {
    const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(
      ([, heading]) => `#${heading!.toLowerCase().replace(/,/g, "").replace(/ /g, "-")}`,
    );
    for (const [, target] of text.matchAll(/\]\((?!https:)([^)]+)\)/g)) {
      if (target!.startsWith("#")) assert.ok(headings.includes(target!), target);
      else assert.ok(existsSync(resolve(root, target!)), target);
    }
  });

  describe("its first program", () => {
    let directory: string;
    before(() => (directory = mkdtempSync(join(tmpdir(), "ebpf-readme-"))));
    after(() => rmSync(directory, { recursive: true }));

    it("compiles from C to an object with the names that the program uses", async () => {
      const path = join(directory, "count.bpf.c");
      writeFileSync(path, blocks("c")[0]!);
      const [source] = await openSources([
        { kind: "object", property: "source", path, includes: [], defines: {} },
      ]);
      const { entrypoints, maps } = readObject((source as ObjectSource).bytes);
      assert.deepEqual(Object.keys(entrypoints), ["count"]);
      assert.deepEqual(Object.keys(maps), ["packets"]);
    });

    it("has no type error, with what later sections add to it", function () {
      this.timeout(60_000);
      const file = join(directory, "index.ts");
      writeFileSync(file, blocks("ts").join("\n"));
      assert.deepEqual(typeErrors(file), []);
    });
  });

  it("and docs/reference have programs without a type error", function () {
    this.timeout(60_000);
    assert.deepEqual(typeErrors(join(root, "docs/reference/examples/index.ts")), []);
  });

  /** Of a program, by the declarations that the package has. */
  function typeErrors(file: string): string[] {
    const program = ts.createProgram([file], {
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.CommonJS,
      typeRoots: [join(root, "node_modules/@types")],
      types: ["node"],
      baseUrl: root,
      paths: {
        "pulumi-ebpf": ["dist/sdk/nodejs/index.d.ts"],
        "@pulumi/pulumi": ["node_modules/@pulumi/pulumi"],
      },
    });
    return ts
      .getPreEmitDiagnostics(program)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, " "));
  }

  function blocks(language: string): string[] {
    const found = [...text.matchAll(new RegExp(`\\n\`\`\`${language}\\n([^]*?)\`\`\``, "g"))];
    assert.ok(found.length > 0);
    return found.map(([, code]) => code!);
  }
});
