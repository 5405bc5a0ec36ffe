import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { CONFIG_FILE_VARIABLE, resolveHost } from "../../provider/transport/ssh-config";

describe("~/.ssh/config of many hosts", () => {
  const before = { path: process.env["PATH"], config: process.env[CONFIG_FILE_VARIABLE] };
  let directory = "";
  let log = "";

  /** OpenSSH's own ssh, and a line for each time it is asked. */
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "pulumi-ebpf-ssh-config-"));
    log = join(directory, "log");
    const real = execFileSync("sh", ["-c", "command -v ssh"], { encoding: "utf8" }).trim();
    writeFileSync(join(directory, "ssh"), `#!/bin/sh\necho "$*" >>${log}\nexec ${real} "$@"\n`);
    chmodSync(join(directory, "ssh"), 0o755);
    process.env["PATH"] = [directory, before.path].join(delimiter);
  });

  afterEach(() => {
    process.env["PATH"] = before.path;
    if (before.config === undefined) delete process.env[CONFIG_FILE_VARIABLE];
    else process.env[CONFIG_FILE_VARIABLE] = before.config;
    rmSync(directory, { recursive: true, force: true });
  });

  function configure(text: string): void {
    // a comment of its own: what an earlier test was told does not count
    writeFileSync(join(directory, "config"), `# ${directory}\n${text}`);
    process.env[CONFIG_FILE_VARIABLE] = join(directory, "config");
  }

  const asked = (): number => (existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").length : 0);

  async function resolveAll(hosts: string[]): Promise<Record<string, unknown>[]> {
    return (await Promise.all(hosts.map((host) => resolveHost({ host })))) as unknown as Record<
      string,
      unknown
    >[];
  }

  it("is asked for once when it cannot tell them apart", async () => {
    configure("Host other\n  User nobody\nHost *\n  User deploy\n  Port 2222\n");
    const [one, two, three] = await resolveAll(["192.0.2.1", "192.0.2.2", "Edge-3.example.net"]);
    assert.equal(asked(), 1);
    assert.deepEqual(two, { ...one, host: "192.0.2.2" });
    assert.deepEqual(three, { ...one, host: "edge-3.example.net" });
    assert.deepEqual([one?.["host"], one?.["user"], one?.["port"]], ["192.0.2.1", "deploy", 2222]);
  });

  it("is asked for each way to write the connection", async () => {
    configure("Host *\n  Port 2222\n");
    const ports = await Promise.all([
      resolveHost({ host: "192.0.2.1" }),
      resolveHost({ host: "192.0.2.2", port: 22 }),
      resolveHost({ host: "192.0.2.3", user: "me" }),
    ]);
    assert.deepEqual(
      ports.map(({ port, user }) => [port, user]),
      [
        [2222, "root"],
        [22, "root"],
        [2222, "me"],
      ],
    );
  });

  it("is asked anew for hosts that a pattern tells apart, and after a change", async () => {
    configure("Host web-*\n  User web\nHost !web-1 web-*\n  Port 2222\nHost db-?\n  User db\n");
    const found = await resolveAll(["web-1", "web-2", "web-3", "db-1", "db-22"]);
    assert.deepEqual(
      found.map(({ user, port }) => [user, port]),
      [
        ["web", 22],
        ["web", 2222],
        ["web", 2222],
        ["db", 22],
        ["root", 22],
      ],
    );
    assert.equal(asked(), 4);
    configure("Host web-*\n  User other\n");
    assert.equal((await resolveHost({ host: "web-2" })).user, "other");
  });

  it("is asked for each host where an answer names the host", async () => {
    configure("Host *\n  HostName %h.example.net\n");
    const found = await resolveAll(["edge-1", "edge-2"]);
    assert.deepEqual(
      found.map(({ host }) => host),
      ["edge-1.example.net", "edge-2.example.net"],
    );
  });

  it("is asked for each host where Match decides", async () => {
    configure('Match exec "test %h = edge-1"\n  User first\nMatch all\n  User second\n');
    const found = await resolveAll(["edge-1", "edge-2"]);
    assert.deepEqual(
      found.map(({ user }) => user),
      ["first", "second"],
    );
  });

  it("is followed into Include", async () => {
    writeFileSync(join(directory, "a.conf"), "Host edge-1\n  User included\n");
    configure(`Include ${directory}/*.conf\n`);
    const found = await resolveAll(["edge-1", "edge-2", "edge-3"]);
    assert.deepEqual(
      found.map(({ user }) => user),
      ["included", "root", "root"],
    );
    assert.equal(asked(), 2);
  });
});
