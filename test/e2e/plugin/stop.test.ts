/** Operations that end before their time: customTimeouts, and Ctrl-C. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Lab } from "../../support/lab";
import { PulumiProject } from "../../support/pulumi";
import { bpffsOf } from "../filter";

/** The agent is stopped when the change is done: it answers nothing any more, and holds the host's lock. */
const stopped = "apply:store-record:stop:after";

function program(value: number, options = "{}"): string {
  return `
import * as ebpf from "pulumi-ebpf";
const counters = new ebpf.Map("counters", { type: "array", key: "u32", value: "u32", maxEntries: 1 });
new ebpf.MapEntries("start", { map: counters, entries: [{ key: 0, value: ${value} }] }, ${options});
`;
}

const run = process.env["EBPF_TEST_ALL"] ? describe : () => undefined;

run("Given a host that does not come to an end", function () {
  this.timeout(180_000);
  let lab: Lab;
  let project: PulumiProject;

  before(async () => {
    lab = await Lab.create();
    const config = { "ebpf:connection": JSON.stringify(lab.host().connection) };
    project = await PulumiProject.create({ program: program(0), config, mode: "plugin" });
    await project.up();
  });

  afterEach(async () => {
    await lab.host().injectFault();
    await killStopped();
  });

  after(async () => {
    project?.dispose();
    await lab?.destroy();
  });

  async function killStopped(): Promise<void> {
    const holders = `for p in /proc/[0-9]*; do grep -q "^State:.T" $p/status && kill -9 \${p#/proc/}; done; true`;
    await lab.host().exec(["sh", "-c", holders]);
  }

  it("when the time of a resource is up, then the error names it, and the next up finishes the work", async () => {
    project.write("index.ts", program(1, '{ customTimeouts: { update: "1s" } }'));
    await lab.host().injectFault(stopped);
    const { code, stdout } = await project.up({ check: false });
    assert.notEqual(code, 0);
    assert.match(stdout, /update MapEntries "start": not done within 1 s .*customTimeouts\.update/);
    await lab.host().injectFault();
    await killStopped();
    project.write("index.ts", program(1));
    assert.equal((await project.up()).changes["update"], 1);
    const { code: clean, stdout: preview } = await project.preview({
      args: ["--refresh", "--expect-no-changes"],
      check: false,
    });
    assert.equal(clean, 0, preview);
  });

  it("when the user presses Ctrl-C, then the operation ends by itself, and the next up finishes the work", async () => {
    project.write("index.ts", program(2));
    await lab.host().injectFault(stopped);
    const [command = "", ...args] = project.command("up", "--yes", "--skip-preview", "--non-interactive");
    const child = spawn(command, args, { cwd: project.directory, env: project.environment });
    const ended = once(child, "exit");
    let text = "";
    await new Promise<void>((resolve) => {
      const read = (data: Buffer): void => {
        text += data.toString();
        if (text.includes("start updating")) resolve();
      };
      child.stdout.on("data", read);
      child.stderr.on("data", read);
    });
    child.kill("SIGINT");
    const [code] = (await ended) as [number];
    assert.notEqual(code, 0);
    assert.match(text, /MapEntries \(start\):[^]*cancelled/);
    assert.doesNotMatch(text, /exited prematurely|EOF|^\s+at .+[:(]\d+/m);
    await lab.host().injectFault();
    await killStopped();
    assert.equal((await project.up()).changes["update"], 1);
    await project.destroy();
    assert.deepEqual(await bpffsOf(lab.host()), []);
  });
});
