import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { search } from "../../provider/transport/known-hosts";
import { makeSshKey } from "../support/ssh-keys";

describe("known_hosts without OpenSSH", () => {
  const key = makeSshKey().publicKey;
  let directory: string;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "pulumi-ebpf-known-hosts-"));
  });

  after(() => rmSync(directory, { recursive: true }));

  /** The lines that ssh-keygen finds. */
  function reference(text: string, name: string): string[] {
    const file = join(directory, "known_hosts");
    writeFileSync(file, text);
    const { stdout } = spawnSync("ssh-keygen", ["-F", name, "-f", file], { encoding: "utf8" });
    return stdout.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  }

  const plain = [
    "edge-1",
    "edge-1,10.0.0.1",
    "[edge-1]:2222",
    "*.example.net",
    "edge-?",
    "!edge-1,edge-*",
    "2001:db8::1",
  ];
  const text = [
    "# a comment",
    "",
    ...plain.map((patterns) => `${patterns} ${key} a comment`),
    `@revoked edge-2 ${key}`,
    `@cert-authority *.example.net ${key}`,
    `x.edge-1 ${key}`,
  ].join("\n");
  const names = [
    "edge-1",
    "10.0.0.1",
    "[edge-1]:2222",
    "a.example.net",
    "example.net",
    "EDGE-1",
    "edge-2",
    "edge-11",
    "2001:db8::1",
  ];

  for (const name of names) {
    it(`finds for ${name} what ssh-keygen finds`, () => {
      assert.deepEqual(search(text, name), reference(text, name));
    });
  }

  it("finds in hashed files what ssh-keygen finds", () => {
    const file = join(directory, "hashed");
    writeFileSync(file, `edge-1 ${key}\n[edge-1]:2222 ${key}\n`);
    spawnSync("ssh-keygen", ["-q", "-H", "-f", file]);
    const hashed = spawnSync("cat", [file], { encoding: "utf8" }).stdout;
    assert.match(hashed, /^\|1\|/);
    for (const name of ["edge-1", "[edge-1]:2222", "edge-2"]) {
      assert.deepEqual(search(hashed, name), reference(hashed, name));
    }
    assert.equal(search(hashed, "edge-1").length, 1);
  });
});
