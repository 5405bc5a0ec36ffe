/**
 * Whether a host is the one it claims to be. Owns: which keys are known of a host (the connection's `hostKey`, else
 * known_hosts) and the verdict on the key it shows. No key is ever accepted unchecked, and none is ever stored.
 */
import { execFile } from "node:child_process";
import { createHash, createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";
import { EbpfError } from "../errors";
import type { HostConfig } from "./ssh-config";

/** A line of known_hosts, or a `hostKey`. */
interface Entry {
  marker?: string;
  type: string;
  /** base64 of the public key. */
  blob: string;
  /** For messages: a file, or `hostKey`. */
  source: string;
}

export interface KnownKeys {
  /** Key types in known_hosts, so that the host shows one that can be checked. */
  readonly types: string[];
  /** Undefined when `key` is one of the host's; else what to tell the user. */
  verify(key: Buffer): EbpfError<"transport"> | undefined;
}

/** `hostKey` in the form of authorized_keys, with or without a comment. */
export async function knownKeys(
  config: HostConfig,
  label: string,
  hostKey: string | undefined,
): Promise<KnownKeys> {
  const name = knownName(config);
  const entries = hostKey === undefined ? await lookUp(config, name) : [parseHostKey(hostKey, label)];
  const good = entries.filter(({ marker }) => marker === undefined);
  const scan = `ssh-keyscan ${config.port === 22 ? "" : `-p ${config.port} `}${config.host}`;
  const remedy =
    hostKey === undefined
      ? `compare with the output of \`${scan}\` taken over a way you trust, and put that line into ~/.ssh/known_hosts or its key into hostKey`
      : `if the host's key was really changed, set hostKey to its new key (\`${scan}\` prints it; compare it over a way you trust)`;

  const refuse = (problem: string, advice = remedy): EbpfError<"transport"> =>
    new EbpfError(
      "transport",
      `check the host key of ${name}: ${problem}`,
      { phase: "host-key" },
      { host: label, remedy: advice },
    );

  return {
    types: [...new Set(good.map(({ type }) => type))],
    verify(key) {
      const found = describe(keyType(key), key);
      const same = entries.filter(({ blob }) => Buffer.from(blob, "base64").equals(key));
      const revoked = same.find(({ marker }) => marker === "@revoked");
      if (revoked !== undefined) {
        return refuse(`the host shows ${found}, which ${revoked.source} marks as revoked`, "do not connect");
      }
      if (same.some(({ marker }) => marker === undefined)) return undefined;
      if (good.length > 0) {
        const expected = good
          .map(({ type, blob }) => describe(type, Buffer.from(blob, "base64")))
          .join(" or ");
        const sources = [...new Set(good.map(({ source }) => source))].join(", ");
        return refuse(`expected ${expected} (${sources}), found ${found}`);
      }
      const authority = entries.find(({ marker }) => marker === "@cert-authority");
      if (authority !== undefined) {
        return refuse(
          `${authority.source} has only a @cert-authority for it, and the built-in SSH client reads no host certificates`,
          'set transport: "openssh" in the connection, or hostKey',
        );
      }
      const files = config.knownHostsFiles.join(", ");
      return refuse(`it is unknown: expected an entry in ${files || "known_hosts"}, found ${found}`);
    },
  };
}

/** Of several key types the strongest that every SSH client of today takes. */
const PREFERRED = [
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "ssh-rsa",
];

/** The key that known_hosts has of a host, in the form of `hostKey`; undefined: none, or only an authority's. */
export async function knownHostKey(config: HostConfig): Promise<string | undefined> {
  const entries = await lookUp(config, knownName(config));
  const revoked = new Set(entries.filter(({ marker }) => marker === "@revoked").map(({ blob }) => blob));
  const good = entries.filter(({ marker, blob }) => marker === undefined && !revoked.has(blob));
  for (const wanted of PREFERRED) {
    const found = good.find(({ type }) => type === wanted);
    if (found !== undefined) return `${found.type} ${found.blob}`;
  }
  return undefined;
}

function knownName({ hostKeyAlias, host, port }: HostConfig): string {
  return hostKeyAlias ?? (port === 22 ? host : `[${host}]:${port}`);
}

/** As `ssh-keygen -l` prints it. */
export function describe(type: string, key: Buffer): string {
  return `${type} SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`;
}

/** First string of an SSH public key (RFC 4253, 6.6). */
function keyType(key: Buffer): string {
  return key.toString("latin1", 4, 4 + key.readUInt32BE(0));
}

/** Fails with phase `config` on what is no public key. */
export function parseHostKey(text: string, label: string): Entry {
  const [type = "", blob = ""] = text.trim().split(/\s+/);
  const bytes = Buffer.from(blob, "base64");
  if (bytes.length < 12 || bytes.readUInt32BE(0) > bytes.length || keyType(bytes) !== type) {
    throw new EbpfError(
      "transport",
      'read hostKey: expected a public key as in authorized_keys, "ssh-ed25519 AAAA…"',
      { phase: "config" },
      {
        host: label,
        property: "connection.hostKey",
        remedy: "take it from the host's /etc/ssh/ssh_host_ed25519_key.pub",
      },
    );
  }
  return { type, blob, source: "hostKey" };
}

async function lookUp(config: HostConfig, name: string): Promise<Entry[]> {
  const found = await Promise.all(
    config.knownHostsFiles.map(async (file) => {
      const text = await readFile(file, "utf8").catch(() => "");
      // most machines have one of the usual four files
      const lines = text === "" ? [] : ((await askSshKeygen(file, name)) ?? search(text, name));
      return lines.flatMap((line) => parseLine(line, file) ?? []);
    }),
  );
  return found.flat();
}

/** Lines of `file` about `name`, hashed ones included; undefined where there is no ssh-keygen. */
function askSshKeygen(file: string, name: string): Promise<string[] | undefined> {
  return new Promise((resolve) => {
    execFile("ssh-keygen", ["-F", name, "-f", file], { timeout: 10_000 }, (error, stdout) => {
      if (error !== null && error.code !== 1) resolve(undefined);
      else resolve(stdout.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#")));
    });
  });
}

/** What `ssh-keygen -F` does, for machines without it: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". */
export function search(text: string, name: string): string[] {
  return text.split(/\r?\n/).filter((line) => {
    const [patterns = ""] = line.replace(/^@\S+\s+/, "").split(/\s+/);
    if (patterns === "" || line.startsWith("#")) return false;
    if (patterns.startsWith("|1|")) {
      const [salt = "", hash = ""] = patterns.slice(3).split("|");
      return (
        createHmac("sha1", Buffer.from(salt, "base64")).update(name.toLowerCase()).digest("base64") === hash
      );
    }
    const matches = (pattern: string): boolean =>
      new RegExp(
        `^${pattern
          .replace(/[^*?]/g, (char) => char.replace(/[\\^$.|+()[\]{}]/, "\\$&"))
          .replace(/\*/g, ".*")
          .replace(/\?/g, ".")}$`,
        "i",
      ).test(name);
    const [negated, plain] = [patterns.split(",").filter((p) => p.startsWith("!")), patterns.split(",")];
    return plain.some((p) => !p.startsWith("!") && matches(p)) && !negated.some((p) => matches(p.slice(1)));
  });
}

function parseLine(line: string, source: string): Entry | undefined {
  const fields = line.trim().split(/\s+/);
  const marker = fields[0]?.startsWith("@") ? fields.shift() : undefined;
  const [, type, blob] = fields;
  if (type === undefined || blob === undefined) return undefined;
  return { ...(marker === undefined ? {} : { marker }), type, blob, source };
}
