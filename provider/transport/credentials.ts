/**
 * What a login proves itself with. Owns: key files, passphrases, ssh-agent, passwords, and their order: what the
 * connection states, then ssh-agent, then the identity files of ~/.ssh/config. Does not own: the dial (ssh2.ts).
 */
import { readFile } from "node:fs/promises";
import type { AnyAuthMethod, AuthHandlerMiddleware, ParsedKey } from "ssh2";
import { EbpfError } from "../errors";
import type { Proxy } from "./connection";
import { expandHome, type HostConfig } from "./ssh-config";

/** One thing to try, and its name in messages. */
interface Attempt {
  method: AnyAuthMethod;
  name: string;
}

export interface Credentials {
  handler: AuthHandlerMiddleware;
  /** In words, after a refusal: what was tried, what the host accepts, what could not be used. */
  refusal(): string;
}

export async function credentials(endpoint: Proxy, config: HostConfig, label: string): Promise<Credentials> {
  const username = config.user;
  const attempts: Attempt[] = [];
  const unused: string[] = [];

  if (endpoint.privateKey !== undefined) {
    const { key, name } = await statedKey(endpoint, label);
    attempts.push({ method: { type: "publickey", username, key }, name });
  }
  const { password } = endpoint;
  if (password !== undefined) {
    attempts.push(
      { method: { type: "password", username, password }, name: "password" },
      {
        method: {
          type: "keyboard-interactive",
          username,
          prompt: (_name, _instructions, _language, prompts, finish) => finish(prompts.map(() => password)),
        },
        name: "password (keyboard-interactive)",
      },
    );
  }
  const stated = attempts.length > 0;
  const agent = agentSocket(endpoint, config);
  const fromAgent: Attempt[] =
    agent === undefined
      ? []
      : [{ method: { type: "agent", username, agent }, name: `ssh-agent at ${agent}` }];
  const fromFiles: Attempt[] = [];
  for (const file of stated ? [] : config.identityFiles) {
    const key = await identity(file, endpoint.privateKeyPassword);
    if (typeof key === "string") unused.push(key);
    else if (key !== undefined) {
      fromFiles.push({ method: { type: "publickey", username, key }, name: file });
    }
  }
  // with IdentitiesOnly an agent full of other keys would use up the host's MaxAuthTries
  attempts.push(...(config.identitiesOnly ? [...fromFiles, ...fromAgent] : [...fromAgent, ...fromFiles]));

  const tried: string[] = [];
  let accepted: string[] = [];
  return {
    handler(methods, _partialSuccess, next) {
      // on the first call the host has not yet said what it accepts
      const allowed = methods as string[] | null;
      if (allowed !== null) accepted = allowed;
      for (let attempt = attempts.shift(); attempt !== undefined; attempt = attempts.shift()) {
        const type = attempt.method.type === "agent" ? "publickey" : attempt.method.type;
        if (allowed !== null && !allowed.includes(type)) continue;
        tried.push(attempt.name);
        return next(attempt.method);
      }
      next(false as never);
    },
    refusal() {
      const parts = [tried.length === 0 ? "nothing to try" : `tried ${tried.join(", ")}`];
      if (accepted.length > 0) parts.push(`the host accepts ${accepted.join(", ")}`);
      return [...parts, ...unused].join("; ");
    },
  };
}

function agentSocket(endpoint: Proxy, config: HostConfig): string | undefined {
  const socket = endpoint.agentSocketPath ?? config.identityAgent ?? process.env["SSH_AUTH_SOCK"];
  if (socket !== undefined && socket !== "") return expandHome(socket);
  return process.platform === "win32" ? "\\\\.\\pipe\\openssh-ssh-agent" : undefined;
}

/** `privateKey` is PEM text, or the path of a key file. */
async function statedKey(endpoint: Proxy, label: string): Promise<{ key: ParsedKey; name: string }> {
  const stated = endpoint.privateKey!;
  const isText = stated.includes("-----BEGIN");
  const path = expandHome(stated);
  const refuse = (reason: string, cause: unknown): EbpfError =>
    new EbpfError(
      "transport",
      `read the private key${isText ? "" : ` ${path}`}: ${reason}`,
      { phase: "config" },
      {
        host: label,
        property: "connection.privateKey",
        remedy: "give an OpenSSH or PEM private key, and privateKeyPassword if it is encrypted",
        cause,
      },
    );
  let text = stated;
  if (!isText) {
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      throw refuse(
        (error as NodeJS.ErrnoException).code === "ENOENT" ? "no such file" : String(error),
        error,
      );
    }
  }
  const key = await parse(text, endpoint.privateKeyPassword);
  if (key instanceof Error) throw refuse(key.message, key);
  if (!key.isPrivateKey()) throw refuse("it is a public key", undefined);
  return { key, name: isText ? "privateKey" : path };
}

/** A key file of ~/.ssh/config: undefined if there is none, a reason if it cannot be used. */
async function identity(
  file: string,
  passphrase: string | undefined,
): Promise<ParsedKey | string | undefined> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const key = await parse(text, passphrase);
  return key instanceof Error ? `${file} was left out: ${key.message}` : key;
}

async function parse(text: string, passphrase: string | undefined): Promise<ParsedKey | Error> {
  const { default: ssh2 } = await import("ssh2");
  const parsed = ssh2.utils.parseKey(text, passphrase);
  return Array.isArray(parsed) ? parsed[0]! : parsed;
}
