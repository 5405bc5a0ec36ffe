/**
 * Drift of every kind, by the real engine: what its three commands say and by which exit status, and that `up` repairs.
 * `npm test` lets all happen to one stack at once; `npm run test:all` also each alone. The reboot is that of a
 * network-namespace host, which gets a new boot id and an empty bpffs; test/vm has the real one.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type CommandResult, run } from "../support/command";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import type { NetnsHost } from "../support/netns-host";
import { PulumiProject } from "../support/pulumi";
import { bpffsOf } from "./filter";

const fixture = resolve(__dirname, "../fixtures/e2e/drift.bpf.c");
const [tcx, linkInfo] = ["tcx.pl", "link-info.pl"].map((name) =>
  readFileSync(resolve(__dirname, "../fixtures/e2e", name), "utf8"),
) as [string, string];

/** Config `connection`, `source`. */
const program = `
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

const config = new pulumi.Config();
const connection = config.requireObject<ebpf.ConnectionArgs>("connection");
const source = config.require("source");
const program = new ebpf.Program("watched", { connection, source, globals: { threshold: 3 } });
new ebpf.MapEntries("rows", { map: program.map("limits"), entries: [{ key: 1, value: 10 }, { key: 2, value: 20 }] });
const on = (name: string) => program.entrypoint(name);
new ebpf.Attachment("xdp", { program: on("on_xdp"), xdp: { interface: "eth0" } });
new ebpf.Attachment("tc", { program: on("on_tc"), tc: { interface: "eth0", direction: "egress" } });
new ebpf.Attachment("tcx", { program: on("on_tcx"), tcx: { interface: "eth0", direction: "ingress", order: "first" } });
`;

interface DriftKind {
  title: string;
  /** Done to the host behind our back. */
  happen(host: NetnsHost): Promise<unknown>;
  /** What a reader is told. */
  told: RegExp;
  /** Fails unless the host is as declared again: a second path, not ours. */
  repaired(host: NetnsHost): Promise<unknown>;
}

async function shell(host: NetnsHost, text: string): Promise<string> {
  return (await host.exec(["sh", "-c", text])).stdout.trim();
}

