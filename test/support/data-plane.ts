/** The data plane in the kernel, run by BPF_PROG_TEST_RUN: it is attached nowhere. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { MapHandle, type ProgramHandle } from "../../provider/bpf";
import { readObject } from "../../provider/btf";
import { createInner } from "../../provider/agent/network-policy/generation";
import { type Entrypoint, LoadedProgram, REASONS } from "../../provider/agent/network-policy/loaded";
import type { Direction } from "../../provider/network-policy/applied";
import { CELL_WORDS } from "../../provider/network-policy/cells";
import type { Generation } from "./compiled-union";
import type { Reason } from "../../provider/network-policy/packet";

/** As `npm run build` makes it, and the package ships it. */
export const OBJECT = path.resolve(
  __dirname,
  "../../dist/provider/modules/network-policy/network-policy.bpf.o",
);

export interface Settings {
  policy_id?: number;
  link_header?: number;
  counter_shards?: number;
  /** 0: no two CPUs count in one shard. */
  shards_shared?: number;
  /** 1 (default): `judge` reads the verdict. */
  explain?: number;
  clock_coarse?: number;
  /** 1: generations may be without connections. */
  untracked?: number;
  /** In ns, in the order of enum timeout. */
  timeouts?: bigint[];
}

/** Of maps that two loads share. */
export type Shared = Partial<Record<"half_open" | "established" | "fragments", MapHandle>>;

export interface Load {
  /** Slots of counters. */
  rules?: number;
  /** Entries of both tables; null: as the object has it. Default 4096. */
  flows?: number | null;
  shared?: Shared;
  /** Path of the object. */
  object?: string;
}

export interface Counted {
  packets: bigint;
  bytes: bigint;
}

const TABLES = ["half_open", "established"] as const;

export class DataPlane implements Disposable {
  /** In ns, in the order of enum timeout. */
  timeouts: readonly bigint[] = [];
  private readonly loaded: LoadedProgram;
  private slot = 0;

  constructor(
    settings: Settings = {},
    { rules = 256, flows = 4096, shared = {}, object: file = OBJECT }: Load = {},
  ) {
    const bytes = readFileSync(file);
    const shards = settings.counter_shards ?? 0;
    const info = readObject(bytes);
    this.loaded = new LoadedProgram({ bytes, info }, { ...settings }, (object) => {
      const { offset, size } = info.globals["timeouts"]!;
      const section = object.map(".rodata").initialValue();
      this.timeouts = Array.from({ length: size / 8 }, (_, at) => section.readBigUInt64LE(offset + 8 * at));
      object.map("rule_counters").setMaxEntries(shards === 0 ? rules : 1);
      object.map("rule_shards").setMaxEntries(Math.max(1, rules * shards));
      if (flows !== null) for (const table of TABLES) object.map(table).setMaxEntries(flows);
      for (const [name, map] of Object.entries(shared)) object.map(name).reuse(map);
    });
  }

  map(name: string): MapHandle {
    return this.loaded.map(name);
  }

  /** Fills the slot that does not judge, and makes it the one that does. */
  install(generation: Generation): void {
    this.slot = 1 - this.slot;
    this.fill(this.slot, generation);
    this.select(this.slot);
  }

  /** @param spare cells to come, as the agent leaves them */
  fill(slot: number, { cells }: Generation, spare = 0): void {
    const count = cells.length / CELL_WORDS;
    using inner = createInner(count + spare);
    const keys = Buffer.from(Uint32Array.from({ length: count }, (_, index) => index).buffer);
    inner.updateBatch(keys, Buffer.from(cells.buffer, cells.byteOffset, cells.byteLength), count);
    this.map("generations").updateReference(u32(slot), inner);
  }

  /** `state` as in struct selector. */
  select(state: number, deadline = 0n): void {
    const selector = Buffer.alloc(16);
    selector.writeBigUInt64LE(deadline);
    selector.writeUInt8(state, 8);
    this.map("selectors").update(u32(0), selector);
  }

  judge(direction: Direction, frame: Buffer, entrypoint: Entrypoint = `judge_${direction}`) {
    const judged = this.loaded.judge(entrypoint, frame);
    const { returnValue } = judged;
    const pass = entrypoint === "judge_xdp" ? returnValue === 2 : returnValue === 0xffffffff;
    if (pass !== (judged.verdict === "allow")) throw new Error("the program returns what it does not report");
    return judged;
  }

  program(entrypoint: Entrypoint): ProgramHandle {
    return this.loaded.programs.get(entrypoint)!;
  }

  /** Packets that a rule's slot counted. */
  hits(slot: number): bigint {
    return this.counted("rule_counters", slot).packets;
  }

  /** Packets with this verdict for this reason. */
  total(reason: Reason, direction: Direction, verdict: "allow" | "deny"): bigint {
    const hook = direction === "ingress" ? 0 : 1;
    return this.counted("totals", (REASONS.indexOf(reason) * 2 + hook) * 2 + (verdict === "allow" ? 1 : 0))
      .packets;
  }

  /** Over all CPUs. */
  counted(map: "rule_counters" | "totals" | "audit_drops", index: number): Counted {
    const values = this.map(map).lookup(u32(index))!;
    const sum = { packets: 0n, bytes: 0n };
    for (let at = 0; at < values.length; at += 16) {
      sum.packets += values.readBigUInt64LE(at);
      sum.bytes += values.readBigUInt64LE(at + 8);
    }
    return sum;
  }

  /** Bytes as the kernel counts them, of `generations` with its two arrays; and what one CPU more would take. */
  memory(except: readonly string[]): { bytes: number; eachCpu: number } {
    const sum = { bytes: 0, eachCpu: 0 };
    for (const [name, map] of this.loaded.maps) {
      if (except.includes(name)) continue;
      sum.bytes += map.memlockBytes();
      const { maxEntries, valueSize } = map.info();
      if (map.perCpu) sum.eachCpu += maxEntries * Math.ceil(valueSize / 8) * 8;
    }
    for (const slot of [0, 1]) {
      using inner = MapHandle.fromId(this.map("generations").lookup(u32(slot))!.readUInt32LE());
      sum.bytes += inner.memlockBytes();
    }
    return sum;
  }

  flows(table: "half_open" | "established"): number {
    let count = 0;
    for (const records of this.map(table).records()) count += records.count;
    return count;
  }

  forget(): void {
    this.loaded.forget();
  }

  /** Makes all connections and fragments as old as if so many seconds had passed without a packet. */
  age(seconds: number): void {
    // offsets in struct flow and struct fragment of network-policy.h; 0 is never
    for (const [name, offsets] of Object.entries({
      half_open: [16, 24],
      established: [16, 24],
      fragments: [0],
    })) {
      const map = this.map(name);
      for (const { keys, values, count } of map.records()) {
        for (const offset of offsets) {
          for (let at = offset; at < values.length; at += map.valueBytes) {
            const seen = values.readBigUInt64LE(at);
            if (seen > 0n) values.writeBigUInt64LE(seen - BigInt(seconds) * 1_000_000_000n, at);
          }
        }
        map.updateBatch(keys, values, count);
      }
    }
  }

  [Symbol.dispose](): void {
    this.loaded[Symbol.dispose]();
  }
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
