/**
 * The generation of a plane: filled into the slot that does not judge, and switched to by one write of the selector.
 *
 * A slot is filled again only after an RCU grace period, since a packet looks its array up more than once: every
 * update of a map-in-map waits for one (kernel/bpf/syscall.c, maybe_wait_bpf_programs; Linux 5.0), so the array that
 * is there is put there once more. Numbers never come back, so the number in a slot's header says what it holds: it
 * is zero while it is being filled.
 */
import { MapCreateFlag, MapHandle } from "../../bpf";
import { PAGE_CELLS } from "../../network-policy/cell-space";
import { CELL_WORDS, counterIndexes, HEADER } from "../../network-policy/cells";
import type { Cells, CompiledUnion } from "../../network-policy/union";
import { unlessMissing } from "../reconcile/actual";
import type { Handles } from "../reconcile/handles";
import { type Report, inBatches } from "../reconcile/map-contents";
import type { Preparation } from "../reconcile/preparation";
import { type PlanePart, planeOf } from "./plane-spec";
import { type UnionChange, generationBefore } from "./unions";

const CELL_BYTES = CELL_WORDS * 4;
const SLOTS = 2;
const SELECT_CURRENT = 1;
const SELECT_PREVIOUS = 2;
const SELECT_PENDING = 4;

export interface Selector {
  /** Slot that judges; unless `deadline`, which is CLOCK_MONOTONIC in ns, has passed. */
  current: number;
  previous: number;
  pending: boolean;
  deadline: bigint;
}

export function readSelector(selectors: MapHandle): Selector {
  const value = selectors.lookup(key(0))!;
  const state = value.readUInt8(8);
  return {
    current: state & SELECT_CURRENT,
    previous: (state & SELECT_PREVIOUS) / SELECT_PREVIOUS,
    pending: (state & SELECT_PENDING) !== 0,
    deadline: value.readBigUInt64LE(0),
  };
}

/** The slot that packets are judged by at this moment. */
export function judgingSlot({ current, previous, pending, deadline }: Selector): number {
  return pending && process.hrtime.bigint() > deadline ? previous : current;
}

/** The whole change is in one byte. The deadline stays as it is: zero would have passed, as long as `pending` is seen. */
export function select(selectors: MapHandle, slot: number): void {
  writeSelector(selectors, readSelector(selectors).deadline, slot);
}

/** As select, but back to the other slot when the time is over, unless it is confirmed. */
export function selectFor(selectors: MapHandle, slot: number, withinSeconds: number): void {
  const previous = (slot + 1) % SLOTS;
  const deadline = process.hrtime.bigint() + BigInt(withinSeconds) * 1_000_000_000n;
  writeSelector(selectors, deadline, previous);
  writeSelector(selectors, deadline, slot | (previous * SELECT_PREVIOUS) | SELECT_PENDING);
}

export function confirmSelector(selectors: MapHandle): void {
  const { pending, current } = readSelector(selectors);
  if (pending) select(selectors, current);
}

function writeSelector(selectors: MapHandle, deadline: bigint, state: number): void {
  const value = Buffer.alloc(16);
  value.writeBigUInt64LE(deadline);
  value.writeUInt8(state, 8);
  selectors.update(key(0), value);
}

/** Number of the generation in a slot; 0: none, or one that is not whole. */
export function numberIn(generations: MapHandle, slot: number): bigint {
  const inner = openInner(generations, slot);
  if (inner === null) return 0n;
  try {
    const header = inner.lookup(key(0))!;
    return header.readBigUInt64LE(4 * HEADER.generationLow);
  } finally {
    inner.close();
  }
}

export function openInner(generations: MapHandle, slot: number): MapHandle | null {
  const value = generations.lookup(key(slot));
  return value === undefined ? null : unlessMissing(() => MapHandle.fromId(value.readUInt32LE()));
}

/** The map of a plane's Spec that stands in for one of the program's. */
export function planeMap(preparation: Preparation, name: string): MapHandle {
  const { spec } = preparation;
  return preparation.map({ spec: spec.id, map: spec.objects[0]!.maps[name]!.map })!;
}

