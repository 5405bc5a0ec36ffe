/** What only the plugin can do while a stack lives: outputs in previews, a provider of its own, differences by property. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { Lab } from "../../support/lab";
import { type Outcome, PulumiProject } from "../../support/pulumi";
import { bpffsOf, programOnEth0 } from "../filter";

const fixture = resolve(__dirname, "../../fixtures/e2e/filter.bpf.c");
/** Stands in the state wherever a secret leaks. */
const secretNumber = 424_242_424;

interface Program {
  version?: number;
  /** Text of the provider's own connection, beside what the configuration has. */
  connection?: string;
  options?: string;
  more?: string;
}

function program({ version = 1, connection = "{}", options = "{}", more = "" }: Program = {}): string {
  return `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const connection = { ...config.requireObject<ebpf.ConnectionArgs>("connection"), ...${connection} };
const edge = new ebpf.Provider("edge", { connection });
const provider = { provider: edge };
const filter = new ebpf.Program(
  "filter",
  { source: config.require("source"), globals: { version: ${version} } },
  { ...provider, ...${options} },
);
new ebpf.Attachment("eth0", { program: filter, xdp: { interface: "eth0" } }, provider);
const hidden = new ebpf.Map("hidden", { type: "hash", key: "u32", value: "u64", maxEntries: 8 }, provider);
new ebpf.MapEntries(
  "hidden",
  { map: hidden, entries: [{ key: 1, value: pulumi.secret(${secretNumber}) }] },
  provider,
);
export const blob = filter.object.blob;
export const instructions = filter.entrypoints.xdp_filter.verifiedInstructions;
export const bytes = filter.entrypoints.xdp_filter.jitedBytes;
export const swappedLinks = filter.swappedLinks;
export const programId = filter.entrypoints.xdp_filter.programId;
${more}
`;
}

