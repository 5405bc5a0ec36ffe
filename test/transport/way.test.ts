import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { text } from "node:stream/consumers";
import { EbpfError } from "../../provider/errors";
import type { Connection } from "../../provider/transport/connection";
import { openOpenssh } from "../../provider/transport/openssh";
import { dialSsh2 } from "../../provider/transport/ssh2";
import { password } from "../support/netns-host";
import { makeSshKey } from "../support/ssh-keys";
import { eventually, freePort, login, oneDial, refusal, SshSuite } from "./ssh-suite";

describe("ssh", () => {
  const ssh = new SshSuite();

  describe("~/.ssh/config", () => {
    it("resolves an alias with its host name, port, user, key and known_hosts alias", async () => {
      const { host: address, hostKey } = ssh.host.connection;
      ssh.configure(
        `Host edge\n  HostName ${address}\n  Port 22\n  User deploy\n  IdentityFile ${ssh.host.identityFile}\n  HostKeyAlias the-edge\n`,
        `the-edge ${hostKey}\n`,
      );
      assert.equal(await login({ host: "edge" }), "deploy");
      assert.equal(await login({ host: "edge", user: "root" }), "root");
    });

    it("logs in as root unless it names a user", async () => {
      ssh.configure("Host edge\n  HostName " + ssh.host.connection.host);
      assert.equal(await login({ ...ssh.bare("user"), host: "edge" }), "root");
    });

    it("reaches a host by ProxyJump", async () => {
      const [outer, inner] = [ssh.lab.host(0), ssh.lab.host(1)];
      ssh.configure(
        `Host inner\n  HostName ${inner.connection.host}\n  ProxyJump outer\n  HostKeyAlias i\n` +
          `Host outer\n  HostName ${outer.connection.host}\n  HostKeyAlias o\n` +
          `Host *\n  User root\n  IdentityFile ${inner.identityFile}\n`,
        `i ${inner.connection.hostKey}\no ${outer.connection.hostKey}\n`,
      );
      assert.equal(await login({ host: "inner" }), "root");
    });

    it("is refused when ProxyJump leads in a circle", async () => {
      ssh.configure("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n");
      assert.match(await refusal("config", login({ host: "a" })), /circle/);
    });

    it("is refused with ProxyCommand, naming the transport that runs it", async () => {
      ssh.configure("Host a\n  ProxyCommand nc %h %p\n");
      assert.match(await refusal("config", login({ host: "a" })), /ProxyCommand.*transport: "openssh"/s);
    });

    it("is refused with its own words when ssh cannot read it", async () => {
      ssh.configure("Host a\n  Port many\n");
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
      assert.equal(await login(ssh.lab.host(1).connection), "root");
    });

    it("is refused at a bastion whose key is another, naming the bastion", async () => {
      const connection = ssh.lab.host(1).connection;
      const proxy = { ...connection.proxy!, hostKey: makeSshKey().publicKey };
      const message = await refusal("host-key", login({ ...connection, proxy }));
      assert.ok(message.startsWith(`root@${connection.host}`) && message.includes(proxy.host), message);
    });

    it("ends at a bastion that does not reach the host", async () => {
      const connection = { ...ssh.lab.host(1).connection, host: "10.255.255.1", port: 9 };
      await refusal("dial", login(connection, { dialErrorLimit: 1, dialTimeout: 3_000 }));
    });

    it("shares a bastion among the hosts behind it, and closes it after the last", async () => {
      const { connection } = ssh.lab.host(1);
      const logins = async (): Promise<number> => {
        const { stdout } = await ssh.lab
          .host(0)
          .exec(["sh", "-c", "grep -c 'Accepted publickey' /run/host/sshd.log || true"]);
        return Number(stdout);
      };
      const before = await logins();
      const lines = await Promise.all(Array.from({ length: 5 }, () => dialSsh2(connection, oneDial)));
      assert.equal(await logins(), before + 1);
      for (const line of lines) line.close();
      const established = ["sh", "-c", "ss -Htn state established 'sport = :22' | wc -l"];
      await eventually("the bastion's connection ends", async () => {
        return (await ssh.lab.host(0).exec(established)).stdout.trim() === "0";
      });
    });

    it("is dialled again until it works", async () => {
      await ssh.host.stop();
      const told: string[] = [];
      const dial = login(ssh.host.connection, {
        dialErrorLimit: 20,
        dialTimeout: 5_000,
        onProgress: (message) => told.push(message),
      });
      setTimeout(() => void ssh.host.start(), 1_500);
      assert.equal(await dial, "root");
      assert.match(told[0]!, /ECONNREFUSED.*dial 1 of 20 failed, trying again/);
    });

    it("is given up after so many dials", async () => {
      const port = await freePort();
      const start = Date.now();
      const told: string[] = [];
      const message = await refusal(
        "dial",
        login(
          { ...ssh.host.connection, host: "127.0.0.1", port },
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
      await ssh.host.partition();
      try {
        const message = await refusal(
          "dial",
          login(ssh.host.connection, { dialErrorLimit: 1, dialTimeout: 1_000 }),
        );
        assert.match(message, /no answer in 1 s/);
      } finally {
        await ssh.host.heal();
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
          login({ ...ssh.host.connection, host: "127.0.0.1", port }, { dialErrorLimit: 1, dialTimeout: 500 }),
        );
        server.close();
      }
    });

    it("names a host that does not resolve", async () => {
      const message = await refusal("dial", login({ ...ssh.host.connection, host: "no-such-host.invalid" }));
      assert.match(message, /no-such-host\.invalid/);
    });

    it("is left when it is cancelled", async () => {
      const abort = new AbortController();
      const port = await freePort();
      const dial = login(
        { ...ssh.host.connection, host: "127.0.0.1", port },
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
      const line = openOpenssh(connection, oneDial);
      try {
        const { stdio, stderr, ended } = await line.exec("id -un");
        const [answer, complaint] = await Promise.all([text(stdio), text(stderr)]);
        return `${(await ended).replace("exit status 0", "")}${answer.trim()}${complaint.trim()}`;
      } finally {
        line.close();
      }
    }

    it("takes key and host key of the connection", async () => {
      assert.equal(await whoami(ssh.host.connection), "root");
    });

    it("takes all from ~/.ssh/config", async () => {
      ssh.configure(
        `Host edge\n  HostName ${ssh.host.connection.host}\n  User deploy\n  IdentityFile ${ssh.host.identityFile}\n`,
        readFileSync(ssh.host.knownHostsFile, "utf8"),
      );
      assert.equal(await whoami({ host: "edge" }), "deploy");
    });

    it("refuses a host key that is unknown or another", async () => {
      ssh.configure("", "");
      assert.match(await whoami(ssh.bare("hostKey")), /exit status 255.*Host key verification failed/s);
      assert.match(
        await whoami({ ...ssh.host.connection, hostKey: makeSshKey().publicKey }),
        /exit status 255.*Host key verification failed/s,
      );
    });

    it("names the credentials that ssh does not take", () => {
      const proxy = { host: "b", hostKey: makeSshKey().publicKey };
      assert.throws(
        () => openOpenssh({ ...ssh.host.connection, password, proxy }, oneDial),
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
