/** The policies of pulumi-ebpf/policy by the real engine, in both modes. No host: `ebpf:preview: offline` dials none. */
import assert from "node:assert/strict";
import { chmodSync, cpSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Mode, modesUnderTest } from "../support/modes";
import { PulumiProject } from "../support/pulumi";

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJAGtdDXGpjWTkNVHgmuTH8g1ehSyDCWYfHu6m/YHyLF";

/** Config `hostKey`, `maxEntries`, `onUnreachable`. */
const program = `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const connection = { host: "edge-1.invalid", hostKey: config.get("hostKey") };
const flows = new ebpf.Map("flows", {
  connection, type: "hash", key: "u32", value: "u64", maxEntries: config.getNumber("maxEntries") ?? 1024,
  onUnreachable: config.get("onUnreachable") as "forget" | undefined,
});
const filter = new ebpf.Program("filter", { connection, source: "./filter.bpf.c" });
new ebpf.Attachment("filter-eth0", { program: filter, xdp: { interface: "eth0" } });
export const names = [flows.specId];
`;

/** An author's own pack of these policies. */
const ownPack = `#!/usr/bin/env node
const { PolicyPack } = require("@pulumi/policy");
const { hooks, hostMemory, programTypes } = require("pulumi-ebpf/policy");
process.chdir(__dirname);
new PolicyPack("own", {
  policies: [
    hooks({ allowed: ["tcx", "cgroup"] }),
    programTypes({ allowed: ["sched_cls"] }),
    { ...hostMemory({ perHost: 1024 }), enforcementLevel: "advisory" },
  ],
});
`;

describe("Policy pack", function () {
  this.timeout(120_000);
  let project: PulumiProject;
  const readyPack = "node_modules/pulumi-ebpf/dist/provider/policy/pack.js";

  before(async () => {
    project = await PulumiProject.create({ program });
    const { directory } = project;
    cpSync(resolve(__dirname, "../fixtures/e2e/filter.bpf.c"), join(directory, "filter.bpf.c"));
    // an optional peer: who writes packs has it
    const policy = "node_modules/@pulumi/policy";
    cpSync(resolve(__dirname, "../..", policy), join(directory, policy), { recursive: true });
    project.write("pack/package.json", JSON.stringify({ name: "own", version: "1.0.0" }));
    project.write("pack/run.js", ownPack);
    chmodSync(join(directory, "pack/run.js"), 0o755);
  });

  after(() => project?.dispose());

  function configure(mode: Mode, config: Record<string, unknown>): void {
    project.setMode(mode);
    project.configure({ "ebpf:preview": "offline", ...config });
  }

  for (const mode of modesUnderTest()) {
    it(`${mode} mode: the ready pack stops a preview and an up, naming policy and property`, async () => {
      configure(mode, { maxEntries: 1 << 25, onUnreachable: "forget" });
      const args = ["--policy-pack", readyPack];
      const { code, stdout } = await project.preview({ check: false, args });
      assert.notEqual(code, 0, stdout);
      assert.match(stdout, /\[mandatory\] +ebpf-host-keys +\(.*flows\)/);
      assert.match(stdout, /connection\.hostKey: is missing/);
      assert.match(stdout, /\[mandatory\] +ebpf-map-memory +\(.*flows\)/);
      assert.match(stdout, /maxEntries: map "flows" takes 512 MiB/);
      assert.match(stdout, /\[mandatory\] +ebpf-forget-reason +\(.*flows\)/);
      assert.match(stdout, /onUnreachableReason: is missing/);
      // this one ends with the first violation, of whichever resource comes first
      const up = await project.up({ check: false, args });
      assert.notEqual(up.code, 0, up.stdout);
      assert.match(
        up.stdout,
        /\[mandatory\] +ebpf-(host-keys|map-memory|forget-reason) +\(.*(flows|filter)\)/,
      );
      const { resources = [] } = (await project.exportState()).deployment;
      assert.deepEqual(
        resources.filter(({ type }) => !type.startsWith("pulumi:")),
        [],
      );
    });

    it(`${mode} mode: a pack's configuration changes options, and what keeps to them passes`, async () => {
      configure(mode, { hostKey: key, maxEntries: 1 << 25 });
      project.write("options.json", JSON.stringify({ "ebpf-map-memory": { perMap: 2 ** 30 } }));
      const args = ["--policy-pack", readyPack, "--policy-pack-config", "options.json"];
      const { stdout } = await project.preview({ args });
      assert.doesNotMatch(stdout, /mandatory/);
    });

    it(`${mode} mode: a pack of one's own takes these policies with options and levels of its own`, async () => {
      configure(mode, { hostKey: key });
      const { code, stdout } = await project.preview({
        check: false,
        args: ["--policy-pack", "pack/run.js"],
      });
      assert.notEqual(code, 0, stdout);
      assert.match(stdout, /ebpf-hooks/);
      assert.match(stdout, /xdp: the hook xdp is not allowed; allowed are tcx, cgroup/);
      assert.match(stdout, /ebpf-program-types/);
      assert.match(stdout, /source: "xdp_filter" is a program of type xdp; allowed are sched_cls/);
    });
  }
});
