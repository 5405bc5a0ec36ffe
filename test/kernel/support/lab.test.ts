import assert from "node:assert/strict";
import { type Connection } from "../../support/host.js";
import { Lab } from "../../support/lab.js";
import { type NetnsHost } from "../../support/netns-host.js";
import { run } from "../../support/command.js";
import { Flood, ping } from "../../support/traffic.js";

/** The operator's own ssh, so that sshd is asked as a user asks it. */
function ssh(host: NetnsHost, { user, host: address }: Connection, command: string): ReturnType<typeof run> {
  const options = [
    `UserKnownHostsFile=${host.knownHostsFile}`,
    "StrictHostKeyChecking=yes",
    "BatchMode=yes",
    "ConnectTimeout=1",
  ];
  const flags = options.flatMap((option) => ["-o", option]);
  return run(["ssh", "-F", "none", "-i", host.identityFile, ...flags, `${user}@${address}`, command], {
    check: false,
  });
}

const drop = `__attribute__((section("xdp"), used)) int drop(void *context) { return 1; /* XDP_DROP */ }`;

describe("network-namespace hosts", () => {
  let lab: Lab;
  let host: NetnsHost;
  beforeEach(async () => {
    lab = await Lab.create({ hosts: [{}, { node: false, disk: "1m" }, { behind: 0 }] });
    host = lab.host();
  });
  afterEach(() => lab?.destroy());

  it("let root, deploy and guest in by key, and only deploy use sudo", async () => {
    for (const [user, sudo] of [
      ["root", 0],
      ["deploy", 0],
      ["guest", 1],
    ] as const) {
      const { code } = await ssh(host, host.connectionAs(user), "sudo -n true");
      assert.equal(code, sudo, user);
    }
  });

  it("offer node in a session only where they have it", async () => {
    const { stdout } = await ssh(host, host.connection, "node -p 6*7");
    assert.equal(stdout.trim(), "42");
    const { code } = await ssh(lab.host(1), lab.host(1).connection, "command -v node || command -v npm");
    assert.notEqual(code, 0);
  });

  it("keep what is written on them from this machine and from each other", async () => {
    await host.write("/etc/pulumi-ebpf-probe", "x");
    assert.notEqual(
      (await lab.host(1).exec(["test", "-e", "/etc/pulumi-ebpf-probe"], { check: false })).code,
      0,
    );
    assert.notEqual((await run(["test", "-e", "/etc/pulumi-ebpf-probe"], { check: false })).code, 0);
  });

  it("have a disk that can be full", async () => {
    const fill = ["dd", "if=/dev/zero", "of=/var/lib/pulumi-ebpf/fill", "bs=64k", "count=64"];
    assert.match((await lab.host(1).exec(fill, { check: false })).stderr, /No space left/);
  });

  it("are reached through their bastion alone when they are behind one", async () => {
    const behind = lab.host(2);
    assert.equal(behind.connection.proxy?.host, host.connection.host);
    assert.notEqual((await ssh(behind, behind.connection, "true")).code, 0);
    assert.equal(await ping(host, behind.connection.host, 2), 2);
  });

  it("refuse, lose and regain connections", async () => {
    const before = await ssh(host, host.connection, "cat /proc/sys/kernel/random/boot_id");
    await host.stop();
    assert.match((await ssh(host, host.connection, "true")).stderr, /refused/);
    await host.start();
    await host.partition();
    assert.match((await ssh(host, host.connection, "true")).stderr, /timed out/);
    await host.heal();
    await host.reboot();
    const after = await ssh(host, host.connection, "cat /proc/sys/kernel/random/boot_id");
    assert.equal(after.code, 0);
    assert.notEqual(after.stdout, before.stdout);
    assert.equal(await ping(lab.client, host.address), 3);
  });

  it("change their host key and the login's key", async () => {
    await host.rotateLoginKey();
    assert.equal((await ssh(host, host.connection, "true")).code, 0);
    await host.rotateHostKey();
    assert.match((await ssh(host, host.connection, "true")).stderr, /IDENTIFICATION HAS CHANGED/);
  });

  it("receive every packet of a flood, and none with a program that drops, SSH untouched", async () => {
    const flood = await Flood.start(lab.client, host, { packetsPerSecond: 5000 });
    await flood.flowing(1000);
    assert.equal((await flood.stop()).lost, 0);
    await host.exec(["clang", "-O2", "-target", "bpf", "-x", "c", "-c", "-", "-o", "/tmp/drop.o"], {
      input: drop,
    });
    await host.exec(["ip", "link", "set", "dev", "eth0", "xdp", "object", "/tmp/drop.o", "section", "xdp"]);
    const blocked = await Flood.start(lab.client, host, { packetsPerSecond: 5000 });
    await blocked.sending(1000);
    assert.equal((await blocked.stop()).received, 0);
    assert.equal((await ssh(host, host.connection, "true")).code, 0);
  });
});
