/** Every kind of bad input: the error names property, host, cause and remedy, and nothing is left on the host. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { closeAll } from "../../provider/transport/pool";
import { Lab } from "../support/lab";
import { modesUnderTest } from "../support/modes";
import { ManagedResource } from "../support/managed-resource";
import type { Connection } from "../support/host";
import { makeSshKey } from "../support/ssh-keys";
import { bpffsOf, says } from "./filter";

type Properties = Record<string, unknown>;

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");

for (const mode of modesUnderTest()) {
  describe(`Given bad input, ${mode} mode`, function () {
    this.timeout(60_000);
    let lab: Lab;
    let directory: string;
    let program: ManagedResource;

    before(async () => {
      ManagedResource.useMode(mode);
      directory = mkdtempSync(join(tmpdir(), "pulumi-ebpf-input-"));
      lab = await Lab.create();
      program = await ManagedResource.create("Program", "good", {
        connection: connection(),
        source: fixture,
      });
    });

    after(async () => {
      ManagedResource.useMode("dynamic");
      await program?.delete();
      closeAll();
      await lab?.destroy();
      rmSync(directory, { recursive: true, force: true });
    });

    const connection = (): Connection & { dialErrorLimit: number } => ({
      ...lab.host().connection,
      dialErrorLimit: 1,
    });

    /** The text of what creating it fails with; whatever was on the host before must be there after, and no more. */
    async function failure(kind: string, args: Properties): Promise<string> {
      const before = await bpffsOf(lab.host());
      try {
        const made = await ManagedResource.create(kind, "bad", { connection: connection(), ...args });
        await made.delete();
      } catch (error) {
        const { message, stack } = error as Error;
        assert.deepEqual(await bpffsOf(lab.host()), before);
        assert.doesNotMatch(message, /^\s+at .+[:(]\d+/m, stack);
        return message;
      }
      return assert.fail(`${kind} was created`);
    }

    function compiled(name: string, source: string, ...flags: string[]): string {
      const file = join(directory, `${name}.o`);
      const input = join(directory, `${name}.c`);
      writeFileSync(input, source);
      execFileSync("clang", ["-O2", "-target", "bpf", "-c", input, "-o", file, ...flags]);
      return file;
    }

    const minimal = '__attribute__((section("xdp"), used)) int pass(void *ctx) { return 2; }';
    const entries = (rows: unknown[], map = "ports"): Properties => ({
      map: program.map(map),
      entries: rows,
    });
    const row = { key: 1, value: { action: "DROP", note: 0 } };

    const programCases: [title: string, args: () => Properties, expected: RegExp[]][] = [
      ["an unknown property", () => ({ source: fixture, global: {} }), [/global/, /globals/]],
      ["a wrong type", () => ({ source: 7 }), [/source/, /string/]],
      ["a missing file", () => ({ source: "./none.o" }), [/source/, /none\.o/]],
      ["an ELF that is not BPF", () => ({ source: process.execPath }), [/source/, /BPF/]],
      [
        "a file that is no ELF",
        () => ({ source: __filename.replace(/\.test\.ts$/, ".test.ts") }),
        [/source/],
      ],
      [
        "a big-endian object",
        () => ({ source: compiled("big", minimal, "-target", "bpfeb") }),
        [/source/, /big.endian/i],
      ],
      [
        "an unknown entrypoint",
        () => ({ source: fixture, load: ["xdp_flter"] }),
        [/load\[0\]/, /xdp_filter/],
      ],
      [
        "an unknown global",
        () => ({ source: fixture, globals: { versio: 1 } }),
        [/globals\.versio/, /version/],
      ],
      [
        "a global that does not fit",
        () => ({ source: fixture, globals: { version: 2 ** 32 } }),
        [/globals\.version/],
      ],
      [
        "an unknown map to share",
        () => ({ source: fixture, maps: { port: program.map("ports") } }),
        [/maps\.port/, /ports/],
      ],
      [
        "C that does not compile",
        () => {
          writeFileSync(join(directory, "bad.bpf.c"), "int x = ;");
          return { source: join(directory, "bad.bpf.c") };
        },
        [/source/, /bad\.bpf\.c:1/, /expected expression/],
      ],
      [
        "a program that the verifier rejects",
        () => ({ source: fixture, defines: { BROKEN: "1" } }),
        [/verifier rejects xdp_filter/, /kernel/, /full log in/],
      ],
    ];
    for (const [title, args, expected] of programCases) {
      it(`when a Program has ${title}, then the error says so and nothing is left`, async () => {
        const text = await failure("Program", args());
        for (const pattern of expected) assert.match(text, pattern);
      });
    }

    it("when an object has no BTF, then it loads, and typed rows for its maps are refused with the reason", async () => {
      const source = compiled("plain", minimal);
      const made = await ManagedResource.create("Program", "plain", { connection: connection(), source });
      await made.delete();
      const text = await failure("Program", { source, globals: { version: 1 } });
      assert.match(text, /globals\.version/);
    });

    const rowCases: [title: string, rows: unknown[], expected: RegExp[]][] = [
      ["a key that does not fit", [{ ...row, key: 70_000 }], [/entries\[0\]\.key/, /65,?535/]],
      ["an unknown enum name", [{ key: 1, value: { action: "REJECT", note: 0 } }], [/value\.action/, /DROP/]],
      [
        "a value with a member too few",
        [{ key: 1, value: { action: "DROP" } }],
        [/entries\[0\]\.value/, /note/],
      ],
      ["a member too many", [{ key: 1, value: { action: 1, note: 0, x: 1 } }], [/value/, /x/]],
      ["a duplicate key", [row, row], [/entries\[1\]\.key|duplicate/]],
      [
        "more rows than the map takes",
        Array.from({ length: 129 }, (_, key) => ({ ...row, key })),
        [/129/, /128/],
      ],
    ];
    for (const [title, rows, expected] of rowCases) {
      it(`when MapEntries have ${title}, then the error says so and nothing is left`, async () => {
        const text = await failure("MapEntries", entries(rows));
        for (const pattern of expected) assert.match(text, pattern);
      });
    }

    it("when an Attachment names no hook or two, then the error lists the hooks", async () => {
      const ref = program.entrypoint("xdp_filter");
      assert.match(await failure("Attachment", { program: ref }), /xdp.*tcx.*cgroup/);
      const two = { program: ref, xdp: { interface: "eth0" }, tracepoint: { event: "a/b" } };
      assert.match(await failure("Attachment", two), /xdp and tracepoint/);
    });

    it("when the interface does not exist, then the error names it and the host", async () => {
      const args = { program: program.entrypoint("xdp_filter"), xdp: { interface: "eth7" } };
      const text = await failure("Attachment", args);
      assert.match(text, /xdp\.interface|eth7/);
      assert.match(text, new RegExp(lab.host().connection.host));
    });

    it("when the host key is another, then the error shows both fingerprints", async () => {
      const hostKey = makeSshKey().publicKey;
      const text = await failure("Program", { connection: { ...connection(), hostKey }, source: fixture });
      assert.match(text, /host key/i);
      assert.match(text, /SHA256:.*SHA256:/s);
    });

    it("when the host cannot be reached, then the error names it", async () => {
      await lab.host().stop();
      try {
        const host = { ...connection(), user: "root" };
        await assert.rejects(
          ManagedResource.create("Program", "bad", {
            connection: host,
            source: fixture,
            globals: { version: 9 },
          }),
          says(new RegExp(`${host.host}.*ECONNREFUSED`)),
        );
      } finally {
        await lab.host().start();
      }
    });

    it("when the login has no sudo, then the error says what is needed", async () => {
      const guest = { ...lab.host().connectionAs("guest"), dialErrorLimit: 1 };
      const text = await failure("Program", { connection: guest, source: fixture });
      assert.match(text, /sudo/);
      assert.match(text, /guest@/);
    });

    it("when the login has passwordless sudo, then it works as root does", async () => {
      const deploy = lab.host().connectionAs("deploy");
      const made = await ManagedResource.create("Program", "sudo", { connection: deploy, source: fixture });
      assert.deepEqual(await made.refresh(), []);
      await made.delete();
    });

    it("when somebody wrote the state by hand, then the error names what is missing and the way on", async () => {
      const made = await ManagedResource.create("Program", "edited", {
        connection: connection(),
        source: fixture,
      });
      const whole = made.state;
      const { incarnation: _incarnation, ...edited } = whole;
      made.state = edited;
      await assert.rejects(made.refresh(), says(/incarnation.*pulumi state/s));
      await assert.rejects(made.delete(), says(/incarnation/));
      made.state = whole;
      await made.delete();
    });

    it("when a Record on the host is damaged, then the error names it and the others go on", async () => {
      const made = await ManagedResource.create("Program", "damaged", {
        connection: connection(),
        source: fixture,
      });
      const find = ["find", "/var/lib/pulumi-ebpf/records", "-type", "f", "-path", "*damaged*"];
      const { stdout } = await lab.host().exec(find);
      const file = stdout.trim().split("\n")[0]!;
      const { stdout: text } = await lab.host().exec(["cat", file]);
      await lab.host().write(file, text.slice(0, 40), "600");
      await assert.rejects(made.refresh(), says(/damaged/));
      assert.deepEqual(await program.refresh(), []);
      await lab.host().write(file, text, "600");
      assert.deepEqual(await made.refresh(), []);
      await made.delete();
    });
  });
}
