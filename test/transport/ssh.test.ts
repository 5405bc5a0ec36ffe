import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { Server, utils } from "ssh2";
import { EbpfError, type ErrorDetails } from "../../provider/errors";
import type { Connection } from "../../provider/transport/connection";
import { describe as fingerprint } from "../../provider/transport/known-hosts";
import type { DialOptions } from "../../provider/transport/line";
import { openOpenssh } from "../../provider/transport/openssh";
import { CONFIG_FILE_VARIABLE } from "../../provider/transport/ssh-config";
import { dialSsh2 } from "../../provider/transport/ssh2";
import { Lab } from "../support/lab";
import { type NetnsHost, password } from "../support/netns-host";
import { makeSshKey } from "../support/ssh-keys";

const once1: DialOptions = { dialErrorLimit: 1, dialTimeout: 10_000 };

/** What `id -un` says over the connection. */
async function login(connection: Connection, options = once1): Promise<string> {
  const line = await dialSsh2(connection, options);
  try {
    const { stdio, ended } = await line.exec("id -un");
    const answer = (await text(stdio)).trim();
    assert.equal(await ended, "exit status 0");
    return answer;
  } finally {
    line.close();
  }
}

type Phase = ErrorDetails["transport"]["phase"];

/** The error's text, after checking that it is a clear one. */
async function refusal(phase: Phase, work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => assert.fail("it was let in"),
    (reason: unknown) => reason,
  );
  assert.ok(EbpfError.is(error, "transport"), String(error));
  assert.equal(error.details.phase, phase, error.message);
  assert.ok(error.context.host !== undefined, "the error names the host");
  assert.ok(error.context.remedy !== undefined, "the error has a remedy");
  const rendered = error.render();
  assert.doesNotMatch(rendered, /\n\s+at |\[object|undefined/);
  return rendered;
}