describe("Given a stack in plugin mode with a provider of its own", function () {
  this.timeout(180_000);
  let lab: Lab;
  let project: PulumiProject;

  before(async () => {
    lab = await Lab.create();
    const connection = { ...lab.host().connection, dialErrorLimit: 1 };
    const config = { connection, source: fixture };
    project = await PulumiProject.create({ program: program(), config, mode: "plugin" });
  });

  after(async () => {
    project?.dispose();
    await lab?.destroy();
  });

  /** Lines of resources are on stderr. */
  async function preview(text: string, args: string[] = []): Promise<Outcome> {
    project.write("index.ts", text);
    const outcome = await project.preview({ args, check: false });
    return { ...outcome, stdout: outcome.stdout + outcome.stderr };
  }

  it("when nothing is there yet, then a preview knows what the verifier and the object say, and changes nothing", async () => {
    const unknowns = `
new ebpf.MapEntries("unknown-row", {
  map: hidden,
  entries: [{ key: 2, value: filter.loadedMaps.apply((maps) => maps.ports.mapId) }, { key: 3, value: 3 }],
}, provider);
new ebpf.Map("unknown-size", { type: "hash", key: "u32", value: "u32", maxEntries: programId }, provider);
new ebpf.Program("unknown-global", {
  source: config.require("source"),
  globals: { version: programId },
}, provider);
new ebpf.Program("unknown-host", {
  connection: { ...connection, proxy: { host: pulumi.interpolate\`h\${programId}\` } },
  source: config.require("source"),
});
`;
    const { code, stdout, changes } = await preview(program({ more: unknowns }));
    assert.equal(code, 0, stdout);
    assert.equal(changes["create"], 10);
    const { blob, instructions, bytes, programId } = /--outputs:--[^]*?(?=Resources:)/
      .exec(stdout)![0]
      .split("\n")
      .map((line) => /^ {4}(\w+) *: (.*)$/.exec(line))
      .filter((match) => match !== null)
      .reduce<Record<string, string>>((all, [, name, value]) => ({ ...all, [name!]: value! }), {});
    assert.match(stdout, /filter: on .*: load "xdp_filter" of filter\.bpf\.c/);
    assert.deepEqual(await bpffsOf(lab.host()), []);

    project.write("index.ts", program());
    await project.up();
    const outputs = await project.outputs();
    assert.equal(blob, JSON.stringify(outputs["blob"]));
    assert.equal(Number(instructions), outputs["instructions"]);
    assert.equal(Number(bytes), outputs["bytes"]);
    assert.equal(programId, "[unknown]");
    assert.equal(outputs["programId"], await programOnEth0(lab.host()));
    const { code: again, stdout: same } = await preview(program(), ["--expect-no-changes"]);
    assert.equal(again, 0, same);
  });

  it("when its state is exported, then no secret stands in it, and resources hold no credentials at all", async () => {
    const state = await project.exportState();
    const text = JSON.stringify(state);
    assert.doesNotMatch(text, /PRIVATE KEY/);
    assert.doesNotMatch(text, new RegExp(String(secretNumber)));
    const open = JSON.stringify(
      (await project.exportState({ secrets: true })).deployment.resources?.filter(({ type }) =>
        type.startsWith("ebpf:"),
      ),
    );
    assert.match(open, new RegExp(String(secretNumber)), "the host's rows are there, encrypted");
    assert.doesNotMatch(open, /PRIVATE KEY/);
  });

  it("when a property changes, then the difference names it with before and after, and what the host will do", async () => {
    const { stdout } = await preview(program({ version: 2 }));
    assert.match(stdout, /~ ebpf:index:Program: \(update\)[^]*~ globals: \{\n\s+~ version: 1 => 2\n/);
    assert.match(stdout, /filter: on .*: swap the program of xdp on eth0/);
    const { stdout: short } = await project.pulumi("preview", "--non-interactive", "--stack", project.stack);
    assert.match(short, /ebpf:index:Program filter update.*\[diff: ~globals\]/);
    assert.match(
      short,
      /Diagnostics:[^]*ebpf:index:Program \(filter\):\n(\s+filter: .*\n)*\s+filter: on .*: swap/,
    );
  });

  it("when it is updated, then the links that its preview told are swapped, and a refresh finds nothing new", async () => {
    const links = ["xdp on eth0 of test/dev/Attachment/eth0"];
    const { stdout } = await preview(program({ version: 2 }));
    assert.match(stdout, new RegExp(`swappedLinks *: \\[[^\\]]*\\[0\\]: "${links[0]}"`));
    const before = await programOnEth0(lab.host());
    await project.up();
    assert.notEqual(await programOnEth0(lab.host()), before);
    assert.deepEqual((await project.outputs())["swappedLinks"], links);
    await project.refresh();
    const again = await preview(program({ version: 2 }), ["--refresh", "--expect-no-changes"]);
    assert.equal(again.code, 0, again.stdout);
    assert.deepEqual((await project.outputs())["swappedLinks"], links);
    project.write("index.ts", program());
    await project.up();
  });

  it("when changes of the property are ignored, then there are none", async () => {
    const options = '{ ignoreChanges: ["globals.version"] }';
    const { code, stdout } = await preview(program({ version: 2, options }), ["--expect-no-changes"]);
    assert.equal(code, 0, stdout);
  });

  it("when only the provider's way to the host changes, then no kernel object does; another host is a replacement", async () => {
    const before = await programOnEth0(lab.host());
    project.write("index.ts", program({ connection: "{ perDialTimeout: 7 }" }));
    const { changes } = await project.up();
    assert.deepEqual(changes, { update: 5, same: 1 });
    assert.equal(await programOnEth0(lab.host()), before);
    const { stdout } = await preview(program({ connection: '{ host: "127.0.0.1", port: 1 }' }));
    assert.match(stdout, /~ pulumi:providers:ebpf: \(update\)/);
    assert.match(stdout, /\+-ebpf:index:Program: \(replace\)[^]*~ host *: "[\d.]+" => "127\.0\.0\.1"/);
    assert.match(stdout, /warning: root@127\.0\.0\.1:1 is unreachable: not planned there/);
  });

  it("when the configuration is wrong, then all that is wrong is told at once", async () => {
    project.write("index.ts", program());
    const connection = { ...lab.host().connection, dialErrorLimit: 1 };
    const config = { connection, source: fixture };
    project.configure({
      ...config,
      "ebpf:connection": JSON.stringify({ hst: "edge-1" }),
      "ebpf:preview": "offline",
      "ebpf:autoRefresh": "true",
      "ebpf:colour": "red",
    });
    const more = 'new ebpf.Map("by-default", { type: "hash", key: "u32", value: "u32", maxEntries: 1 });';
    const { code, stdout } = await preview(program({ more }));
    assert.notEqual(code, 0);
    const problems = stdout.match(/has a problem: ebpf:[\w.]+/g);
    assert.deepEqual([...new Set(problems)].sort(), [
      "has a problem: ebpf:autoRefresh",
      "has a problem: ebpf:colour",
      "has a problem: ebpf:connection.host",
      "has a problem: ebpf:connection.hst",
    ]);
    project.configure(config);
    await project.destroy();
    assert.deepEqual(await bpffsOf(lab.host()), []);
  });
});
