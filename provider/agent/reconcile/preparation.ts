/**
 * What apply and plan know between looking and acting: the wish, what is there, and what was made ready for it.
 * All of it is memory and descriptors; dropping it leaves nothing on the host.
 */
import { type MapHandle, type ProgramHandle } from "../../bpf";
import { EbpfError } from "../../errors";
import type { PlanNote } from "../../protocol/messages";
import type { MapRef, ProgramRef, Spec } from "../../protocol/spec";
import type { Host } from "../host";
import type { GuardContext } from "../network-policy/guard";
import type { PlaneChange } from "../network-policy/next-planes";
import type { UnionChange } from "../network-policy/unions";
import type { MapRecord, ProgramRecord, Record } from "../records";
import type { Action } from "./actions";
import { type Actual, openActual } from "./actual";
import type { PlannedChange } from "./entries";
import type { Handles } from "./handles";
import type { Report } from "./map-contents";
import { openMap, openProgram } from "./resolve";
import type { RowTable } from "./row-table";

export interface NextProgram {
  handle: ProgramHandle;
  record: ProgramRecord;
  /** It runs already; no link need take another program. */
  kept: boolean;
}

export interface NextMap {
  handle: MapHandle;
  record: MapRecord;
  kept: boolean;
  /** The map whose place it takes. */
  previous?: MapHandle;
  /** Takes over the contents of `previous`. */
  migrates?: boolean;
}

export class Preparation {
  readonly programs = new Map<string, NextProgram>();
  readonly maps = new Map<string, NextMap>();
  readonly changes = new Map<string, PlannedChange>();
  readonly snapshots = new Map<string, RowTable>();
  /** Before and after the links switch; after the commit point. */
  readonly steps: { before: Action[]; links: Action[]; after: Action[]; cleanup: Action[] } = {
    before: [],
    links: [],
    after: [],
    cleanup: [],
  };
  readonly links: Record["links"] = {};
  readonly problems: EbpfError[] = [];
  readonly warnings: PlanNote[] = [];
  /** Planes of network policies that follow from the Spec. */
  planes?: PlaneChange;
  /** What apply does, in words. */
  readonly words: string[] = [];
  /** Links of other Specs that take a program of this one, in words. */
  readonly swappedLinks: string[] = [];
  /** What the user learns from apply. */
  readonly notes: string[] = [];
  readonly actual: Actual | null;
  /** The revision that apply makes. */
  revision = 1;

  constructor(
    readonly host: Host,
    readonly handles: Handles,
    readonly spec: Spec,
    readonly record: Record | null,
    /** Looks and loads, but writes nothing, not even into maps of its own. */
    readonly dry: boolean,
    readonly readBlob: (digest: string) => Buffer,
    readonly report: Report,
    /** What a plane of network policies is to judge by. */
    readonly union?: () => UnionChange,
    /** The apply goes back by itself after that, unless it is confirmed. */
    readonly withinSeconds?: number,
    /** Absent: nobody's way in is at stake, as at boot. */
    readonly guard?: GuardContext,
  ) {
    this.actual = record === null ? null : openActual(host, record, handles);
  }

  /** Runs one check or step; its failure is one problem among others. */
  async attempt(work: () => Promise<void> | void): Promise<void> {
    try {
      await work();
    } catch (error) {
      const problem = EbpfError.from(error);
      if (problem.code === "internal") throw error;
      this.problems.push(problem);
    }
  }

  warn(part: string, message: string): void {
    this.warnings.push({ part, message });
  }

  /** `null` while planning: the Spec that it refers to has none yet. */
  program(ref: ProgramRef): ProgramHandle | null {
    if (ref.spec === this.spec.id) return this.programs.get(ref.entrypoint)?.handle ?? null;
    return this.unlessPlanned(() => openProgram(this.host, ref, this.handles).program);
  }

  map(ref: MapRef): MapHandle | null {
    if (ref.spec === this.spec.id) {
      const own = this.maps.get(ref.map);
      if (own !== undefined) return own.handle;
      const shared = this.spec.objects
        .map(({ maps }) => maps[ref.map])
        .find((target) => target !== undefined);
      if (shared !== undefined) return this.map(shared);
      if (this.problems.length > 0) return null;
      throw new EbpfError(
        "not-found",
        `find map "${ref.map}" of ${ref.spec}: it has ${[...this.maps.keys()].join(", ") || "none"}`,
        {
          what: "map",
          name: ref.map,
        },
      );
    }
    return this.unlessPlanned(() => openMap(this.host, ref, this.handles).map);
  }

  /** What another Spec lacks today, its own apply may bring before this one: a new entrypoint, a pin that is gone. */
  private unlessPlanned<T>(open: () => T): T | null {
    try {
      return open();
    } catch (error) {
      if (this.dry && EbpfError.is(error, "not-found")) return null;
      throw error;
    }
  }
}
