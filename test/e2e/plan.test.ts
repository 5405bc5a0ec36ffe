/** What a preview finds out before anything is changed. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import { PulumiProject } from "../support/pulumi";
import { bpffsOf, filterProgram, programOnEth0 } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");

for (const mode of modesUnderTest()) {
  describe(`Given a preview against a host, ${mode} mode`, function () {
    this.timeout(120_000);
    let lab: Lab;
    let project: PulumiProject;

    before(async () => {
      lab = await Lab.create();
      const config = { connection: { ...lab.host().connection, dialErrorLimit: 1 }, source: fixture };
      project = await PulumiProject.create({ program: filterProgram({ ports: [9001] }), config, mode });
    });

    after(async () => {
      project?.dispose();
      await lab?.destroy();
    });

    async function refused(program: string): Promise<string> {
      project.write("index.ts", program);
      const { code, stdout, stderr } = await project.preview({ check: false });
      assert.notEqual(code, 0, stdout);
      assert.doesNotMatch(stdout + stderr, /^\s+at .+[:(]\d+/m, "no stack trace");
      return stdout + stderr;
    }

    it("when the verifier rejects the program, then it fails with reason, source line and a file with the log", async () => {
      const text = await refused(filterProgram({ ports: [9001], defines: { BROKEN: "1" } }));
      assert.match(text, /verifier rejects xdp_filter on .*\(kernel \d+\.\d+/);
      const [, log] = /full log in (\S+)/.exec(text) ?? [];
      assert.match(readFileSync(log!, "utf8"), /processed \d+ insns/);
      assert.match(text, /R\d+ invalid mem access 'pkt_end'/);
      assert.match(text, /filter\.bpf\.c|end \+ 1/);
    });

    it("when several things are wrong with a resource, then they are reported together", async () => {
      const more = `
new ebpf.MapEntries("wrong", { map: filter.map("verdicts"), entries: [{ key: 0, value: "x" }, { key: -1, value: 1 }] });
`;
      const text = await refused(filterProgram({ ports: [9001], more }));
      assert.match(text, /entries\[0\]\.value/);
      assert.match(text, /entries\[1\]\.key/);
    });

    it("when the interface does not exist, then it fails before anything is applied", async () => {
      const more = 'new ebpf.Attachment("nowhere", { program: filter, xdp: { interface: "eth7" } });';
      const text = await refused(filterProgram({ ports: [9001], more }));
      assert.match(text, /xdp\.interface.*eth7/);
      assert.match(text, new RegExp(lab.host().connection.host));
    });

    it("when the object has no such map or entrypoint, then the error names those it has", async () => {
      const map = await refused(filterProgram({ ports: [9001], more: 'filter.map("port");' }));
      assert.match(map, /no map "port".*ports/);
      const entrypoint = await refused(
        filterProgram({ ports: [9001], more: 'filter.entrypoint("xdp_flter");' }),
      );
      assert.match(entrypoint, /xdp_filter/);
    });

    it("when brought up with a preview before it, then the plan is told in the preview, and not once more", async () => {
      project.write("index.ts", filterProgram({ ports: [9001] }));
      const { stdout } = await project.pulumi("up", "--yes", "--non-interactive", "--stack", project.stack);
      const [preview = "", update = ""] = stdout.split(/^Updating \(/m);
      assert.match(preview, /filter: on .*: load "xdp_filter"/);
      assert.match(update, /filter created/);
      assert.doesNotMatch(update, /: on .*: (load|attach)/);
    });

    it("when map data would be lost, then preview fails under the default policy and tells of migration under another", async () => {
      project.write("index.ts", filterProgram({ ports: [9001] }));
      await project.up();
      const grown = { ports: [9001], defines: { MAX_PORTS: "4096" } };
      const text = await refused(filterProgram(grown));
      assert.match(text, /"ports"/);
      assert.match(text, /mapDataPolicy/);
      project.write("index.ts", filterProgram({ ...grown, mapDataPolicy: "migrate" }));
      const { stdout, stderr } = await project.preview();
      assert.match(stdout + stderr, /map "ports" grows from 128 to 4[.,]?096 entries/);
      await project.up();
      const map = (await bpffsOf(lab.host())).find((path) => path.endsWith("maps/ports"))!;
      const dump = await lab.host().bpftool<unknown[]>("map", "dump", "pinned", map);
      assert.equal(dump.length, 1, "the entry was carried over");
    });

    it("when the interface has a program of somebody else, then the error says whose", async () => {
      await project.destroy();
      const host = lab.host();
      const object = "/usr/lib/x86_64-linux-gnu/bpf/xdpfilt_alw_ip.o";
      await host.exec(["mkdir", "-p", "/sys/fs/bpf/foreign"]);
      await host.exec(["bpftool", "prog", "load", object, "/sys/fs/bpf/foreign/prog"]);
      await host.exec([
        "bpftool",
        "net",
        "attach",
        "xdp",
        "pinned",
        "/sys/fs/bpf/foreign/prog",
        "dev",
        "eth0",
      ]);
      try {
        const text = await refused(filterProgram({ ports: [9001] }));
        assert.match(text, /xdpfilt/);
        assert.match(text, /eth0/);
      } finally {
        await host.exec(["bpftool", "net", "detach", "xdp", "dev", "eth0"]);
        const pins = ["foreign", "filter_ipv4", "filter_ipv6", "xdp_stats_map"];
        await host.exec(["rm", "-r", ...pins.map((pin) => `/sys/fs/bpf/${pin}`)]);
      }
    });

    it("when the host is unreachable, then it is one warning and the preview goes on", async () => {
      project.write("index.ts", filterProgram({ ports: [9001] }));
      await lab.host().stop();
      const { stdout, stderr, changes } = await project.preview().finally(() => lab.host().start());
      const text = stdout + stderr;
      assert.equal(text.match(/is unreachable: not planned there/g)?.length, 1, text);
      assert.equal(changes["create"], 4);
      assert.equal(await programOnEth0(lab.host()), undefined);
    });

    it("when nothing of the operator's side may load native code, then everything works", async () => {
      const env = { NODE_OPTIONS: "--no-addons" };
      await project.preview({ env });
      await project.up({ env });
      assert.notEqual(await programOnEth0(lab.host()), undefined);
      await project.refresh({ env });
      await project.destroy({ env });
      assert.deepEqual(await bpffsOf(lab.host()), []);
    });
  });
}
