/** A host for tests of the lifecycle: it keeps Records as an agent does, and says what the test wants. */
import { EbpfError } from "../../../provider/errors";
import { createLifecycle, type Lifecycle, readSettings } from "../../../provider/lifecycle";
import type { ApplyParams, ParamsOf, PlanResult, Verb } from "../../../provider/protocol/messages";
import { digestOf } from "../../../provider/protocol/spec";
import type { DriftItem, Status } from "../../../provider/protocol/status";
import { definitions } from "../../../provider/resources";
import { openSources } from "../../../provider/sources";
import type { Connection } from "../../../provider/transport/connection";
import type { AgentSession, OpenOptions } from "../../../provider/transport/session";

export class Host {
  readonly records = new Map<string, ApplyParams>();
  readonly calls: { verb: Verb; params: unknown }[] = [];
  readonly dials: Connection[] = [];
  readonly reports: string[] = [];
  readonly blobs = new Map<string, Uint8Array>();
  drift: DriftItem[] = [];
  /** What an apply with `keepPrevious` found: by Spec, `null` for nothing. */
  readonly previous = new Map<string, ApplyParams | null>();
  /** Dials that were to share no connection. */
  readonly newDials: Connection[] = [];
  /** What an unconfirmed change took the place of, by Spec. */
  readonly unconfirmed = new Map<string, { before: ApplyParams | null }>();
  /** Thrown by a dial that shares no connection. */
  newDialFailure: EbpfError | undefined;
  /** What a command of a health check ends with. */
  exitCode = 0;
  /** Rows of the one map that the host has: u32 → u64. */
  readonly counters = new Map<number, number>();
  kernel = "6.1.0";
  onApply = (): unknown => undefined;
  planned: Partial<PlanResult> = {};
  /** In each Status. */
  swappedLinks: string[] | undefined;
  /** Thrown by the verb, before or after it took effect. */
  failure: { verb: Verb | "dial"; error: EbpfError; after?: boolean } | undefined;

  lifecycle(config: Record<string, string> = {}, environment: NodeJS.ProcessEnv = {}): Lifecycle {
    return createLifecycle({
      definitions,
      openSession: async (connection, options) => this.open(connection, options),
      openSources,
      settings: readSettings((key) => config[key], environment),
      report: (message, severity) =>
        this.reports.push(severity === "warning" ? `warning: ${message}` : message),
    });
  }

  verbs(): Verb[] {
    return this.calls.map(({ verb }) => verb);
  }

  open(connection: Connection, { anew = false }: OpenOptions = {}): AgentSession {
    (anew ? this.newDials : this.dials).push(connection);
    if (anew && this.newDialFailure !== undefined) throw this.newDialFailure;
    if (this.failure?.verb === "dial") throw this.failure.error;
    const hello = {
      protocol: 1,
      agent: "development",
      pid: 1,
      kernel: this.kernel,
      architecture: "x64",
      bootId: "b",
    } as const;
    const call = async (verb: Verb, params: unknown) => {
      this.calls.push({ verb, params });
      const failure = this.failure?.verb === verb ? this.failure : undefined;
      if (failure !== undefined && failure.after !== true) throw failure.error;
      const result = this.answer(verb, params);
      if (failure !== undefined) throw failure.error;
      return result;
    };
    return { host: connection.host, hello, call: call as AgentSession["call"], release: () => undefined };
  }

  private put(blobs: Record<string, Uint8Array>): void {
    for (const [digest, bytes] of Object.entries(blobs)) this.blobs.set(digest, bytes);
  }