function isNew({ spec, maps }: Preparation, name: string): boolean {
  const map = maps.get(spec.objects[0]!.maps[name]!.map);
  return map?.kept !== true && map?.previous === undefined;
}

/** Makes the plane's generation ready: in place where nothing judges by these maps yet, else by two actions. */
export async function prepareGeneration(preparation: Preparation): Promise<void> {
  const { spec, steps, words, dry } = preparation;
  const plane = planeOf(spec);
  if (plane === undefined || dry) return;
  carryCounters(preparation, plane);
  const generations = planeMap(preparation, "generations");
  const selectors = planeMap(preparation, "selectors");
  const selector = readSelector(selectors);
  const judging = judgingSlot(selector);
  if (numberIn(generations, judging) === BigInt(plane.number)) return;
  const counters = countersOf(preparation, plane);
  if (isNew(preparation, "generations")) {
    const { union, withinSeconds, open } = preparation.union!();
    // a new map is zero, one that took over what another had counted is not
    if (!isNew(preparation, countersName(plane)))
      await zeroCounters(
        preparation.handles.keep(MapHandle.fromId(counters.mapId)),
        union.fresh,
        counters.perRule,
        preparation.report,
      );
    await fillNew(generations, judging, union, preparation.report);
    // the other slot holds the same, so that the first change, too, writes only what it changes
    await fillNew(generations, (judging + 1) % SLOTS, open ?? union, preparation.report);
    if (withinSeconds !== undefined && open !== undefined) selectFor(selectors, judging, withinSeconds);
    return;
  }
  words.push(`switch ${spec.id} to generation ${plane.number}`);
  const { withinSeconds } = preparation.union!();
  const mapId = selectors.info().id;
  const isWaiting = selector.pending && judging === selector.current;
  // what waits goes back first, since its way back is in the slot that is to be filled
  const from = isWaiting ? selector.previous : judging;
  const to = (from + 1) % SLOTS;
  steps.before.push(
    ...(isWaiting ? [{ type: "switch-generation", mapId, from: to, to: from } as const] : []),
    { type: "fill-generation", mapId: generations.info().id, slot: to, counters },
    {
      ...{ type: "switch-generation", mapId, from, to },
      ...(withinSeconds === undefined ? {} : { withinSeconds }),
    },
  );
}

/** From counters for each CPU to sharded ones: what was counted goes on in the first shard. */
function carryCounters({ record, actual, maps }: Preparation, plane: PlanePart): void {
  const old = actual?.maps.get("rule_counters");
  if (!plane.sharded || old === undefined || planeOf(record!.spec)?.sharded !== false) return;
  const { handle: shards } = maps.get("rule_shards")!;
  const perRule = shards.info().maxEntries / plane.counters;
  for (const { keys, values, count } of old.records()) {
    for (let row = 0; row < count; row++) {
      const perCpu = values.subarray(row * old.valueBytes, (row + 1) * old.valueBytes);
      const [packets, bytes] = [0, 8].map((at) => sumOf(perCpu, at));
      if (packets === 0n) continue;
      const counter = Buffer.alloc(COUNTER_BYTES);
      counter.writeBigUInt64LE(packets!, 0);
      counter.writeBigUInt64LE(bytes!, 8);
      shards.update(key(counterIndexes(keys.readUInt32LE(4 * row), perRule)[0]!), counter);
    }
  }
}

/** struct counter of network-policy.h */
const COUNTER_BYTES = 16;

function sumOf(perCpu: Buffer, offset: number): bigint {
  let sum = 0n;
  for (let at = offset; at < perCpu.length; at += COUNTER_BYTES) sum += perCpu.readBigUInt64LE(at);
  return sum;
}

/** Where fresh slots are zeroed. */
function countersOf(preparation: Preparation, plane: PlanePart) {
  const map = planeMap(preparation, countersName(plane)).info();
  return { mapId: map.id, perRule: plane.sharded ? map.maxEntries / plane.counters : 1 };
}

function countersName({ sharded }: PlanePart): string {
  return sharded ? "rule_shards" : "rule_counters";
}

