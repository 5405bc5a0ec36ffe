import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Server, utils } from "ssh2";
import { describe as fingerprint } from "../../provider/transport/known-hosts";
import { makeSshKey } from "../support/ssh-keys";
import { login, refusal, SshSuite } from "./ssh-suite";

describe("ssh host key", () => {
  const ssh = new SshSuite();

  const other = makeSshKey().publicKey;

  it("is taken from known_hosts", async () => {
    ssh.configure("", readFileSync(ssh.host.knownHostsFile, "utf8"));
    assert.equal(await login(ssh.bare("hostKey")), "root");
  });

  it("is taken from hashed known_hosts", async () => {
    const path = ssh.file("hashed", readFileSync(ssh.host.knownHostsFile, "utf8"));
    execFileSync("ssh-keygen", ["-q", "-H", "-f", path], { stdio: "ignore" });
    assert.match(readFileSync(path, "utf8"), /^\|1\|/);
    ssh.configure("", readFileSync(path, "utf8"));
    assert.equal(await login(ssh.bare("hostKey")), "root");
  });

  it("is taken from hashed known_hosts on a machine without OpenSSH", async () => {
    const path = ssh.file("hashed2", readFileSync(ssh.host.knownHostsFile, "utf8"));
    execFileSync("ssh-keygen", ["-q", "-H", "-f", path], { stdio: "ignore" });
    ssh.configure(
      `Host alias\n  HostName ${ssh.host.connection.host}\n  User root\n  UserKnownHostsFile ${path}\n`,
    );
    const path_ = process.env["PATH"];
    process.env["PATH"] = "/nonexistent";
    try {
      assert.equal(await login({ ...ssh.bare("hostKey", "user"), host: "alias" }), "root");
      const changed = ssh.file("changed", `${ssh.host.connection.host} ${other}\n`);
      ssh.configure(`Host alias\n  HostName ${ssh.host.connection.host}\n  UserKnownHostsFile ${changed}\n`);
      await refusal("host-key", login({ ...ssh.bare("hostKey", "user"), host: "alias" }));
    } finally {
      process.env["PATH"] = path_;
    }
  });

  it("is refused when it is unknown", async () => {
    ssh.configure("", "");
    const message = await refusal("host-key", login(ssh.bare("hostKey")));
    assert.match(
      message,
      /check the host key of \S+: it is unknown: .*found ssh-ed25519 SHA256:\S+; .*ssh-keyscan \S+/s,
    );
  });

  it("is refused when it is another, with both fingerprints", async () => {
    const wire = (key: string): Buffer => Buffer.from(key.split(" ")[1]!, "base64");
    const expected = fingerprint("ssh-ed25519", wire(other));
    const found = fingerprint("ssh-ed25519", wire(ssh.host.connection.hostKey!));
    const stated = await refusal("host-key", login({ ...ssh.host.connection, hostKey: other }));
    assert.ok(stated.includes(expected) && stated.includes(found), stated);
    ssh.configure("", `${ssh.host.connection.host} ${other}\n`);
    const known = await refusal("host-key", login(ssh.bare("hostKey")));
    assert.ok(known.includes(expected) && known.includes(found) && known.includes("/known-"), known);
  });

  it("is accepted when known_hosts has it beside an old one", async () => {
    ssh.configure(
      "",
      `${ssh.host.connection.host} ${other}\n${readFileSync(ssh.host.knownHostsFile, "utf8")}`,
    );
    assert.equal(await login(ssh.bare("hostKey")), "root");
  });

  it("is refused when it is marked as revoked", async () => {
    const key = readFileSync(ssh.host.knownHostsFile, "utf8");
    ssh.configure("", `${key}@revoked ${key}`);
    assert.match(await refusal("host-key", login(ssh.bare("hostKey"))), /marks as revoked/);
  });

  it("is refused with a word on certificates when only their authority is known", async () => {
    ssh.configure("", `@cert-authority * ${other}\n`);
    assert.match(
      await refusal("host-key", login(ssh.bare("hostKey"))),
      /@cert-authority.*transport: "openssh"/s,
    );
  });

  it("is asked for in the type that is known", async () => {
    const rsa = utils.generateKeyPairSync("rsa", { bits: 2048 });
    const ed25519 = makeSshKey();
    const server = new Server({ hostKeys: [ed25519.privateKey, rsa.private] }, (client) => {
      client.on("authentication", (context) => context.reject([]));
      client.on("error", () => {});
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const { port } = server.address() as { port: number };
      ssh.configure("Host *\n  IdentityFile none\n", `[127.0.0.1]:${port} ${rsa.public}\n`);
      await refusal("auth", login({ host: "127.0.0.1", port, user: "x", password: "x" }));
    } finally {
      server.close();
    }
  });

  it("names hostKey when that is no public key", async () => {
    for (const hostKey of [
      "",
      "SHA256:abc",
      "ssh-ed25519 AAAA",
      "ssh-rsa " + ssh.host.connection.hostKey!.split(" ")[1],
    ]) {
      const message = await refusal("config", login({ ...ssh.host.connection, hostKey }));
      assert.match(message, /connection\.hostKey: read hostKey/);
    }
  });
});