  private answer(verb: Verb, params: unknown): unknown {
    switch (verb) {
      case "blob.has":
        return (params as ParamsOf<"blob.has">).digests.filter((digest) => !this.blobs.has(digest));
      case "blob.put":
        this.put((params as ParamsOf<"blob.put">).blobs);
        return null;
      case "blob.get":
        return Object.fromEntries(
          (params as ParamsOf<"blob.get">).digests.map((digest) => [digest, this.blobs.get(digest)!]),
        );
      case "plan":
        return { changes: [], warnings: [], problems: [], programs: {}, swappedLinks: [], ...this.planned };
      case "apply": {
        const { blobs = {}, ...applied } = structuredClone(params as ApplyParams);
        this.put(blobs);
        const before = this.records.get(applied.spec.id) ?? null;
        if (applied.keepPrevious === true) this.previous.set(applied.spec.id, before);
        else this.previous.delete(applied.spec.id);
        this.records.set(applied.spec.id, applied);
        if (applied.confirm !== undefined) this.wait(applied, before);
        this.drift = [];
        this.onApply();
        return this.status(applied);
      }
      case "confirm": {
        const { id, specDigest } = params as ParamsOf<"confirm">;
        const record = this.records.get(id);
        if (record === undefined || digestOf(record.spec) !== specDigest)
          return { confirmed: false, reason: "the host holds another version of it" };
        this.unconfirmed.delete(id);
        return { confirmed: true };
      }
      case "observe": {
        return (params as ParamsOf<"observe">).ids.map((id) => {
          const found = this.records.get(id);
          return found === undefined ? null : { status: this.status(found), inputs: found.inputs };
        });
      }
      case "remove": {
        const { id, incarnation } = params as ParamsOf<"remove">;
        if (this.records.get(id)?.incarnation !== incarnation)
          return { removed: false, reason: "nothing was there" };
        this.records.delete(id);
        return { removed: true };
      }
      case "rollBack": {
        const { id, incarnation, specDigest } = params as ParamsOf<"rollBack">;
        const record = this.records.get(id);
        const previous = this.previous.get(id);
        if (record === undefined || digestOf(record.spec) !== specDigest || previous === undefined)
          return { rolledBack: false, reason: "the host has kept no earlier version of it" };
        this.previous.delete(id);
        if (previous === null) {
          this.records.delete(id);
          return { rolledBack: true };
        }
        const restored = { ...previous, incarnation };
        this.records.set(id, restored);
        return { rolledBack: true, restored: { status: this.status(restored), inputs: restored.inputs } };
      }
      case "run":
        return { exitCode: this.exitCode, timedOut: false, output: "no answer on port 80" };
      case "map.show": {
        const map = { mapId: 1, name: "counters", type: "array", keySize: 4, valueSize: 8, maxEntries: 8 };
        return { map: { ...map, flags: 0, frozen: false, memlockBytes: 0, secret: false } };
      }
      case "entries.read": {
        const [key = ""] = (params as ParamsOf<"entries.read">).keys ?? [];
        const value = this.counters.get(Buffer.from(key, "base64").readUInt32LE());
        const values = Buffer.alloc(value === undefined ? 0 : 8);
        if (value !== undefined) values.writeBigUInt64LE(BigInt(value));
        return {
          keys: Buffer.from(key, "base64"),
          values,
          count: value === undefined ? 0 : 1,
          cpus: 1,
          more: false,
        };
      }
      default:
        throw new Error(`the lifecycle has no business with ${verb}`);
    }
  }

  /** Goes back in time, as an agent's host does. */
  private wait({ spec, confirm }: ApplyParams, before: ApplyParams | null): void {
    const waiting = { before };
    this.unconfirmed.set(spec.id, waiting);
    setTimeout(() => {
      if (this.unconfirmed.get(spec.id) !== waiting) return;
      this.unconfirmed.delete(spec.id);
      if (before === null) this.records.delete(spec.id);
      else this.records.set(spec.id, before);
    }, confirm!.withinSeconds * 1000);
  }

  private status({ spec, incarnation }: ApplyParams): Status {
    const programs = spec.objects.flatMap(({ entrypoints }) => entrypoints);
    const { swappedLinks } = this;
    return {
      ...(swappedLinks === undefined ? {} : { swappedLinks }),
      id: spec.id,
      incarnation,
      revision: 1,
      specDigest: digestOf(spec),
      programs: Object.fromEntries(
        programs.map((name) => [
          name,
          { programId: 7, tag: "t", type: "xdp", verifiedInstructions: 12, jitedBytes: 1, pin: "/p" },
        ]),
      ),
      maps: {},
      entries: {},
      links: {},
      drift: this.drift,
      notes: [],
      ...(this.unconfirmed.has(spec.id) && { revertsAt: "2026-01-01T00:00:00.000Z" }),
    };
  }
}

/** Inputs of an Attachment as the SDK sends them. */
export function attachmentInputs(change: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    connection: { host: "edge-1", user: "deploy" },
    specId: "shop/prod/Attachment/web",
    program: { spec: "shop/prod/Program/filter", entrypoint: "filter", type: "xdp" },
    xdp: { interface: "eth0" },
    ...change,
  };
}

export function lost(): EbpfError {
  return new EbpfError("transport", "wait for the answer: connection closed", { phase: "closed" });
}

export function unreachable(): EbpfError {
  return new EbpfError("transport", "dial edge-1:22: connection refused", { phase: "dial" });
}