/** Fills a slot that does not judge. */
export async function fillGeneration(
  handles: Handles,
  action: { mapId: number; slot: number; counters: { mapId: number; perRule: number } },
  change: UnionChange,
  report: Report,
): Promise<void> {
  const { union } = change;
  const generations = handles.keep(MapHandle.fromId(action.mapId));
  const { mapId, perRule } = action.counters;
  await zeroCounters(handles.keep(MapHandle.fromId(mapId)), union.fresh, perRule, report);
  const inner = openInner(generations, action.slot);
  if (inner !== null) handles.keep(inner);
  const cells = union.cells.count;
  const room = inner === null ? 0 : inner.info().maxEntries;
  if (inner === null || room < cells || room > 4 * cells + 1024) {
    return fillNew(generations, action.slot, union, report);
  }
  // the grace period: whoever read this slot before the last switch is done
  generations.updateReference(key(action.slot), inner);
  const lacking = cellsLacking(numberIn(generations, action.slot), change);
  inner.update(key(0), Buffer.alloc(CELL_BYTES));
  await writeCells(inner, union.cells, lacking, report);
  inner.update(key(0), bytesOf(union.cells.at(0, 1)));
}

/** Cells of `union` that a slot with that generation lacks; `undefined`: all of them. */
function cellsLacking(held: bigint, { union, before }: UnionChange): number[] | undefined {
  if (held === 0n || before === null || union.changed === undefined) return undefined;
  if (held === before.number) return [...union.changed];
  if (held !== generationBefore(before) || before.changed === undefined) return undefined;
  return [...new Set([...before.changed, ...union.changed])];
}

/** The array of a generation, for at most so many cells. */
export function createInner(maxEntries: number): MapHandle {
  return MapHandle.create({
    ...{ type: "array", name: "cells", keySize: 4, valueSize: CELL_BYTES, maxEntries },
    flags: MapCreateFlag.BPF_F_INNER_MAP,
  });
}

/** An array of its own size, with an eighth to spare, whole before it is seen. */
async function fillNew(
  generations: MapHandle,
  slot: number,
  union: CompiledUnion,
  report: Report,
): Promise<void> {
  const { count } = union.cells;
  const inner = createInner(count + (count >> 3));
  try {
    await writeCells(inner, union.cells, undefined, report);
    generations.updateReference(key(slot), inner);
  } finally {
    inner.close();
  }
}

/** Without its header, where only some are chosen: that goes last. */
async function writeCells(
  inner: MapHandle,
  from: Cells,
  chosen: readonly number[] | undefined,
  report: Report,
): Promise<void> {
  const doing = "write cells of a network policy";
  if (chosen === undefined) {
    return inBatches(from.count, doing, report, (first, count) => writeRun(inner, from, first, count));
  }
  const cells = chosen.filter((cell) => cell > 0 && cell < from.count);
  await inBatches(cells.length, doing, report, (first, count) => {
    const keys = Uint32Array.from(cells.slice(first, first + count));
    const values = Buffer.allocUnsafe(count * CELL_BYTES);
    keys.forEach((cell, index) => values.set(bytesOf(from.at(cell, 1)), index * CELL_BYTES));
    inner.updateBatch(bytesOf(keys), values, count);
  });
}

/** `count` cells from `first` on, as they lie in their pages: a hundred thousand are not copied before. */
export function writeRun(inner: MapHandle, from: Cells, first: number, count: number): void {
  const keys = new Uint32Array(PAGE_CELLS);
  for (let cell = first, end = first + count; cell < end;) {
    const words = from.at(cell, end - cell);
    const some = words.length / CELL_WORDS;
    for (let index = 0; index < some; index++) keys[index] = cell + index;
    inner.updateBatch(bytesOf(keys.subarray(0, some)), bytesOf(words), some);
    cell += some;
  }
}

async function zeroCounters(
  counters: MapHandle,
  slots: readonly number[],
  perRule: number,
  report: Report,
): Promise<void> {
  await inBatches(slots.length, "zero counters of a network policy", report, (first, some) => {
    const chosen = slots.slice(first, first + some);
    const keys = Uint32Array.from(chosen.flatMap((slot) => counterIndexes(slot, perRule)));
    counters.updateBatch(
      Buffer.from(keys.buffer),
      Buffer.alloc(keys.length * counters.valueBytes),
      keys.length,
    );
  });
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function key(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
