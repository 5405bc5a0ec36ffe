/** What ebpf.Host hands to @pulumi/command, which would trust any host if it were not told its key. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EbpfError } from "../../provider/errors";
import { commandConnection } from "../../provider/transport/command-connection";
import { CONFIG_FILE_VARIABLE } from "../../provider/transport/ssh-config";
import { makeSshKey } from "../support/ssh-keys";

describe("a connection for @pulumi/command", () => {
  const [host, other, rsa] = [makeSshKey(), makeSshKey(), "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC1"];
  const hostKey = host.publicKey.split(" ").slice(0, 2).join(" ");
  let directory: string;
  let knownHosts: string;
  let former: NodeJS.ProcessEnv;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "ebpf-command-"));
    knownHosts = join(directory, "known_hosts");
    const config = join(directory, "config");
    writeFileSync(knownHosts, "");
    writeFileSync(
      config,
      `Host edge\n  HostName edge-1.example\n  Port 2222\n  User deploy\n  ProxyJump gate@gate-1.example\n` +
        `Host *\n  UserKnownHostsFile ${knownHosts}\n  GlobalKnownHostsFile ${knownHosts}\n`,
    );
    former = { ...process.env };
    process.env[CONFIG_FILE_VARIABLE] = config;
    delete process.env["SSH_AUTH_SOCK"];
  });

  afterEach(() => {
    process.env = former;
    rmSync(directory, { recursive: true });
  });

  async function problems(work: Promise<unknown>): Promise<string[]> {
    const error: unknown = await work.then(
      () => assert.fail("it was taken"),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof EbpfError);
    return (error.context.problems ?? []).map(({ property, reason }) => `${property}: ${reason}`);
  }

  it("says all that ~/.ssh/config says, and the key that known_hosts has, the strongest of several", async () => {
    writeFileSync(
      knownHosts,
      `[edge-1.example]:2222 ${rsa}\n[edge-1.example]:2222 ${hostKey}\ngate-1.example ${other.publicKey}\n`,
    );
    const { proxy, ...rest } = await commandConnection({
      host: "edge",
      password: "x",
      proxy: { host: "gate-1.example", user: "gate", password: "y" },
    });
    assert.deepEqual(rest, { host: "edge-1.example", port: 2222, user: "deploy", password: "x", hostKey });
    assert.equal(proxy!.hostKey, other.publicKey.split(" ").slice(0, 2).join(" "));
  });

  it("is refused when nobody knows the host's key, or known_hosts revokes it", async () => {
    const refused = [
      `connection.hostKey: is missing, and ${knownHosts} has none: @pulumi/command would trust any host`,
    ];
    const connection = { host: "edge-2.example", password: "x" };
    assert.deepEqual(await problems(commandConnection(connection)), refused);
    writeFileSync(knownHosts, `edge-2.example ${hostKey}\n@revoked edge-2.example ${hostKey}\n`);
    assert.deepEqual(await problems(commandConnection(connection)), refused);
  });

  it("is refused without credentials, since @pulumi/command looks at no key file by itself", async () => {
    const [problem = ""] = await problems(commandConnection({ host: "edge-2.example", hostKey }));
    assert.match(problem, /^connection\.privateKey: is missing.*ssh-agent/);
  });

  it("has the text of a key file", async () => {
    const file = join(directory, "id");
    writeFileSync(file, host.privateKey);
    const { privateKey } = await commandConnection({ host: "edge-2.example", hostKey, privateKey: file });
    assert.equal(privateKey, host.privateKey);
  });

  it("is refused for another transport than ssh2", async () => {
    const [problem = ""] = await problems(commandConnection({ host: "x", transport: "openssh" }));
    assert.match(problem, /^connection\.transport: .*leave it out/);
  });
});