describe("ssh", function () {
  let lab: Lab;
  let directory: string;
  let host: NetnsHost;
  let agent: { socket: string; end: () => void } | undefined;
  const environment = { ...process.env };

  /** ~/.ssh/config of this test. */
  function configure(lines: string, knownHosts?: string): void {
    const file = join(directory, `config-${Math.random()}`);
    let text = lines;
    if (knownHosts !== undefined) {
      writeFileSync(`${file}.known`, knownHosts);
      text += `\nHost *\n  UserKnownHostsFile ${file}.known\n  GlobalKnownHostsFile none\n`;
    }
    writeFileSync(file, text);
    process.env[CONFIG_FILE_VARIABLE] = file;
  }

  function file(name: string, contents: string): string {
    const path = join(directory, name);
    writeFileSync(path, contents, { mode: 0o600 });
    return path;
  }

  /** The connection without what it proves itself with, or is checked by. */
  function bare(...without: (keyof Connection)[]): Connection {
    const connection: Connection = { ...host.connection };
    for (const name of without) delete connection[name];
    return connection;
  }

  async function startAgent(): Promise<{ socket: string; end: () => void }> {
    const socket = join(directory, "agent.sock");
    const child = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    while (!existsSync(socket)) await new Promise((done) => setTimeout(done, 10));
    execFileSync("ssh-add", ["-q", host.identityFile], {
      env: { ...process.env, SSH_AUTH_SOCK: socket },
      stdio: "ignore",
    });
    return { socket, end: () => child.kill() };
  }

  before(async function () {
    this.timeout(60_000);
    lab = await Lab.create({ hosts: [{}, { behind: 0 }] });
    host = lab.host();
    directory = mkdtempSync(join(tmpdir(), "pulumi-ebpf-ssh-"));
    agent = await startAgent();
  });

  beforeEach(() => {
    delete process.env["SSH_AUTH_SOCK"];
    configure("");
  });

  after(async () => {
    agent?.end();
    await lab?.destroy();
    if (directory) rmSync(directory, { recursive: true });
    process.env = environment;
  });

  describe("login", () => {
    it("takes a key as text", async () => {
      assert.equal(await login(host.connection), "root");
    });

    it("takes a key by its path", async () => {
      assert.equal(await login({ ...host.connection, privateKey: host.identityFile }), "root");
    });

    it("takes a password", async () => {
      assert.equal(await login(host.connectionAs("deploy", "password")), "deploy");
    });

    it("takes ssh-agent, stated or of the environment", async () => {
      const connection = bare("privateKey");
      assert.equal(await login({ ...connection, agentSocketPath: agent!.socket }), "root");
      process.env["SSH_AUTH_SOCK"] = agent!.socket;
      assert.equal(await login(connection), "root");
    });

    it("goes on to ssh-agent when the stated key is no longer let in", async () => {
      const stale = { ...host.connection, privateKey: makeSshKey().privateKey };
      assert.equal(await login({ ...stale, agentSocketPath: agent!.socket }), "root");
    });

    for (const type of ["rsa", "ecdsa", "ed25519"]) {
      it(`takes an encrypted ${type} key with its passphrase, and says so without`, async () => {
        const path = join(directory, `encrypted-${type}`);
        execFileSync("ssh-keygen", ["-q", "-t", type, "-N", "open sesame", "-f", path]);
        await host.exec(["tee", "-a", "/etc/ssh/authorized_keys_host"], {
          input: readFileSync(`${path}.pub`, "utf8"),
        });
        const connection = { ...host.connection, privateKey: path };
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
      configure(`Host ${host.connection.host}\n  IdentityFile ${host.identityFile}\n`);
      assert.equal(await login(bare("privateKey")), "root");
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
        login({ ...host.connectionAs("deploy", "password"), password: "wrong" }),
      );
      assert.match(
        message,
        /^deploy@\S+: log in to \S+ as deploy: refused; tried password; the host accepts publickey/,
      );
      const key = { ...host.connection, privateKey: makeSshKey().privateKey };
      assert.match(
        await refusal("auth", login(key)),
        /tried privateKey; the host accepts publickey,? ?password/,
      );
    });

    it("says so when the host has had enough of wrong keys, and does not dial again", async () => {
      const keys = Array.from({ length: 8 }, (_, index) => file(`wrong-${index}`, makeSshKey().privateKey));
      configure(`Host *\n${keys.map((path) => `  IdentityFile ${path}\n`).join("")}`);
      const message = await refusal("auth", login(bare("privateKey"), { ...once1, dialErrorLimit: 5 }));
      assert.match(message, /log in to .*IdentitiesOnly/s);
    });

    it("says so when there is nothing to try", async () => {
      configure(`Host *\n  IdentityFile none\n`);
      assert.match(await refusal("auth", login(bare("privateKey"))), /nothing to try/);
    });

    it("names a key file that is missing, and text that is no key", async () => {
      const missing = { ...host.connection, privateKey: "/nonexistent/id" };
      assert.match(
        await refusal("config", login(missing)),
        /privateKey: read the private key \/nonexistent\/id: no such file/,
      );
      const damaged = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n";
      await refusal("config", login({ ...host.connection, privateKey: damaged }));
    });

    it("never puts a credential into a message", async () => {
      const connection = { ...host.connection, privateKey: makeSshKey().privateKey, password: "hunter2" };
      const message = await refusal("auth", login(connection));
      assert.doesNotMatch(message, /hunter2|PRIVATE KEY/);
    });
  });

  describe("host key", () => {
    const other = makeSshKey().publicKey;

    it("is taken from known_hosts", async () => {
      configure("", readFileSync(host.knownHostsFile, "utf8"));
      assert.equal(await login(bare("hostKey")), "root");
    });

    it("is taken from hashed known_hosts", async () => {
      const path = file("hashed", readFileSync(host.knownHostsFile, "utf8"));
      execFileSync("ssh-keygen", ["-q", "-H", "-f", path], { stdio: "ignore" });
      assert.match(readFileSync(path, "utf8"), /^\|1\|/);
      configure("", readFileSync(path, "utf8"));
      assert.equal(await login(bare("hostKey")), "root");
    });

    it("is taken from hashed known_hosts on a machine without OpenSSH", async () => {
      const path = file("hashed2", readFileSync(host.knownHostsFile, "utf8"));
      execFileSync("ssh-keygen", ["-q", "-H", "-f", path], { stdio: "ignore" });
      configure(
        `Host alias\n  HostName ${host.connection.host}\n  User root\n  UserKnownHostsFile ${path}\n`,
      );
      const path_ = process.env["PATH"];
      process.env["PATH"] = "/nonexistent";
      try {
        assert.equal(await login({ ...bare("hostKey", "user"), host: "alias" }), "root");
        const changed = file("changed", `${host.connection.host} ${other}\n`);
        configure(`Host alias\n  HostName ${host.connection.host}\n  UserKnownHostsFile ${changed}\n`);
        await refusal("host-key", login({ ...bare("hostKey", "user"), host: "alias" }));
      } finally {
        process.env["PATH"] = path_;
      }
    });

    it("is refused when it is unknown", async () => {
      configure("", "");
      const message = await refusal("host-key", login(bare("hostKey")));
      assert.match(
        message,
        /check the host key of \S+: it is unknown: .*found ssh-ed25519 SHA256:\S+; .*ssh-keyscan \S+/s,
      );
    });

    it("is refused when it is another, with both fingerprints", async () => {
      const wire = (key: string): Buffer => Buffer.from(key.split(" ")[1]!, "base64");
      const expected = fingerprint("ssh-ed25519", wire(other));
      const found = fingerprint("ssh-ed25519", wire(host.connection.hostKey!));
      const stated = await refusal("host-key", login({ ...host.connection, hostKey: other }));
      assert.ok(stated.includes(expected) && stated.includes(found), stated);
      configure("", `${host.connection.host} ${other}\n`);
      const known = await refusal("host-key", login(bare("hostKey")));
      assert.ok(known.includes(expected) && known.includes(found) && known.includes(".known"), known);
    });

    it("is accepted when known_hosts has it beside an old one", async () => {
      configure("", `${host.connection.host} ${other}\n${readFileSync(host.knownHostsFile, "utf8")}`);
      assert.equal(await login(bare("hostKey")), "root");
    });

    it("is refused when it is marked as revoked", async () => {
      const key = readFileSync(host.knownHostsFile, "utf8");
      configure("", `${key}@revoked ${key}`);
      assert.match(await refusal("host-key", login(bare("hostKey"))), /marks as revoked/);
    });

    it("is refused with a word on certificates when only their authority is known", async () => {
      configure("", `@cert-authority * ${other}\n`);
      assert.match(
        await refusal("host-key", login(bare("hostKey"))),
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
        configure("Host *\n  IdentityFile none\n", `[127.0.0.1]:${port} ${rsa.public}\n`);
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
        "ssh-rsa " + host.connection.hostKey!.split(" ")[1],
      ]) {
        const message = await refusal("config", login({ ...host.connection, hostKey }));
        assert.match(message, /connection\.hostKey: read hostKey/);
      }
    });
  });

  describe("~/.ssh/config", () => {
    it("resolves an alias with its host name, port, user, key and known_hosts alias", async () => {
      const { host: address, hostKey } = host.connection;
      configure(
        `Host edge\n  HostName ${address}\n  Port 22\n  User deploy\n  IdentityFile ${host.identityFile}\n  HostKeyAlias the-edge\n`,
        `the-edge ${hostKey}\n`,
      );
      assert.equal(await login({ host: "edge" }), "deploy");
      assert.equal(await login({ host: "edge", user: "root" }), "root");
    });

    it("logs in as root unless it names a user", async () => {
      configure("Host edge\n  HostName " + host.connection.host);
      assert.equal(await login({ ...bare("user"), host: "edge" }), "root");
    });

    it("reaches a host by ProxyJump", async () => {
      const [outer, inner] = [lab.host(0), lab.host(1)];
      configure(
        `Host inner\n  HostName ${inner.connection.host}\n  ProxyJump outer\n  HostKeyAlias i\n` +
          `Host outer\n  HostName ${outer.connection.host}\n  HostKeyAlias o\n` +
          `Host *\n  User root\n  IdentityFile ${inner.identityFile}\n`,
        `i ${inner.connection.hostKey}\no ${outer.connection.hostKey}\n`,
      );
      assert.equal(await login({ host: "inner" }), "root");
    });

    it("is refused when ProxyJump leads in a circle", async () => {
      configure("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n");
      assert.match(await refusal("config", login({ host: "a" })), /circle/);
    });

    it("is refused with ProxyCommand, naming the transport that runs it", async () => {
      configure("Host a\n  ProxyCommand nc %h %p\n");
      assert.match(await refusal("config", login({ host: "a" })), /ProxyCommand.*transport: "openssh"/s);
    });

    it("is refused with its own words when ssh cannot read it", async () => {
      configure("Host a\n  Port many\n");
      assert.match(await refusal("config", login({ host: "a" })), /config-\S+: .*line 2: Bad port 'many'/);
    });

    it("takes a host name for a name, whatever it looks like", async () => {
      await refusal(
        "config",
        login({ host: "-oProxyCommand=touch /tmp/never" }).catch((error: unknown) => {
          throw EbpfError.is(error, "transport") && error.details.phase === "dial"
            ? new EbpfError("transport", error.message, { phase: "config" }, error.context)
            : error;
        }),
      );
    });
  });

  describe("way", () => {
    it("leads through a bastion", async () => {
      assert.equal(await login(lab.host(1).connection), "root");
    });

    it("is refused at a bastion whose key is another, naming the bastion", async () => {
      const connection = lab.host(1).connection;
      const proxy = { ...connection.proxy!, hostKey: makeSshKey().publicKey };
      const message = await refusal("host-key", login({ ...connection, proxy }));
      assert.ok(message.startsWith(`root@${connection.host}`) && message.includes(proxy.host), message);
    });

    it("ends at a bastion that does not reach the host", async () => {
      const connection = { ...lab.host(1).connection, host: "10.255.255.1", port: 9 };
      await refusal("dial", login(connection, { dialErrorLimit: 1, dialTimeout: 3_000 }));
    });

    it("shares a bastion among the hosts behind it, and closes it after the last", async () => {
      const { connection } = lab.host(1);
      const logins = async (): Promise<number> => {
        const { stdout } = await lab
          .host(0)
          .exec(["sh", "-c", "grep -c 'Accepted publickey' /run/host/sshd.log || true"]);
        return Number(stdout);
      };
      const before = await logins();
      const lines = await Promise.all(Array.from({ length: 5 }, () => dialSsh2(connection, once1)));
      assert.equal(await logins(), before + 1);
      for (const line of lines) line.close();
      const established = ["sh", "-c", "ss -Htn state established 'sport = :22' | wc -l"];
      for (let i = 0; ; i++) {
        if (Number((await lab.host(0).exec(established)).stdout) === 0) break;
        assert.ok(i < 50, "the bastion's connection is still open");
        await new Promise((done) => setTimeout(done, 100));
      }
    });

    it("is dialled again until it works", async () => {
      await host.stop();
      const told: string[] = [];
      const dial = login(host.connection, {
        dialErrorLimit: 20,
        dialTimeout: 5_000,
        onProgress: (message) => told.push(message),
      });
      setTimeout(() => void host.start(), 1_500);
      assert.equal(await dial, "root");
      assert.match(told[0]!, /ECONNREFUSED.*dial 1 of 20 failed, trying again/);
    });

    it("is given up after so many dials", async () => {
      const { port } = await freePort();
      const start = Date.now();
      const told: string[] = [];
      const message = await refusal(
        "dial",
        login(
          { ...host.connection, host: "127.0.0.1", port },
          {
            dialErrorLimit: 3,
            dialTimeout: 5_000,
            onProgress: (text) => told.push(text),
          },
        ),
      );
      assert.match(
        message,
        new RegExp(`root@127\\.0\\.0\\.1:${port}: dial .*ECONNREFUSED.*; check host and port`),
      );
      assert.equal(told.length, 2);
      assert.ok(Date.now() - start >= 700, "it waits between dials");
    });

    it("is given up when packets vanish, after the time of a dial", async () => {
      await host.partition();
      try {
        const start = Date.now();
        const message = await refusal(
          "dial",
          login(host.connection, { dialErrorLimit: 1, dialTimeout: 1_000 }),
        );
        assert.match(message, /no answer in 1 s/);
        assert.ok(Date.now() - start < 3_000);
      } finally {
        await host.heal();
      }
    });

    it("is given up when the port answers but speaks no SSH, or nothing at all", async () => {
      for (const greeting of ["HTTP/1.1 400 Bad Request\r\n\r\n", ""]) {
        const server = createServer((socket) => socket.on("error", () => {}).write(greeting)).listen(
          0,
          "127.0.0.1",
        );
        await once(server, "listening");
        const { port } = server.address() as { port: number };
        await refusal(
          "dial",
          login({ ...host.connection, host: "127.0.0.1", port }, { dialErrorLimit: 1, dialTimeout: 500 }),
        );
        server.close();
      }
    });

    it("names a host that does not resolve", async () => {
      const message = await refusal("dial", login({ ...host.connection, host: "no-such-host.invalid" }));
      assert.match(message, /no-such-host\.invalid/);
    });

    it("is left when it is cancelled", async () => {
      const abort = new AbortController();
      const { port } = await freePort();
      const dial = login(
        { ...host.connection, host: "127.0.0.1", port },
        {
          dialErrorLimit: Infinity,
          dialTimeout: 5_000,
          signal: abort.signal,
        },
      );
      setTimeout(() => abort.abort(), 300);
      await assert.rejects(dial, { code: "cancelled" });
    });
  });

  describe("the operator's own ssh", () => {
    async function whoami(connection: Connection): Promise<string> {
      const line = openOpenssh(connection, once1);
      try {
        const { stdio, stderr, ended } = await line.exec("id -un");
        const [answer, complaint] = await Promise.all([text(stdio), text(stderr)]);
        return `${(await ended).replace("exit status 0", "")}${answer.trim()}${complaint.trim()}`;
      } finally {
        line.close();
      }
    }

    it("takes key and host key of the connection", async () => {
      assert.equal(await whoami(host.connection), "root");
    });

    it("takes all from ~/.ssh/config", async () => {
      configure(
        `Host edge\n  HostName ${host.connection.host}\n  User deploy\n  IdentityFile ${host.identityFile}\n`,
        readFileSync(host.knownHostsFile, "utf8"),
      );
      assert.equal(await whoami({ host: "edge" }), "deploy");
    });

    it("refuses a host key that is unknown or another", async () => {
      configure("", "");
      assert.match(await whoami(bare("hostKey")), /exit status 255.*Host key verification failed/s);
      assert.match(
        await whoami({ ...host.connection, hostKey: makeSshKey().publicKey }),
        /exit status 255.*Host key verification failed/s,
      );
    });

    it("names the credentials that ssh does not take", () => {
      const proxy = { host: "b", hostKey: makeSshKey().publicKey };
      assert.throws(
        () => openOpenssh({ ...host.connection, password, proxy }, once1),
        (error: unknown) => {
          assert.ok(EbpfError.is(error, "invalid"));
          assert.deepEqual(
            error.context.problems?.map(({ property }) => property),
            ["connection.password", "connection.proxy.hostKey"],
          );
          return true;
        },
      );
    });
  });
});

async function freePort(): Promise<{ port: number }> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return address;
}
