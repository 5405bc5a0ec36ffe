import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as ts from "typescript";
import { declarations } from "../../../provider/cli/types";
import { decode, type ObjectInfo, readObject } from "../../../provider/btf";
import { Workshop } from "../btf/compile";

const fixtures = ["objects.bpf.c", "layouts.bpf.c", "kernel-fields.bpf.c"];

describe("types of an object as TypeScript", function () {
  this.timeout(60_000);
  let workshop: Workshop;

  before(() => (workshop = new Workshop()));
  after(() => workshop.remove());

  const read = (fixture: string): ObjectInfo => readObject(readFileSync(workshop.object(fixture)));

  for (const fixture of fixtures) {
    it(`takes every key, value and global of ${fixture} as decode gives them`, () => {
      const info = read(fixture);
      const samples = [
        ...Object.values(info.maps).flatMap(({ name, internal, key, value, inner }) => {
          if (internal === true || key === undefined || value === undefined || inner !== undefined) return [];
          return [0x00, 0x41].map((byte) => {
            const [keyText, valueText] = [key, value].map((layout) =>
              JSON.stringify(decode(layout, Buffer.alloc(layout.size, byte))),
            );
            return `const ${name}${byte}: Maps["${name}"] = { key: ${keyText}, value: ${valueText} };`;
          });
        }),
        ...Object.values(info.globals).map(
          ({ name, type }, index) =>
            `const global${index}: Globals[${JSON.stringify(name)}] = ${JSON.stringify(decode(type, Buffer.alloc(type.size)))};`,
        ),
      ];
      assert.ok(samples.length > 0);
      assert.deepEqual(problemsOf(`${declarations(info, fixture)}\n${samples.join("\n")}`), []);
    });
  }

  it("refuses what encode refuses", () => {
    const text = declarations(read("objects.bpf.c"), "objects.bpf.o");
    const flow = `{ saddr: "192.0.2.1", daddr: "192.0.2.2", sport: 1, dport: 2, protocol: 6 }`;
    const counters = "{ packets: 1, bytes: '18446744073709551615' }";
    const good = [
      `const a: Maps["flows"] = { key: ${flow}, value: ${counters} };`,
      `const b: Maps["blocked"] = { key: "203.0.113.0/24", value: 1 };`,
      `const c: Maps["sized"] = { key: 1, value: { perCpu: ["0x00", "0x01"] } };`,
      `const d: Entrypoints["first"] = "xdp";`,
      `const e: Globals = { sample_rate: 100, "second.calls": 1 };`,
    ];
    assert.deepEqual(problemsOf([text, ...good].join("\n")), []);
    const bad = [
      `const a: Maps["flows"] = { key: { saddr: 1 }, value: ${counters} };`,
      `const b: Maps["blocked"] = { key: "203.0.113.0/24", value: "one" };`,
      `const c: Maps["events"] = { key: 1, value: 2 };`,
      `const d: Entrypoints["no_such_function"] = "xdp";`,
      `const e: Globals = { sample_rte: 100 };`,
    ];
    for (const line of bad) assert.equal(problemsOf(`${text}\n${line}`).length, 1, line);
  });

  it("says of each map what it is, and of each entrypoint its section", () => {
    const text = declarations(read("objects.bpf.c"), "objects.bpf.o");
    assert.match(text, /^\/\/ Types of objects\.bpf\.o, license "Dual BSD\/GPL"\n/);
    assert.match(
      text,
      /\/\*\* lru_hash of 4096: struct flow \(16 bytes\) → struct counters \(16 bytes\) \*\//,
    );
    assert.match(text, /\/\*\* array_of_maps of 4: u32 \(4 bytes\) → a map: hash of 16: /);
    assert.match(text, /\/\*\* SEC\("lsm\.s\/file_open"\), lsm_mac, sleepable \*\/\n {2}opening: "lsm";/);
  });

  it("is whole for an object without maps, globals and BTF", () => {
    const path = workshop.objectOf(`__attribute__((section("xdp"))) int only(void *ctx) { return 2; }`);
    const text = declarations(readObject(readFileSync(path)), "only.o");
    assert.deepEqual(problemsOf(text), []);
    assert.match(text, /export interface Maps \{\}/);
  });
});

/** What the compiler says of one strict file. */
function problemsOf(text: string): string[] {
  const name = "types.ts";
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile } = host;
  host.getSourceFile = (file, ...rest) =>
    file === name
      ? ts.createSourceFile(file, text, rest[0])
      : cached(file, () => getSourceFile(file, ...rest));
  const program = ts.createProgram([name], options, host);
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
}

const libraries = new Map<string, ts.SourceFile | undefined>();

/** The compiler's own declarations are the same for every text. */
function cached(file: string, read: () => ts.SourceFile | undefined): ts.SourceFile | undefined {
  if (!libraries.has(file)) libraries.set(file, read());
  return libraries.get(file);
}
