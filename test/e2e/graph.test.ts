/** `pulumi-ebpf graph` by the installed command, of a stack that the real CLI exports. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { run } from "../support/command";
import { type Checkpoint, PulumiProject } from "../support/pulumi";

const root = resolve(__dirname, "../..");
const recorded = readFileSync(`${root}/test/fixtures/graph/firewall.state.json`, "utf8");

describe("pulumi-ebpf graph", function () {
  this.timeout(60_000);
  let project: PulumiProject;

  before(async () => {
    project = await PulumiProject.create({ program: "", name: "firewall", stack: "prod" });
    await project.importState(JSON.parse(recorded) as Checkpoint);
  });

  after(() => project?.dispose());

  async function graph(words: string[], input = "") {
    const command = ["node", "node_modules/pulumi-ebpf/dist/provider/cli/main.js", "graph", ...words];
    const { directory: cwd, environment: env } = project;
    return run(command, { cwd, env, input, check: false });
  }

  it("draws the stack that is named, and the one that is selected, as it draws a file or standard input", async () => {
    const picture = readFileSync(`${root}/docs/firewall-graph.svg`, "utf8");
    project.write("state.json", recorded);
    const ways: [string[], string][] = [
      [["prod"], ""],
      [[], ""],
      [["--file", "state.json"], ""],
      [["--file", "-"], recorded],
    ];
    for (const [words, input] of ways) {
      const { code, stdout, stderr } = await graph(words, input);
      assert.deepEqual([code, stderr], [0, ""], words.join(" "));
      assert.equal(stdout, picture);
    }
  });

  it("says what is wrong in one line, without a stack trace", async () => {
    project.write("broken.json", "{");
    const wrong: [string[], RegExp][] = [
      [["none"], /none.*no stack named/],
      [["--file", "missing.json"], /missing\.json.*ENOENT/],
      [["--file", "broken.json"], /broken\.json.*not JSON/],
      [["--file", "package.json"], /pulumi stack export/],
    ];
    for (const [words, text] of wrong) {
      const { code, stdout, stderr } = await graph(words);
      assert.deepEqual([code, stdout], [1, ""], words.join(" "));
      assert.match(stderr, text);
      assert.doesNotMatch(stderr, /^\s+at /m);
    }
  });
});
