/** The firewall in each language, deployed by the real engine and the plugin of the packed package. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { Lab } from "../../support/lab";
import type { NetnsHost } from "../../support/netns-host";
import { PulumiProject } from "../../support/pulumi";
import { pythonEnvironment } from "../../support/python";
import { Flood } from "../../support/traffic";
import { bpffsOf, programOnEth0 } from "../filter";

type Language = "yaml" | "python" | "go";

const root = resolve(__dirname, "../../..");
const languages: Language[] = process.env["EBPF_TEST_ALL"] ? ["yaml", "python", "go"] : ["yaml"];

/** The rule as each program's configuration has it. */
const rule = {
  yaml: (network: string) => ({ key: network, value: { action: "DROP" } }),
  python: (network: string) => ({ network, action: "DROP" }),
  go: (network: string) => ({ network, action: "DROP" }),
};

for (const language of languages) {
  describe(`Given examples/firewall-${language} on a host`, function () {
    // the first Go program on a machine compiles Pulumi's SDK
    this.timeout(language === "go" ? 900_000 : 240_000);
    let lab: Lab;
    let host: NetnsHost;
    let project: PulumiProject;

    before(async () => {
      lab = await Lab.create();
      host = lab.host();
      project = await PulumiProject.create({
        program: { directory: resolve(root, `examples/firewall-${language}`) },
        name: `firewall-${language}`,
        language,
        ...(language === "go" ? { env: goEnvironment() } : {}),
        ...(language === "python" ? { path: await pythonEnvironment() } : {}),
      });
      if (language === "go") {
        const [to, sdk] = ["github.com/pulumi-ebpf/pulumi-ebpf/sdk/go", resolve(root, "sdk/go")];
        execFileSync("go", ["mod", "edit", `-replace=${to}=${sdk}`], { cwd: project.directory });
      }
    });

    after(async () => {
      project?.dispose();
      await lab?.destroy();
    });

    afterEach(async function () {
      if (this.currentTest?.state === "failed") await project.destroy({ check: false });
    });

    it("up drops and counts what the rules deny; the object's types have made bytes of them", async () => {
      configure(lab.client.address);
      await project.up({ timeoutSeconds: 840 });
      const { sent, received } = await send();
      assert.equal(received, 0);
      assert.equal(await counted(), sent);
      const [pin] = (await bpffsOf(host)).filter((path) => path.includes("/links/"));
      const link = await host.bpftool<{ prog_id: number }>("link", "show", "pinned", pin!);
      assert.equal(link.prog_id, await programOnEth0(host));
      assert.deepEqual(await rulesOnHost(), [`${lab.client.address}/32`]);
    });

    it("its outputs are typed, and a preview has nothing to do", async () => {
      const { verifiedInstructions, mode } = await project.outputs<Record<string, unknown>>();
      assert.ok(Number(verifiedInstructions) > 0, String(verifiedInstructions));
      assert.equal(mode, "native");
      await project.preview({ args: ["--expect-no-changes"], timeoutSeconds: 600 });
    });

    it("a changed rule updates that resource alone, and packets pass", async () => {
      configure("203.0.113.0");
      const before = await programOnEth0(host);
      const { changes, steps } = await project.up();
      const updated = steps.filter(({ op, urn }) => op === "update" && !urn.includes("::pulumi:providers:"));
      assert.deepEqual(
        updated.map(({ urn }) => urn.split("::").slice(2).join("::")),
        ["ebpf:index:MapEntries::rules"],
      );
      assert.equal(changes["replace"], undefined);
      assert.equal(await programOnEth0(host), before);
      assert.deepEqual(await rulesOnHost(), ["203.0.113.0/32"]);
      assert.equal((await send()).lost, 0);
    });

    it("destroy leaves nothing", async () => {
      await project.destroy();
      assert.equal(await programOnEth0(host), undefined);
      assert.deepEqual(await bpffsOf(host), []);
    });

    function configure(address: string): void {
      project.configure({
        "ebpf:connection": host.connection,
        source: resolve(root, "examples/firewall/bpf/filter.bpf.c"),
        rules: [rule[language](`${address}/32`)],
      });
    }

    async function send() {
      const flood = await Flood.start(lab.client, host, { port: 9001, packetsPerSecond: 5_000 });
      await flood.sending(1000);
      return flood.stop();
    }

    /** Dropped packets by the program's own map. */
    async function counted(): Promise<number> {
      const rows = await dump<{ key: number; values: { value: { packets: number } }[] }>("verdicts");
      const drop = rows.find(({ key }) => key === 1)?.values ?? [];
      return drop.reduce((sum, { value }) => sum + value.packets, 0);
    }

    /** Networks in the rules' map, from its bytes. */
    async function rulesOnHost(): Promise<string[]> {
      const rows = await dump<{ key: { prefixlen: number; addr: number } }>("blocked");
      return rows.map(({ key: { prefixlen, addr } }) => {
        const bytes = [0, 8, 16, 24].map((shift) => (addr >>> shift) & 0xff);
        return `${bytes.join(".")}/${prefixlen}`;
      });
    }

    async function dump<Row>(map: string): Promise<Row[]> {
      const [pin] = (await bpffsOf(host)).filter((path) => path.endsWith(`/maps/${map}`));
      assert.ok(pin !== undefined);
      const rows = await host.bpftool<{ formatted: Row }[]>("map", "dump", "pinned", pin);
      return rows.map(({ formatted }) => formatted);
    }
  });
}

/** The tests have a home of their own; Go keeps its caches in the user's. */
function goEnvironment(): NodeJS.ProcessEnv {
  const keys = ["GOPATH", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB"];
  const values = execFileSync("go", ["env", ...keys], { encoding: "utf8" }).split("\n");
  return { ...Object.fromEntries(keys.map((key, index) => [key, values[index]])), CGO_ENABLED: "0" };
}
