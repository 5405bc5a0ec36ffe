/** A stack that lost its state, and gets it back from the host by the ids alone. */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { Lab } from "../../support/lab";
import { PulumiProject } from "../../support/pulumi";
import { bpffsOf, programOnEth0 } from "../filter";

const fixture = resolve(__dirname, "../../fixtures/e2e/filter.bpf.c");
const secretNumber = 424_242_424;

const program = `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const filter = new ebpf.Program("filter", {
  source: new pulumi.Config().require("source"),
  globals: { version: pulumi.secret(${secretNumber}) },
});
new ebpf.Attachment("eth0", { program: filter, xdp: { interface: "eth0" } });
const shared = new ebpf.Map("shared", { type: "hash", key: "u32", value: "u64", maxEntries: 8 });
new ebpf.MapEntries("rows", { map: shared, entries: [{ key: 1, value: pulumi.secret(${secretNumber}) }] });
`;

describe("Given a stack in plugin mode that lost its state", function () {
  this.timeout(180_000);
  let lab: Lab;
  let project: PulumiProject;
  let resources: { type: string; name: string; id: string }[];
  let attached: number | undefined;

  before(async () => {
    lab = await Lab.create();
    const connection = JSON.stringify(lab.host().connection);
    const config = { source: fixture, "ebpf:connection": connection };
    project = await PulumiProject.create({ program, config, mode: "plugin" });
    await project.up();
    attached = await programOnEth0(lab.host());
    const state = await project.exportState();
    resources = state.deployment
      .resources!.filter(({ type }) => type.startsWith("ebpf:"))
      .map(({ type, urn, id }) => ({ type, name: urn.split("::").at(-1)!, id: id! }));
    state.deployment.resources = state.deployment.resources!.filter(({ type }) => !type.startsWith("ebpf:"));
    await project.importState(state);
  });

  after(async () => {
    project?.dispose();
    await lab?.destroy();
  });

  async function importAll(wanted: typeof resources): Promise<{ code: number; text: string }> {
    project.write("resources.json", JSON.stringify({ resources: wanted }));
    const options = ["--file", "resources.json", "--generate-code=false", "--protect=false", "--yes"];
    const { code, stdout, stderr } = await project
      .pulumi("import", ...options, "--non-interactive", "--skip-preview")
      .catch((error: Error) => ({ code: 1, stdout: error.message, stderr: "" }));
    return { code, text: stdout + stderr };
  }

  it("when ids are wrong, then each is refused with its reason", async () => {
    const { id } = resources.find(({ type }) => type.endsWith("Attachment"))!;
    const wrong = (name: string, other: string) => ({ type: "ebpf:index:Attachment", name, id: other });
    const { code, text } = await importAll([
      wrong("malformed", "edge"),
      wrong("foreign", id.replace("/dev/", "/prod/")),
      wrong("absent", id.replace("eth0", "eth1")),
      wrong("other", id.replace("Attachment", "Program")),
    ]);
    assert.notEqual(code, 0);
    assert.match(text, /read the id "edge" of a Attachment: it is not of the form \[user@\]host/);
    assert.match(text, /it belongs to the stack test\/prod/);
    assert.match(text, /eth1' does not exist/);
    assert.match(text, /it is that of a Program/);
  });

  it("when each kind is imported, then a preview is clean, no secret stands in the state, and all is managed again", async () => {
    assert.deepEqual(resources.map(({ type }) => type.split(":").at(-1)).sort(), [
      "Attachment",
      "Map",
      "MapEntries",
      "Program",
    ]);
    const { code, text } = await importAll(resources);
    assert.equal(code, 0, text);
    assert.doesNotMatch(text, /failed to validate/);
    const exported = JSON.stringify(await project.exportState());
    assert.doesNotMatch(exported, /PRIVATE KEY/);
    assert.doesNotMatch(exported, new RegExp(String(secretNumber)));

    const { stdout, code: changed } = await project.preview({
      args: ["--refresh", "--expect-no-changes"],
      check: false,
    });
    assert.equal(changed, 0, stdout);
    assert.equal(await programOnEth0(lab.host()), attached);
    await project.up(); // an import knows no dependencies, which destroy goes by
    assert.equal(await programOnEth0(lab.host()), attached);
    await project.destroy();
    assert.deepEqual(await bpffsOf(lab.host()), []);
  });
});
