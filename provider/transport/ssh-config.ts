/**
 * What ~/.ssh/config says about a host. Owns: the questions to `ssh -G`, and to npm's ssh-config where OpenSSH is not
 * installed (plain keywords only: no Match, no tokens). Does not own: host keys (known-hosts.ts), keys (credentials.ts).
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { cacheDirectory } from "../cache";
import { EbpfError } from "../errors";
import { digestOf } from "../protocol/spec";
import { hostLabel, type Proxy } from "./connection";
import { likeness } from "./ssh-config-patterns";

export interface HostConfig {
  host: string;
  port: number;
  user: string;
  /** Name under which known_hosts has the key, if it is not the host's. */
  hostKeyAlias?: string;
  knownHostsFiles: string[];
  identityFiles: string[];
  identitiesOnly: boolean;
  identityAgent?: string;
  /** `[user@]host[:port]`, nearest to us first. */
  proxyJump: string[];
}

/** Another file than ~/.ssh/config; `none` reads no file at all. */
export const CONFIG_FILE_VARIABLE = "PULUMI_EBPF_SSH_CONFIG";

type Keywords = Map<string, string[]>;

/** What the connection says comes before the file; an IP address or unknown name yields OpenSSH's defaults. */
export async function resolveHost(endpoint: Proxy): Promise<HostConfig> {
  const keywords = (await fromOpenSsh(endpoint)) ?? (await fromFile(endpoint));
  const first = (keyword: string): string | undefined => {
    const value = keywords.get(keyword)?.[0];
    return value === undefined || value === "none" ? undefined : value;
  };
  const words = (keyword: string): string[] =>
    (keywords.get(keyword) ?? []).flatMap((value) => splitWords(value)).map(expandHome);

  if (first("proxycommand") !== undefined) {
    throw new EbpfError(
      "transport",
      `resolve ${endpoint.host}: ~/.ssh/config reaches it by ProxyCommand, which only OpenSSH itself can run`,
      { phase: "config" },
      { host: hostLabel(endpoint), remedy: 'set transport: "openssh" in the connection' },
    );
  }
  const hostKeyAlias = first("hostkeyalias");
  const identityAgent = first("identityagent");
  return {
    host: first("hostname") ?? endpoint.host,
    port: endpoint.port ?? Number(first("port") ?? 22),
    user: endpoint.user ?? first("user") ?? "root",
    ...(hostKeyAlias === undefined ? {} : { hostKeyAlias }),
    knownHostsFiles: [...words("userknownhostsfile"), ...words("globalknownhostsfile")],
    identityFiles: (keywords.get("identityfile") ?? []).map(expandHome),
    identitiesOnly: first("identitiesonly") === "yes",
    ...(identityAgent === undefined || identityAgent === "SSH_AUTH_SOCK"
      ? {}
      : {
          identityAgent: expandHome(
            identityAgent.replace(/^\$(\w+)$/, (_, name: string) => process.env[name] ?? ""),
          ),
        }),
    proxyJump: first("proxyjump")?.split(",") ?? [],
  };
}

interface Answer {
  asked: string;
  keywords: Keywords | undefined;
}

/** By all that an answer depends on. */
const answers = new Map<string, Promise<Answer>>();

/** Undefined where there is no `ssh`, and on Windows, whose paths its Include does not take. */
async function fromOpenSsh(endpoint: Proxy): Promise<Keywords | undefined> {
  if (process.platform === "win32") return undefined;
  const { host, port, user } = endpoint;
  const alike = await likeness(host, filesRead());
  if (alike === undefined) return askOpenSsh(endpoint);
  const key = JSON.stringify([configFile(), alike, port, user]);
  let answer = answers.get(key);
  if (answer === undefined) {
    answer = askOpenSsh(endpoint).then((keywords) => ({ asked: host, keywords }));
    answers.set(key, answer);
    answer.catch(() => answers.delete(key));
  }
  const { asked, keywords } = await answer;
  if (keywords === undefined || asked === host) return keywords;
  if (dependsOn(asked, keywords)) return askOpenSsh(endpoint);
  return new Map([...keywords, ["hostname", [host.toLowerCase()]]]);
}

