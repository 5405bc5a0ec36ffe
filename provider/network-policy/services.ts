/**
 * What a packet wants, in 24 bits: protocol, then destination port or ICMP type and code, then 0 for protocols that
 * have neither. A row says, for all of these, which rule decides.
 */
import type { AppliedPort } from "./applied";
import { protocolNumber } from "./protocols";

export const SERVICES = 2 ** 24;

export function serviceOf(protocol: number, service: number): number {
  return protocol * 65536 + service;
}

/** Disjoint ranges, ascending: first, last, first, last. */
export function serviceRanges(ports: readonly AppliedPort[]): Uint32Array {
  if (ports.length === 1) return Uint32Array.of(...rangeOf(ports[0]!));
  const disjoint: number[] = [];
  for (const [first, last] of ports.map(rangeOf).sort(([a], [b]) => a - b)) {
    const top = disjoint.length - 1;
    if (top < 0 || first > disjoint[top]! + 1) disjoint.push(first, last);
    else disjoint[top] = Math.max(disjoint[top]!, last);
  }
  return Uint32Array.from(disjoint);
}

function rangeOf({ protocol, port, endPort = port, type, code }: AppliedPort): [number, number] {
  const base = serviceOf(protocolNumber(protocol), 0);
  if (port !== undefined) return [base + port, base + endPort!];
  if (type === undefined) return [base, base + 65535];
  return [base + type * 256 + (code ?? 0), base + type * 256 + (code ?? 255)];
}

export interface RowRule {
  /** Lower is stronger. */
  label: number;
  value: number;
  /** Absent: all. */
  services?: Uint32Array;
}

/** Where the deciding rule changes: `values[i]` decides from `starts[i]` on, 0 where nothing matches. */
export interface Row {
  starts: number[];
  values: number[];
}

export function rowOf(rules: readonly RowRule[]): Row {
  const row: Row = { starts: [0], values: [0] };
  const add = (start: number, value: number) => {
    if (value === row.values.at(-1) || start >= SERVICES) return;
    if (start === 0) row.values[0] = value;
    else {
      row.starts.push(start);
      row.values.push(value);
    }
  };
  const ranges = rules.flatMap(({ label, value, services = EVERY }) =>
    Array.from({ length: services.length / 2 }, (_, i) => ({
      ...{ label, value, first: services[2 * i]!, last: services[2 * i + 1]! },
    })),
  );
  if (ranges.length === 1) {
    const [{ value, first, last }] = ranges as [Range];
    add(first, value);
    add(last + 1, 0);
    return row;
  }
  ranges.sort((a, b) => a.first - b.first);
  const edges = [...new Set(ranges.flatMap(({ first, last }) => [first, last + 1]))].sort((a, b) => a - b);
  const open = new Heap();
  let next = 0;
  for (const edge of edges) {
    for (; next < ranges.length && ranges[next]!.first === edge; next++) open.push(ranges[next]!);
    while (open.top !== undefined && open.top.last < edge) open.pop();
    add(edge, open.top?.value ?? 0);
  }
  return row;
}

const EVERY = Uint32Array.of(0, SERVICES - 1);

interface Range {
  label: number;
  value: number;
  first: number;
  last: number;
}

/** A binary heap, strongest on top; ranges that are over leave it when they come to the top. */
class Heap {
  private readonly items: Range[] = [];

  get top() {
    return this.items[0];
  }

  push(item: Range): void {
    const { items } = this;
    let at = items.push(item) - 1;
    for (let parent; at > 0 && items[(parent = (at - 1) >> 1)]!.label > item.label; at = parent) {
      items[at] = items[parent]!;
    }
    items[at] = item;
  }

  pop(): void {
    const { items } = this;
    const item = items.pop()!;
    if (items.length === 0) return;
    let at = 0;
    for (let child = 1; child < items.length; child = 2 * at + 1) {
      if (child + 1 < items.length && items[child + 1]!.label < items[child]!.label) child++;
      if (items[child]!.label >= item.label) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = item;
  }
}
