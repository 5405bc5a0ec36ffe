import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Server } from "ssh2";
import { password } from "../support/netns-host";
import { makeSshKey } from "../support/ssh-keys";
import { login, oneDial, refusal, SshSuite } from "./ssh-suite";

describe("ssh login", () => {
  const ssh = new SshSuite();
  let agent: string;

  before(async () => {
    agent = await ssh.startAgent();
  });

  it("takes a key as text", async () => {
    assert.equal(await login(ssh.host.connection), "root");
  });

  it("takes a key by its path", async () => {
    assert.equal(await login({ ...ssh.host.connection, privateKey: ssh.host.identityFile }), "root");
  });

  it("takes a password", async () => {
    assert.equal(await login(ssh.host.connectionAs("deploy", "password")), "deploy");
  });

  it("takes ssh-agent, stated or of the environment", async () => {
    const connection = ssh.bare("privateKey");
    assert.equal(await login({ ...connection, agentSocketPath: agent }), "root");
    process.env["SSH_AUTH_SOCK"] = agent;
    assert.equal(await login(connection), "root");
  });

  it("goes on to ssh-agent when the stated key is no longer let in", async () => {
    const stale = { ...ssh.host.connection, privateKey: makeSshKey().privateKey };
    assert.equal(await login({ ...stale, agentSocketPath: agent }), "root");
  });

  for (const type of ["rsa", "ecdsa", "ed25519"]) {
    it(`takes an encrypted ${type} key with its passphrase, and says so without`, async () => {
      const path = ssh.file(`encrypted-${type}`);
      execFileSync("ssh-keygen", ["-q", "-t", type, "-N", "open sesame", "-f", path]);
      await ssh.host.exec(["tee", "-a", "/etc/ssh/authorized_keys_host"], {
        input: readFileSync(`${path}.pub`, "utf8"),
      });
      const connection = { ...ssh.host.connection, privateKey: path };
      assert.equal(await login({ ...connection, privateKeyPassword: "open sesame" }), "root");
      for (const wrong of [{}, { privateKeyPassword: "close sesame" }]) {
        const message = await refusal("config", login({ ...connection, ...wrong }));
        assert.match(
          message,
          /connection\.privateKey: read the private key .*encrypted-.*privateKeyPassword/,
        );
      }
    });
  }

  it("takes the identity files of ~/.ssh/config", async () => {
    ssh.configure(`Host ${ssh.host.connection.host}\n  IdentityFile ${ssh.host.identityFile}\n`);
    assert.equal(await login(ssh.bare("privateKey")), "root");
  });

  it("answers keyboard-interactive with the password", async () => {
    const key = makeSshKey();
    const server = new Server({ hostKeys: [key.privateKey] }, (client) => {
      client.on("authentication", (context) => {
        if (context.method !== "keyboard-interactive") return context.reject(["keyboard-interactive"]);
        context.prompt([{ prompt: "Password: ", echo: false }], "", (answers) =>
          answers[0] === password ? context.accept() : context.reject(["keyboard-interactive"]),
        );
      });
      client.on("ready", () =>
        client.on("session", (accept) =>
          accept().on("exec", (acceptExec) => {
            const stream = acceptExec();
            stream.write("interactive\n");
            stream.exit(0);
            stream.end();
          }),
        ),
      );
      client.on("error", () => {});
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const { port } = server.address() as { port: number };
      const connection = { host: "127.0.0.1", port, user: "x", password, hostKey: key.publicKey };
      assert.equal(await login(connection), "interactive");
      const message = await refusal("auth", login({ ...connection, password: "wrong" }));
      assert.match(message, /the host accepts keyboard-interactive/);
    } finally {
      server.close();
    }
  });

  it("says what was tried and what the host accepts when it is refused", async () => {
    const message = await refusal(
      "auth",
      login({ ...ssh.host.connectionAs("deploy", "password"), password: "wrong" }),
    );
    assert.match(
      message,
      /^deploy@\S+: log in to the host as deploy: refused; tried password; the host accepts publickey/,
    );
    const key = { ...ssh.host.connection, privateKey: makeSshKey().privateKey };
    assert.match(
      await refusal("auth", login(key)),
      /tried privateKey; the host accepts publickey,? ?password/,
    );
  });

  it("says so when the host has had enough of wrong keys, and does not dial again", async () => {
    const keys = Array.from({ length: 8 }, (_, index) => ssh.file(`wrong-${index}`, makeSshKey().privateKey));
    ssh.configure(`Host *\n${keys.map((path) => `  IdentityFile ${path}\n`).join("")}`);
    const message = await refusal("auth", login(ssh.bare("privateKey"), { ...oneDial, dialErrorLimit: 5 }));
    assert.match(message, /log in to .*IdentitiesOnly/s);
  });

  it("says so when there is nothing to try", async () => {
    ssh.configure(`Host *\n  IdentityFile none\n`);
    assert.match(await refusal("auth", login(ssh.bare("privateKey"))), /nothing to try/);
  });

  it("names a key file that is missing, and text that is no key", async () => {
    const missing = { ...ssh.host.connection, privateKey: "/nonexistent/id" };
    assert.match(
      await refusal("config", login(missing)),
      /privateKey: read the private key \/nonexistent\/id: no such file/,
    );
    const damaged = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n";
    await refusal("config", login({ ...ssh.host.connection, privateKey: damaged }));
  });

  it("never puts a credential into a message", async () => {
    const connection = { ...ssh.host.connection, privateKey: makeSshKey().privateKey, password: "hunter2" };
    const message = await refusal("auth", login(connection));
    assert.doesNotMatch(message, /hunter2|PRIVATE KEY/);
  });
});