/** The one pin whose path has this end, by whatever revision. */
async function pin(host: NetnsHost, end: string): Promise<string> {
  const found = (await bpffsOf(host)).filter((path) => path.replace(/\/\d+\//, "/").endsWith(end));
  assert.equal(found.length, 1, `${end}: ${found.join()}`);
  return found[0]!;
}

/** A program of somebody else's: the same code, loaded by bpftool. */
async function foreign(host: NetnsHost, name: string): Promise<string> {
  const root = "/sys/fs/bpf/foreign";
  await shell(
    host,
    `[ -d ${root} ] || bpftool prog loadall "$(grep -l license /var/lib/pulumi-ebpf/blobs/*)" ${root}`,
  );
  return `${root}/${name}`;
}

async function onXdp(host: NetnsHost): Promise<number | undefined> {
  const [link] = await host.ip<{ xdp?: { prog?: { id: number } } }[]>("link", "show", "eth0");
  return link?.xdp?.prog?.id;
}

async function loadedId(host: NetnsHost, entrypoint: string): Promise<number> {
  const path = await pin(host, `/programs/${entrypoint}`);
  return (await host.bpftool<{ id: number }>("prog", "show", "pinned", path)).id;
}

async function valueOf(host: NetnsHost, map: string, key: string): Promise<string[]> {
  const words = ["map", "lookup", "pinned", await pin(host, map), "key", "hex", ...key.split(" ")];
  return (await host.bpftool<{ value: string[] }>(...words)).value;
}

const kinds: DriftKind[] = [
  {
    title: "detached",
    happen: async (host) =>
      shell(host, `bpftool link detach pinned ${await pin(host, "Attachment/xdp/links/link")}`),
    told: /detached from eth0/,
    repaired: async (host) => assert.equal(await onXdp(host), await loadedId(host, "on_xdp")),
  },
  {
    title: "another program in its place",
    happen: async (host) => {
      const theirs = await foreign(host, "on_tc");
      const filter = "dev eth0 egress pref 50 handle 1 bpf direct-action";
      await shell(host, `tc filter replace ${filter} object-pinned ${theirs}`);
    },
    told: /runs another program/,
    repaired: async (host) => {
      const shown = await shell(host, "tc -j filter show dev eth0 egress");
      assert.match(shown, new RegExp(`"id":${await loadedId(host, "on_tc")}\\b`));
    },
  },
  {
    title: "an entry changed",
    happen: async (host) =>
      shell(
        host,
        `bpftool map update pinned ${await pin(host, "/maps/limits")} key hex 01 00 00 00 value hex 63 00 00 00`,
      ),
    told: /key 1: declared 10, found 99/,
    repaired: async (host) => assert.equal((await valueOf(host, "/maps/limits", "01 00 00 00"))[0], "0x0a"),
  },
  {
    title: "a global changed",
    happen: async (host) =>
      shell(
        host,
        `bpftool map update pinned ${await pin(host, "data")} key hex 00 00 00 00 value hex 63 00 00 00`,
      ),
    told: /a global of drift\.bpf\.c has another value/,
    repaired: async (host) => assert.equal((await valueOf(host, "data", "00 00 00 00"))[0], "0x03"),
  },
  {
    title: "a pin removed",
    happen: async (host) => shell(host, `rm ${await pin(host, "/programs/on_tcx")}`),
    told: /pin \/sys\/fs\/bpf\/pulumi-ebpf\/test\/dev\/Program\/watched\/\d+\/programs\/on_tcx is gone|on_tcx" is not loaded/,
    repaired: (host) => pin(host, "/programs/on_tcx"),
  },
  {
    title: "another program before it in the chain",
    happen: async (host) => {
      const theirs = await foreign(host, "on_tcx");
      await host.exec(["perl", "-e", tcx, "first", "eth0", theirs, "/sys/fs/bpf/foreign-link"]);
    },
    told: /tcx ingress of eth0.*stands before it/,
    repaired: async (host) => {
      const path = (await bpffsOf(host)).find((one) => /Attachment\/tcx\/\d+\/links/.test(one))!;
      const info = JSON.parse((await host.exec(["perl", "-e", linkInfo, path])).stdout) as {
        prog_id: string;
      };
      const { stdout } = await host.exec(["perl", "-e", tcx, "order", "eth0"]);
      assert.equal(stdout.split(" ")[0]!.trim(), info.prog_id, stdout);
    },
  },
];

const reboot: DriftKind = {
  title: "rebooted",
  happen: (host) => host.reboot(),
  told: /not loaded since boot at \d{4}-/,
  repaired: async (host) => {
    for (const kind of kinds) await kind.repaired(host);
  },
};

const all: DriftKind = {
  title: kinds.map(({ title }) => title).join("; "),
  happen: async (host) => {
    for (const kind of kinds) await kind.happen(host);
  },
  told: /./,
  repaired: reboot.repaired,
};

for (const mode of modesUnderTest()) {
  describe(`Given a stack that is up, in ${mode} mode`, function () {
    this.timeout(180_000);
    let lab: Lab;
    let project: PulumiProject;

    before(async () => {
      lab = await Lab.create();
      const config = { connection: lab.host().connection, source: fixture };
      project = await PulumiProject.create({ program, config, mode });
      await project.up();
    });

    after(async () => {
      project?.dispose();
      await lab?.destroy();
    });

    const commands: [string, string[]][] = [
      ["pulumi refresh --preview-only --expect-no-changes", ["refresh", "--preview-only"]],
      ["pulumi preview --refresh --expect-no-changes", ["preview", "--refresh"]],
    ];
    const look = (words: string[]): Promise<CommandResult> =>
      run(project.command(...words, "--expect-no-changes", "--diff", "--non-interactive"), {
        cwd: project.directory,
        env: project.environment,
        check: false,
      });

    for (const [title, words] of commands) {
      it(`when nothing drifted, then \`${title}\` exits with 0`, async () => {
        const { code, stdout } = await look(words);
        assert.equal(code, 0, stdout);
      });
    }

    const singly = process.env["EBPF_TEST_ALL"] ? kinds : [];
    for (const kind of [all, ...singly, reboot]) {
      const told = kind === all ? kinds.map((one) => one.told) : [kind.told];
      describe(`when this happened to the host: ${kind.title}`, () => {
        before(() => kind.happen(lab.host()));
        after(() => shell(lab.host(), "rm -rf /sys/fs/bpf/foreign /sys/fs/bpf/foreign-link"));

        for (const [title, words] of commands) {
          it(`then \`${title}\` exits with 7 and says so in words`, async () => {
            const { code, stdout, stderr } = await look(words);
            const text = stdout + stderr;
            for (const pattern of told) assert.match(text, pattern);
            assert.match(text, /~ drift/);
            assert.equal(code, 7, text);
          });
        }

        it("then `pulumi up --refresh` repairs it, and the next look finds nothing", async () => {
          await project.up({ args: ["--refresh"] });
          await kind.repaired(lab.host());
          const { code, stdout } = await look(["preview", "--refresh"]);
          assert.equal(code, 0, stdout);
        });
      });
    }

    // in a suite of its own: mocha runs a suite's tests before the suites in it
    describe("when destroyed", () => {
      it("then nothing is left", async () => {
        await project.destroy();
        assert.deepEqual(await bpffsOf(lab.host()), []);
      });
    });
  });
}
