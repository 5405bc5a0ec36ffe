/**
 * From a line to a host to an agent that answers. Owns: the conversation with the bootstrap script, the upload, and
 * what is told when any of it fails. Does not own: the script (bootstrap.ts), the files (bundle.ts).
 */
import { EbpfError } from "../errors";
import { type HelloResult, PROTOCOL_VERSION } from "../protocol/messages";
import { connectRpc, type RpcClient } from "../protocol/rpc";
import { AGENT_ROOT, bootstrapScript, newNonce } from "./bootstrap";
import type { Bundles, Variant } from "./bundle";
import { Conversation } from "./conversation";
import type { Line } from "./line";
import type { Architecture } from "./packages";

const ANSWER_TIMEOUT_MS = 30_000;
/** Slowest host that is waited for while it verifies what arrived. */
const LEAST_VERIFIED_BYTES_PER_MS = 5_000;
/** How long a delivery stays silent, and between two lines about it. */
const SILENT_MS = 2_000;

export interface Agent {
  rpc: RpcClient;
  hello: HelloResult;
}

export interface StartOptions {
  host: string;
  signal?: AbortSignal;
  onProgress?: (message: string) => void;
  /** What it means that the command ended before the script spoke, where running it is what dials. */
  unreached?: (lastWords: string) => EbpfError;
}

export async function startAgent(line: Line, bundles: Bundles, options: StartOptions): Promise<Agent> {
  const { host, signal } = options;
  const command = await line.exec("sh -s");
  const cancel = (): void => void command.stdio.destroy();
  signal?.addEventListener("abort", cancel, { once: true });
  if (signal?.aborted) cancel();
  const nonce = newNonce();
  const talk = new Conversation(command, host, nonce);
  try {
    talk.write(bootstrapScript(bundles, nonce));
    const sshConnection = await untilStart(talk, bundles, options);
    const rpc = connectRpc(command.stdio, { host, lastWords: () => talk.lastWords() });
    command.stdio.resume();
    const silent = setTimeout(
      () => rpc.close(talk.error(`start the agent: no answer in ${ANSWER_TIMEOUT_MS / 1000} s`, "exec")),
      ANSWER_TIMEOUT_MS,
    );
    const greeting = { protocol: PROTOCOL_VERSION, ...(sshConnection && { sshConnection }) };
    const hello = await rpc.call("hello", greeting).finally(() => clearTimeout(silent));
    return { rpc, hello };
  } catch (error) {
    command.stdio.destroy();
    if (signal?.aborted) throw new EbpfError("cancelled", "start the agent: cancelled", {}, { host });
    throw error;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

/** Resolves when the agent has the stream, with SSH_CONNECTION of the login. */
async function untilStart(
  talk: Conversation,
  bundles: Bundles,
  options: StartOptions,
): Promise<string | undefined> {
  const { onProgress } = options;
  let doing = "";
  const tell = setInterval(() => doing !== "" && onProgress?.(doing), SILENT_MS);
  try {
    return await converse(talk, bundles, options, (text) => {
      // the first line comes as long after its beginning as the others after each other
      if (doing === "") tell.refresh();
      doing = text;
    });
  } finally {
    clearInterval(tell);
  }
}

async function converse(
  talk: Conversation,
  bundles: Bundles,
  options: StartOptions,
  now: (doing: string) => void,
): Promise<string | undefined> {
  const { host } = options;
  let state: { spoken: boolean; sudoer?: string } = { spoken: false };
  let sshConnection: string | undefined;
  let timeout = ANSWER_TIMEOUT_MS;
  for (;;) {
    const line = await talk.line(timeout);
    if (line === undefined) {
      const words = await talk.lastWords();
      if (!state.spoken && options.unreached !== undefined) throw options.unreached(words);
      if (state.sudoer !== undefined) throw notPermitted(host, state.sudoer, `sudo -n: ${words}`);
      throw talk.error(
        `start the agent: ${words}`,
        state.spoken ? "deliver" : "exec",
        diskAdvice(state.spoken),
      );
    }
    const [word, ...rest] = line;
    state = { spoken: true };
    switch (word) {
      case "start":
        return sshConnection;
      case "from":
        sshConnection = rest.join(" ");
        break;
      case "as":
        state.sudoer = rest[0] ?? "";
        break;
      case "no-sudo":
        throw notPermitted(host, rest[0] ?? "", "it is not root, and the host has no sudo");
      case "unsupported":
        throw new EbpfError(
          "unsupported",
          `start the agent: there is none for ${rest.join(" ")}`,
          { feature: rest.join(" ") },
          { host, remedy: "use a Linux host with x86_64 or aarch64" },
        );
      case "no-agent":
        throw new EbpfError(
          "permission",
          "start the agent: the login may only start one that is there, and that of this version is not",
          { needed: "root" },
          {
            host,
            remedy:
              "run `pulumi up` of the stack that has the host's ebpf.Host, with this version of pulumi-ebpf",
          },
        );
      case "need":
        now(`preparing the agent for ${host}`);
        timeout += await deliver(talk, bundles, rest[0] as Architecture, rest[1] as Variant, (done, total) =>
          now(`sending the agent to ${host}: ${megabytes(done)} of ${megabytes(total)} MB`),
        );
        now(`${host} verifies the agent`);
        break;
      case "damaged":
        throw talk.error(
          "deliver the agent: what arrived has another sha256",
          "deliver",
          "run it again; if it persists, check the host's disk and memory",
        );
      default:
        throw talk.error(`start the agent: unexpected answer "${word}"`, "protocol");
    }
  }
}

/** Returns how long the host may need to verify it, in ms. */
async function deliver(
  talk: Conversation,
  bundles: Bundles,
  architecture: Architecture,
  variant: Variant,
  told: (doneBytes: number, totalBytes: number) => void,
): Promise<number> {
  const { files } = bundles.get(architecture, variant);
  const contents = await Promise.all(files.map((file) => bundles.compressed(architecture, file)));
  const total = contents.reduce((sum, { length }) => sum + length, 0);
  let sent = 0;
  talk.write(`${contents.map(({ length }) => length).join(" ")}\n`);
  for (const bytes of contents) {
    const line = await talk.line(ANSWER_TIMEOUT_MS);
    if (line?.[0] !== "send") {
      const words = line === undefined ? await talk.lastWords() : `unexpected answer "${line[0]}"`;
      throw talk.error(`deliver the agent to ${AGENT_ROOT}: ${words}`, "deliver", diskAdvice(true));
    }
    await talk.upload(bytes, (done) => told(sent + done, total));
    sent += bytes.length;
  }
  return files.reduce((sum, { size }) => sum + size, 0) / LEAST_VERIFIED_BYTES_PER_MS;
}

function notPermitted(host: string, user: string, reason: string): EbpfError {
  return new EbpfError(
    "permission",
    `start the agent as root from login ${user}: ${reason}`,
    { needed: "root" },
    { host, remedy: `log in as root, or let ${user} run \`sudo -n\` (NOPASSWD in sudoers)` },
  );
}

function diskAdvice(delivering: boolean): string {
  return delivering
    ? `make sure that ${AGENT_ROOT} can be written, has room and is not mounted noexec`
    : "make sure that the login has a POSIX shell `sh` and runs commands";
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