/** Whether keywords besides the plain name of the host say who was asked for. */
function dependsOn(asked: string, keywords: Keywords): boolean {
  const name = asked.toLowerCase();
  return [...keywords].some(([keyword, values]) => {
    if (keyword === "host") return false;
    if (keyword === "hostname") return values[0] !== name;
    return values.some((value) => value.toLowerCase().includes(name));
  });
}

async function askOpenSsh({ host, port, user }: Proxy): Promise<Keywords | undefined> {
  const args = ["-G", "-T", "-F", configWithOurDefaults()];
  if (port !== undefined) args.push("-p", String(port));
  if (user !== undefined) args.push("-l", user);
  const output = await new Promise<string | undefined>((resolve, reject) => {
    execFile("ssh", [...args, "--", host], { timeout: 10_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else if (error.code === "ENOENT") resolve(undefined);
      else {
        reject(
          new EbpfError(
            "transport",
            `read ${configFile()}: ${stderr.trim().replace(/\s*\n/g, "; ") || error.message}`,
            { phase: "config" },
            { host, cause: error, remedy: `see \`ssh -G ${host}\`` },
          ),
        );
      }
    });
  });
  if (output === undefined) return undefined;
  const keywords: Keywords = new Map();
  for (const line of output.split("\n")) {
    const space = line.indexOf(" ");
    if (space > 0) add(keywords, line.slice(0, space), line.slice(space + 1));
  }
  return keywords;
}

/**
 * ssh's own files in its own order; and last, since the first value counts, our default for the login name. Kept by
 * content: a process that is killed leaves nothing to clean up.
 */
function configWithOurDefaults(): string {
  const include = filesRead().map((file) => `Include "${file}"\n`);
  const text = `${include.join("")}${include.length === 0 ? "" : "Match all\n"}User root\n`;
  const directory = cacheDirectory("ssh");
  const path = join(directory, `${digestOf(text)}.conf`);
  if (existsSync(path)) return path;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const fresh = `${path}.${process.pid}`;
  writeFileSync(fresh, text, { mode: 0o600 });
  renameSync(fresh, path);
  return path;
}

/** As ssh without -F reads them. */
function filesRead(): string[] {
  const users = configFile();
  return users === "none" ? [] : [users, "/etc/ssh/ssh_config"];
}

function configFile(): string {
  return process.env[CONFIG_FILE_VARIABLE] ?? join(homedir(), ".ssh", "config");
}

async function fromFile({ host }: Proxy): Promise<Keywords> {
  const file = configFile();
  const text = file === "none" ? "" : await readFile(file, "utf8").catch(() => "");
  const keywords: Keywords = new Map();
  for (const [keyword, value] of Object.entries(
    (await import("ssh-config")).default.parse(text).compute(host),
  )) {
    for (const one of [value].flat()) add(keywords, keyword.toLowerCase(), one);
  }
  const directory = join(homedir(), ".ssh");
  if (!keywords.has("userknownhostsfile"))
    add(keywords, "userknownhostsfile", join(directory, "known_hosts"));
  if (!keywords.has("identityfile")) {
    for (const name of ["id_ed25519", "id_ecdsa", "id_rsa"])
      add(keywords, "identityfile", join(directory, name));
  }
  return keywords;
}

function add(keywords: Keywords, keyword: string, value: string): void {
  keywords.set(keyword, [...(keywords.get(keyword) ?? []), value]);
}

function splitWords(value: string): string[] {
  return [...value.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2]!);
}

export function expandHome(path: string): string {
  return path.replace(/^(~|%d)(?=[/\\]|$)/, homedir());
}

/** `[user@]host[:port]` or `ssh://…`, as in ProxyJump. */
export function parseJump(text: string): Proxy {
  const match =
    /^(?:ssh:\/\/)?(?:(?<user>[^@]+)@)?(?:\[(?<ip>[^\]]+)\]|(?<host>[^:]+))(?::(?<port>\d+))?$/.exec(
      text.trim(),
    );
  const { user, ip, host, port } = match?.groups ?? {};
  const name = ip ?? host;
  if (name === undefined) {
    throw new EbpfError("transport", `read ProxyJump "${text}": expected [user@]host[:port]`, {
      phase: "config",
    });
  }
  return { host: name, ...(user && { user }), ...(port && { port: Number(port) }) };
}
