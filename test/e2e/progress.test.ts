/** What people see while an agent is delivered and rows are sent over a slow line, in both modes. */
import assert from "node:assert/strict";
import { CuttingProxy } from "../support/cutting-proxy";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import { PulumiProject } from "../support/pulumi";

const program = `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const connection = new pulumi.Config().requireObject<ebpf.ConnectionArgs>("connection");
const shape = { type: "hash", key: "u32", value: "u32" } as const;
const map = new ebpf.Map("flows", { connection, ...shape, maxEntries: 1 << 20 });
new ebpf.MapEntries("feed", { map, file: "./feed.bin" });
`;

// two uploads of some seconds for each mode
if (process.env["EBPF_TEST_ALL"]) {
  describe("Over a slow line", function () {
    this.timeout(180_000);
    let lab: Lab;
    let proxy: CuttingProxy;

    before(async () => {
      lab = await Lab.create();
      proxy = await CuttingProxy.to(lab.host().connection.host, 22);
    });

    after(async () => {
      await proxy?.close();
      await lab?.destroy();
    });

    for (const mode of modesUnderTest()) {
      it(`${mode} mode: an up tells how much of the agent and of the rows is on the host`, async () => {
        await lab.host().exec(["rm", "-rf", "/var/lib/pulumi-ebpf/agent"]);
        const connection = { ...lab.host().connection, host: "127.0.0.1", port: proxy.port };
        const project = await PulumiProject.create({ program, mode, config: { connection } });
        try {
          project.write("feed.bin", rows(1 << 17));
          proxy.bytesPerSecond = 256 << 10;
          const { stdout } = await project.up();
          const host = `root@127\\.0\\.0\\.1:${proxy.port}`;
          const sent = [...stdout.matchAll(new RegExp(`sending the agent to ${host}: (.*) of (.*) MB`, "g"))];
          assert.ok(sent.length > 0, stdout);
          for (const [, done, total] of sent) assert.ok(Number(done) <= Number(total) && Number(total) > 1);
          assert.match(stdout, new RegExp(`feed: [\\d.]+ of 1\\.1 MB sent to ${host}`));
        } finally {
          proxy.bytesPerSecond = Infinity;
          await project.destroy();
          project.dispose();
        }
      });
    }
  });
}

/** Of a key and a value of 4 bytes each, none like another. */
function rows(count: number): Buffer {
  const bytes = Buffer.alloc(8 * count);
  for (let row = 0; row < count; row++) {
    bytes.writeUInt32LE(row, 8 * row);
    bytes.writeUInt32LE(Math.imul(row, 2654435761) >>> 0, 8 * row + 4);
  }
  return bytes;
}
