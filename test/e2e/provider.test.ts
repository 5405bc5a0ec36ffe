/** One connection for many resources: of an explicit provider, or of the configuration. Lookup, and `deletedWith`. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { Lab } from "../support/lab";
import { type Mode, modesUnderTest } from "../support/modes";
import { PulumiProject, type ProjectOptions } from "../support/pulumi";
import { bpffsOf, programOnEth0 } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");

interface ProgramOptions {
  /** Text before the resources. */
  before?: string;
  /** Text of more arguments of the Program. */
  args?: string;
  /** Text of the options that every resource gets. */
  options?: string;
  /** Text after the resources. */
  after?: string;
}

function program({ before = "", args = "", options = "{}", after = "" }: ProgramOptions): string {
  return `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
${before}
const options = ${options};
const filter = new ebpf.Program("filter", { source: config.require("source"), ${args} }, options);
const entries = [{ key: 9001, value: { action: "DROP", note: 0 } }];
new ebpf.MapEntries("ports", { map: filter.map("ports"), entries }, options);
new ebpf.Attachment("eth0", { program: filter, xdp: { interface: "eth0" } }, options);
export const entrypoints = filter.entrypoints;
export const id = filter.id;
${after}
`;
}

describe("Given resources without a connection of their own", function () {
  this.timeout(180_000);
  let lab: Lab;
  let project: PulumiProject | undefined;

  before(async () => {
    lab = await Lab.create();
  });

  after(() => lab?.destroy());

  afterEach(() => {
    project?.dispose();
    project = undefined;
  });

  async function start(text: string, config: Record<string, unknown>, mode: Mode): Promise<PulumiProject> {
    const options: ProjectOptions = { program: text, config: { source: fixture, ...config }, mode };
    project = await PulumiProject.create(options);
    return project;
  }

  /** Up, no changes after it, no key in clear, destroy, nothing left. */
  async function proved(
    stack: PulumiProject,
    verify: () => Promise<void> = async () => undefined,
  ): Promise<void> {
    await stack.up();
    const { entrypoints } = await stack.outputs<{ entrypoints: { xdp_filter: { programId: number } } }>();
    assert.equal(await programOnEth0(lab.host()), entrypoints.xdp_filter.programId);
    await verify();
    const preview = await stack.preview({ args: ["--refresh", "--expect-no-changes"], check: false });
    assert.equal(preview.code, 0, preview.stdout);
    const { resources = [] } = (await stack.exportState()).deployment;
    const ours = resources.filter(({ type }) => type.includes("ebpf:") || type.endsWith(":ebpf"));
    assert.ok(!JSON.stringify(ours).includes("PRIVATE KEY"), "the key is nowhere in clear");
    await stack.destroy();
    assert.deepEqual(await bpffsOf(lab.host()), []);
  }

  for (const mode of modesUnderTest()) {
    it(`when the configuration has one, then it is theirs, ${mode} mode`, async () => {
      const stack = await start(program({}), { "ebpf:connection": lab.host().connection }, mode);
      await proved(stack);
    });

    if (process.env["EBPF_TEST_ALL"]) {
      it(`when one is given that is a secret as a whole, then all follow it, ${mode} mode`, async () => {
        const before =
          'const connection = pulumi.secret(config.requireObject<ebpf.ConnectionArgs>("connection"));';
        const text = program({ before, args: "connection" });
        await proved(await start(text, { connection: lab.host().connection }, mode));
      });
    }

    it(`when none is given anywhere, then the error says where to give it, ${mode} mode`, async () => {
      const stack = await start(program({}), {}, mode);
      const { code, stdout, stderr } = await stack.preview({ check: false });
      assert.notEqual(code, 0);
      assert.match(stdout + stderr, /connection: /);
      assert.doesNotMatch(stdout + stderr, /^\s+at .+[:(]\d+/m, "no stack trace");
    });
  }

  it("when an explicit provider has one, then it is theirs, for functions and lookups too", async () => {
    const settings = {
      before: 'const edge = new ebpf.Provider("edge", { connection: config.requireObject("connection") });',
      options: "{ provider: edge }",
    };
    const after = `export const { kernel } = {
  kernel: ebpf.getHostFeaturesOutput({}, options).kernel,
};`;
    const stack = await start(
      program({ ...settings, after }),
      { connection: lab.host().connection },
      "plugin",
    );
    await proved(stack, async () => {
      const { id, kernel, entrypoints } = await stack.outputs<Record<string, unknown>>();
      const { stdout } = await lab.host().exec(["uname", "-r"]);
      assert.equal(kernel, stdout.trim());
      const look = `export const seen = ebpf.Program.get("seen", ${JSON.stringify(id)}, {}, options).entrypoints;`;
      stack.write("index.ts", program({ ...settings, after: look }));
      await stack.up();
      assert.deepEqual((await stack.outputs<Record<string, unknown>>())["seen"], entrypoints);
      const none = JSON.stringify(String(id).replace("/filter", "/none"));
      stack.write(
        "index.ts",
        program({ ...settings, after: `ebpf.Program.get("none", ${none}, {}, options);` }),
      );
      const { code, stdout: text, stderr } = await stack.preview({ check: false });
      assert.notEqual(code, 0);
      assert.match(text + stderr, /none/);
      stack.write("index.ts", program(settings));
      await stack.up();
    });
  });

  for (const mode of modesUnderTest()) {
    it(`when their machine goes with its own resource, then deletedWith spares the host a delete, ${mode} mode`, async () => {
      const machine = `class Machine extends pulumi.dynamic.Resource {
  constructor(name: string) {
    super({ create: async () => ({ id: "machine" }) }, name, {});
  }
}
const machine = new Machine("machine");`;
      const text = program({ before: machine, options: "{ deletedWith: machine }" });
      const connection = { ...lab.host().connection, dialErrorLimit: 1 };
      const stack = await start(text, { "ebpf:connection": connection }, mode);
      await stack.up();
      const pins = await bpffsOf(lab.host());
      await lab.host().stop();
      try {
        await stack.destroy();
      } finally {
        await lab.host().start();
      }
      assert.deepEqual(await bpffsOf(lab.host()), pins);
      // the next stack of that name takes over what the machine still has
      await stack.up();
      stack.write("index.ts", program({}));
      await stack.up();
      await stack.destroy();
      assert.deepEqual(await bpffsOf(lab.host()), []);
    });
  }
});
