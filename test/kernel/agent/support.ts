/** What the agent's tests share: an agent with directories and a bpffs of its own, Specs, and compiled objects. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Duplex } from "node:stream";
import { buildSync } from "esbuild";
import { Host } from "../../../provider/agent/host";
import { type Roots, intentDirectory, specDirectory } from "../../../provider/agent/layout";
import { type Session, openSession } from "../../../provider/agent/session";
import { EbpfError } from "../../../provider/errors";
import type { Hook } from "../../../provider/protocol/hooks";
import type { ObserveResult, ParamsOf, ResultOf, Verb } from "../../../provider/protocol/messages";
import { type RpcClient, connectRpc } from "../../../provider/protocol/rpc";
import {
  type EntriesChunk,
  type EntriesPart,
  type ObjectPart,
  type Spec,
  digestOf,
} from "../../../provider/protocol/spec";
import type { Status } from "../../../provider/protocol/status";
import { PrivateBpffs } from "../bpf/support";

const compiled = new Map<string, Buffer>();

/** programs/guard.bpf.c with macros: `compileGuard("-DMAX_ENTRIES=4096")`. */
export function compileGuard(...macros: string[]): Buffer {
  const known = compiled.get(macros.join(" "));
  if (known !== undefined) return known;
  const folder = fs.mkdtempSync(path.join(tmpdir(), "pulumi-ebpf-agent-"));
  try {
    const object = path.join(folder, "guard.o");
    const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
    const flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v2", `-I/usr/include/${triplet}`, ...macros];
    execFileSync("clang", [...flags, "-c", "guard.bpf.c", "-o", object], {
      cwd: path.join(__dirname, "programs"),
    });
    const bytes = fs.readFileSync(object);
    compiled.set(macros.join(" "), bytes);
    return bytes;
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

/** A host in the agent's sense: its own bpffs, state and run directory, on this kernel. */
export class TestHost {
  readonly bpffs = new PrivateBpffs();
  private readonly folder = fs.mkdtempSync(path.join(tmpdir(), "pulumi-ebpf-agent-"));
  readonly roots: Roots = {
    bpffs: this.bpffs.path,
    state: path.join(this.folder, "state"),
    run: path.join(this.folder, "run"),
  };
  private readonly sessions: Session[] = [];
  readonly agent = this.open();

  /** Another session in this process; it takes the kernel for one of that release. */
  open(kernel?: string): InProcessAgent {
    const host = new Host(this.roots);
    const session = openSession(kernel === undefined ? host : Object.assign(host, { kernel }));
    this.sessions.push(session);
    return new InProcessAgent(session);
  }

  /** An agent process of its own; `fault` as PULUMI_EBPF_FAULT. */
  spawn(fault?: string): AgentProcess {
    return new AgentProcess(this.roots, fault);
  }

  /** Every file below bpffs. */
  pins(id?: string): string[] {
    const root = id === undefined ? this.roots.bpffs : specDirectory(this.roots, id);
    if (!fs.existsSync(root)) return [];
    return (fs.readdirSync(root, { recursive: true, withFileTypes: true }) as fs.Dirent[])
      .filter((entry) => !entry.isDirectory() && !entry.name.endsWith(".debug"))
      .map((entry) => path.relative(this.roots.bpffs, path.join(entry.parentPath, entry.name)))
      .sort();
  }

  /** Names in records/. */
  records(): string[] {
    const directory = path.join(this.roots.state, "records");
    return fs.existsSync(directory) ? fs.readdirSync(directory).sort() : [];
  }

  intents(): string[] {
    const directory = intentDirectory(this.roots);
    return fs.existsSync(directory) ? fs.readdirSync(directory).sort() : [];
  }

  blobs(): string[] {
    const directory = path.join(this.roots.state, "blobs");
    return fs.existsSync(directory) ? fs.readdirSync(directory).sort() : [];
  }

  async endSessions(): Promise<void> {
    for (const session of this.sessions) await session.close();
  }

  async remove(): Promise<void> {
    await this.endSessions();
    this.bpffs.remove();
    fs.rmSync(this.folder, { recursive: true });
  }

  /** What remove must have left: nothing. */
  assertEmpty(): void {
    // bpffs itself holds maps.debug and progs.debug
    assert.deepEqual(
      fs.readdirSync(this.roots.bpffs).filter((name) => !name.endsWith(".debug")),
      [],
      "pins",
    );
    assert.deepEqual(this.records(), [], "records");
    assert.deepEqual(this.intents(), [], "intents");
    assert.deepEqual(this.blobs(), [], "blobs");
  }
}

/** The verbs by name, in whatever process. */
export abstract class Agent {
  abstract call<V extends Verb>(verb: V, params: ParamsOf<V>): Promise<ResultOf<V>>;

  async put(...blobs: Uint8Array[]): Promise<void> {
    await this.call("blob.put", {
      blobs: Object.fromEntries(blobs.map((bytes) => [digestOf(bytes), bytes])),
    });
  }

  /** Puts what the Spec names, out of the given blobs, then applies it. */
  async deliver(spec: Spec, blobs: Buffer[]): Promise<Status> {
    const named = JSON.stringify(spec);
    const chunks = blobs
      .filter((bytes) => named.includes(digestOf(bytes)))
      .map((bytes) => bytes.toString())
      .join();
    await this.put(
      ...blobs.filter((bytes) => named.includes(digestOf(bytes)) || chunks.includes(digestOf(bytes))),
    );
    return this.apply(spec);
  }

  apply(spec: Spec, incarnation = "one", inputs: unknown = {}): Promise<Status> {
    return this.call("apply", { spec, inputs, incarnation });
  }

  /** `null`: the host holds nothing of it. */
  async look(id: string): Promise<ObserveResult | null> {
    const [answer = null] = await this.call("observe", { ids: [id] });
    if (answer !== null && "error" in answer) throw EbpfError.fromWire(answer.error);
    return answer;
  }

  async observe(id: string): Promise<Status> {
    const result = await this.look(id);
    assert.ok(result, `${id} is gone`);
    return result.status;
  }

  /** `code: message` of each deviation. */
  async drift(id: string): Promise<string[]> {
    return (await this.observe(id)).drift.map(({ code, message }) => `${code}: ${message}`);
  }

  async remove(...ids: string[]): Promise<void> {
    for (const id of ids) await this.call("remove", { id, incarnation: "one" });
  }
}

class InProcessAgent extends Agent {
  constructor(private readonly session: Session) {
    super();
  }

  async call<V extends Verb>(verb: V, params: ParamsOf<V>): Promise<ResultOf<V>> {
    const context = { signal: new AbortController().signal, progress: () => undefined };
    return (await this.session.handlers[verb](params, context)) as ResultOf<V>;
  }
}

const POLICY_PROGRAM = path.join(
  __dirname,
  "../../../dist/provider/modules/network-policy/network-policy.bpf.o",
);
let bundle: Uint8Array | undefined;

/** The agent as one file, as it is delivered, on that host; node starts it in a tenth of the time that tsx takes. */
export function agentBundle({ state }: Roots): string {
  bundle ??= buildSync({
    entryPoints: [path.join(__dirname, "../../../provider/agent/main.ts")],
    bundle: true,
    platform: "node",
    target: "node18",
    external: ["koffi"],
    logLevel: "silent",
    write: false,
  }).outputFiles[0]!.contents;
  const file = path.join(path.dirname(state), "agent.js");
  if (!fs.existsSync(file)) {
    fs.writeFileSync(file, bundle);
    fs.copyFileSync(POLICY_PROGRAM, path.join(path.dirname(file), path.basename(POLICY_PROGRAM)));
  }
  return file;
}

export function agentEnvironment(roots: Roots, fault?: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    // the bundle leaves koffi, which is native, outside
    NODE_PATH: path.join(__dirname, "../../../node_modules"),
    PULUMI_EBPF_BPFFS: roots.bpffs,
    PULUMI_EBPF_STATE: roots.state,
    PULUMI_EBPF_RUN: roots.run,
    ...(fault === undefined ? {} : { PULUMI_EBPF_FAULT: fault }),
  };
}

export class AgentProcess extends Agent {
  readonly child: ChildProcess;
  private readonly rpc: RpcClient;

  constructor(roots: Roots, fault?: string) {
    super();
    this.child = spawn(process.execPath, [agentBundle(roots), "serve"], {
      env: agentEnvironment(roots, fault),
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.rpc = connectRpc(Duplex.from({ readable: this.child.stdout!, writable: this.child.stdin! }));
  }

  call<V extends Verb>(verb: V, params: ParamsOf<V>): Promise<ResultOf<V>> {
    return this.rpc.call(verb, params);
  }

  /** Resolves with the signal that ended it, or null. */
  async end(): Promise<NodeJS.Signals | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.signalCode;
    const ended = new Promise<NodeJS.Signals | null>((resolve) =>
      this.child.once("exit", (_code, signal) => resolve(signal)),
    );
    this.rpc.close();
    return ended;
  }
}

export const programId = "demo/test/Program/guard";
export const mapId = "demo/test/Map/shared";
export const entriesId = "demo/test/MapEntries/rows";
export const linkId = "demo/test/Attachment/link";

const empty = { format: 1, objects: [], maps: [], entries: [], links: [] } as const;

export function emptySpec(id: string): Spec {
  return { ...structuredClone(empty), id } as unknown as Spec;
}

/** `verdict` is a global in .rodata: another value is another program. */
export function programSpec(
  bytes: Buffer,
  changes: Partial<ObjectPart> & { verdict?: number } = {},
  id = programId,
): Spec {
  const { verdict = 2, ...part } = changes;
  const value = Buffer.alloc(4);
  value.writeUInt32LE(verdict);
  return {
    ...emptySpec(id),
    objects: [
      {
        name: "guard",
        blob: digestOf(bytes),
        fileName: "guard.bpf.c",
        entrypoints: ["xdp_guard"],
        globals: [{ name: "verdict", section: ".rodata", offset: 0, bytes: value.toString("base64") }],
        maps: {},
        mapDataPolicy: "fail",
        ...part,
      },
    ],
  };
}

export function linkSpec(hook: Hook, entrypoint = "xdp_guard", id = linkId, program = programId): Spec {
  return { ...emptySpec(id), links: [{ name: "link", program: { spec: program, entrypoint }, hook }] };
}

export interface Rows {
  spec: Spec;
  blobs: Buffer[];
}

/** Rows of u32 → u64, in chunks of `chunkRows`. */
export function entriesSpec(
  rows: [number, number][],
  changes: Partial<EntriesPart> = {},
  id = entriesId,
  chunkRows = 4,
): Rows {
  const keySize = changes.keySize ?? 4;
  const valueSize = changes.valueSize ?? 8;
  const packed = rows.map(([key, value]) => {
    const row = Buffer.alloc(keySize + valueSize);
    row.writeUInt32LE(key, 0);
    row.writeUInt32LE(value, keySize);
    return row;
  });
  const chunks: Buffer[] = [];
  for (let at = 0; at < packed.length; at += chunkRows)
    chunks.push(Buffer.concat(packed.slice(at, at + chunkRows)));
  const manifest: EntriesChunk[] = chunks.map((bytes) => ({
    blob: digestOf(bytes),
    count: bytes.length / (keySize + valueSize),
  }));
  const manifestBytes = Buffer.from(JSON.stringify(manifest));
  const part: EntriesPart = {
    name: "entries",
    map: { spec: programId, map: "list" },
    keySize,
    valueSize,
    mode: "own",
    manifest: digestOf(manifestBytes),
    count: rows.length,
    references: [],
    ...changes,
  };
  return { spec: { ...emptySpec(id), entries: [part] }, blobs: [...chunks, manifestBytes] };
}
