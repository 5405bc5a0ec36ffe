/** Drift of one among many resources of a host, which a refresh looks at ahead of the engine's asking. */
import assert from "node:assert/strict";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import { PulumiProject } from "../support/pulumi";

const MAPS = 20;

/** Config `connection`. */
const program = `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const connection = new pulumi.Config().requireObject<ebpf.ConnectionArgs>("connection");
for (let i = 0; i < ${MAPS}; i++) {
  const map = new ebpf.Map(\`map-\${i}\`, { connection, type: "hash", key: "u32", value: "u32", maxEntries: 8 });
  new ebpf.MapEntries(\`rows-\${i}\`, { map, entries: [{ key: 1, value: 10 }] });
}
`;

for (const mode of modesUnderTest()) {
  describe(`Given ${2 * MAPS} resources on one host, in ${mode} mode`, function () {
    this.timeout(180_000);
    const changed = MAPS - 1;
    const pin = `/sys/fs/bpf/pulumi-ebpf/test/dev/Map/map-${changed}/1/maps/map-${changed}`;
    const key = ["key", "hex", "01", "00", "00", "00"];
    let lab: Lab;
    let project: PulumiProject;

    /** Behind our back: the lowest byte of the row's value, in hex. */
    async function writeRow(byte: string): Promise<void> {
      const value = ["value", "hex", byte, "00", "00", "00"];
      await lab.host().exec(["bpftool", "map", "update", "pinned", pin, ...key, ...value]);
    }

    async function readRow(): Promise<string | undefined> {
      const row = await lab.host().bpftool<{ value: string[] }>("map", "lookup", "pinned", pin, ...key);
      return row.value[0];
    }

    before(async () => {
      lab = await Lab.create();
      project = await PulumiProject.create({ program, config: { connection: lab.host().connection }, mode });
      await project.up();
    });

    after(async () => {
      project?.dispose();
      await lab?.destroy();
    });

    it("when one was changed by somebody else, then a refresh tells it of that one, and up repairs no other", async () => {
      await writeRow("63");
      await project.refresh();
      const { deployment } = await project.exportState();
      const drifted = (deployment.resources ?? [])
        .filter(({ outputs }) => ((outputs?.["drift"] ?? []) as string[]).length > 0)
        .map(({ urn, outputs }) => [urn.split("::").at(-1), outputs?.["drift"]]);
      assert.deepEqual(drifted, [
        [
          `rows-${changed}`,
          [`an entry of map "map-${changed}" has another value: key 1: declared 10, found 99`],
        ],
      ]);

      const { changes } = await project.up({ args: ["--refresh"] });
      assert.equal(changes["update"], 1);
      assert.equal(await readRow(), "0x0a");
    });

    it("when it was repaired and changed again, then the next up with a refresh repairs it again", async () => {
      await writeRow("64");
      const { changes } = await project.up({ args: ["--refresh"] });
      assert.equal(changes["update"], 1);
      assert.equal(await readRow(), "0x0a");
      await project.destroy();
    });
  });
}
