/**
 * A PostgreSQL of one's own: data in a temporary directory, a loopback port, gone after `stop` or with this process.
 *
 * Owns: the server's life. Does not own: its packages (scripts/packages.mjs, with databases).
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chownSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./command.js";
import { temporaryPrefix } from "./lab-network.js";

/** It refuses to run as root. */
const user = "postgres";

export class Postgres {
  private constructor(
    private readonly directory: string,
    private readonly port: number,
    private readonly server: ChildProcess,
  ) {}

  static async start(): Promise<Postgres> {
    const directory = mkdtempSync(join(tmpdir(), `${temporaryPrefix}postgres-`));
    chownSync(directory, idOf("-u"), idOf("-g"));
    const options = ["-D", directory, "--auth", "trust", "--no-sync", "--encoding", "UTF8"];
    try {
      await run(asUser(program("initdb"), ...options), { env: { ...process.env, LC_ALL: "C" } });
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
    const port = await freePort();
    const settings = ["listen_addresses=127.0.0.1", `port=${port}`, `unix_socket_directories=${directory}`];
    const [command, ...words] = asUser(
      program("postgres"),
      ...["-D", directory],
      ...settings.flatMap((setting) => ["-c", setting]),
    );
    const server = spawn(command!, words, { stdio: "ignore" });
    const postgres = new Postgres(directory, port, server);
    process.once("exit", postgres.abandon);
    await postgres.answers();
    return postgres;
  }

  /** For PULUMI_BACKEND_URL. */
  get url(): string {
    return `postgres://${user}@127.0.0.1:${this.port}/postgres?sslmode=disable`;
  }

  /** Rows of one column. */
  async query(sql: string): Promise<string[]> {
    const { stdout } = await run([program("psql"), this.url, "--tuples-only", "--no-align", "-c", sql]);
    return stdout.split("\n").filter((line) => line !== "");
  }

  async stop(): Promise<void> {
    process.removeListener("exit", this.abandon);
    const ended = new Promise((done) => this.server.once("exit", done));
    this.server.kill("SIGINT"); // drops connections, ends at once
    if (this.server.exitCode === null && this.server.signalCode === null) await ended;
    rmSync(this.directory, { recursive: true, force: true });
  }

  private readonly abandon = (): void => {
    this.server.kill("SIGQUIT");
    rmSync(this.directory, { recursive: true, force: true });
  };

  private async answers(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const { code } = await run([program("pg_isready"), "-h", "127.0.0.1", "-p", String(this.port)], {
        check: false,
      });
      if (code === 0) return;
      if (attempt === 100 || this.server.exitCode !== null) throw new Error("PostgreSQL did not start");
      await new Promise((done) => setTimeout(done, 100));
    }
  }
}

/** Of the newest version that the machine has. */
function program(name: string): string {
  const versions = readdirSync("/usr/lib/postgresql").sort((a, b) => Number(b) - Number(a));
  return `/usr/lib/postgresql/${versions[0]}/bin/${name}`;
}

/** The process itself becomes that user: its id is the server's. */
function asUser(...command: string[]): string[] {
  return ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--init-groups", "--", ...command];
}

function idOf(what: "-u" | "-g"): number {
  return Number(execFileSync("id", [what, user], { encoding: "utf8" }));
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer().once("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });
}
