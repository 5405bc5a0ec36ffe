/** What the tests of SSH share: a lab with a host and one behind it, a configuration file and an ssh-agent of their own. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { EbpfError, type ErrorDetails } from "../../provider/errors";
import type { Connection } from "../../provider/transport/connection";
import type { DialOptions } from "../../provider/transport/line";
import { CONFIG_FILE_VARIABLE } from "../../provider/transport/ssh-config";
import { dialSsh2 } from "../../provider/transport/ssh2";
import { Lab } from "../support/lab";
import type { NetnsHost } from "../support/netns-host";
import { until } from "../support/until";

export const oneDial: DialOptions = { dialErrorLimit: 1, dialTimeout: 10_000 };

/** What `id -un` says over the connection. */
export async function login(connection: Connection, options = oneDial): Promise<string> {
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

/** The error's text, after checking that it is a clear one. */
export async function refusal(
  phase: ErrorDetails["transport"]["phase"],
  work: Promise<unknown>,
): Promise<string> {
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

/** A TCP port of this machine on which nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

/** Asks again until it is so, at most 25 s. */
export function eventually(what: string, holds: () => Promise<boolean>): Promise<boolean> {
  return until(what, holds, 25);
}

export class SshSuite {
  lab!: Lab;
  private directory!: string;
  private endAgent?: () => void;
  private readonly environment = { ...process.env };
  private files = 0;

  /** Registers the hooks of the suite that calls it. */
  constructor() {
    before(async () => {
      this.lab = await Lab.create({ hosts: [{}, { behind: 0 }] });
      this.directory = mkdtempSync(join(tmpdir(), "pulumi-ebpf-ssh-"));
    });
    beforeEach(() => {
      delete process.env["SSH_AUTH_SOCK"];
      this.configure("");
    });
    after(async () => {
      this.endAgent?.();
      await this.lab?.destroy();
      if (this.directory) rmSync(this.directory, { recursive: true });
      process.env = this.environment;
    });
  }

  get host(): NetnsHost {
    return this.lab.host();
  }

  /** Makes `lines` the ~/.ssh/config of this test, with a known_hosts file of that content if there is one. */
  configure(lines: string, knownHosts?: string): void {
    const file = this.file("config", lines);
    if (knownHosts !== undefined) {
      const known = this.file("known", knownHosts);
      const defaults = `\nHost *\n  UserKnownHostsFile ${known}\n  GlobalKnownHostsFile none\n`;
      writeFileSync(file, lines + defaults);
    }
    process.env[CONFIG_FILE_VARIABLE] = file;
  }

  /** Path of a new file. */
  file(name: string, contents?: string): string {
    const path = join(this.directory, `${name}-${this.files++}`);
    if (contents !== undefined) writeFileSync(path, contents, { mode: 0o600 });
    return path;
  }

  /** The connection without what it proves itself with, or is checked by. */
  bare(...without: (keyof Connection)[]): Connection {
    const connection: Connection = { ...this.host.connection };
    for (const name of without) delete connection[name];
    return connection;
  }

  /** Socket of an ssh-agent that has the login's key. */
  async startAgent(): Promise<string> {
    const socket = this.file("agent");
    const child = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    this.endAgent = () => void child.kill();
    while (!existsSync(socket)) await new Promise((done) => setTimeout(done, 10));
    const env = { ...process.env, SSH_AUTH_SOCK: socket };
    execFileSync("ssh-add", ["-q", this.host.identityFile], { env, stdio: "ignore" });
    return socket;
  }
}
