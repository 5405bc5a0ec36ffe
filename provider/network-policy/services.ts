/**
 * What a packet wants, in 24 bits: protocol, then destination port or ICMP type and code, then 0 for protocols that
 * have neither. A row says, for all of these, which rule decides.
 */
import type { AppliedPort } from "./applied";
import { protocolNumber } from "./protocols";

/** Disjoint, ascending `[first, last]`. */
export type ServiceRanges = readonly (readonly [number, number])[];

export const ALL_SERVICES: ServiceRanges = [[0, 0xffffff]];

export function serviceOf(protocol: number, service: number): number {
  return protocol * 65536 + service;
}

export function serviceRanges(ports: readonly AppliedPort[]): ServiceRanges {
  const ranges = ports
    .map(({ protocol, port, endPort = port, type, code }): [number, number] => {
      const base = serviceOf(protocolNumber(protocol), 0);
      if (port !== undefined) return [base + port, base + endPort!];
      if (type === undefined) return [base, base + 65535];
      return [base + type * 256 + (code ?? 0), base + type * 256 + (code ?? 255)];
    })
    .sort(([a], [b]) => a - b);
  const disjoint: [number, number][] = [];
  for (const range of ranges) {
    const top = disjoint.at(-1);
    if (top === undefined || range[0] > top[1] + 1) disjoint.push([...range]);
    else top[1] = Math.max(top[1], range[1]);
  }
  return disjoint;
}

export interface RowRule {
  /** Lower is stronger. */
  rank: number;
  services: ServiceRanges;
}

/** Where the deciding rank changes: `ranks[i]` decides from `starts[i]` on, -1 where nothing matches. */
export interface Row {
  starts: number[];
  ranks: number[];
}

export function rowOf(rules: readonly RowRule[]): Row {
  const ranges = rules
    .flatMap(({ rank, services }) => services.map(([first, last]) => ({ rank, first, last })))
    .sort((a, b) => a.first - b.first);
  const edges = [...new Set(ranges.flatMap(({ first, last }) => [first, last + 1]))].sort((a, b) => a - b);
  const row: Row = { starts: [0], ranks: [-1] };
  const open = new Heap();
  let next = 0;
  for (const edge of edges) {
    if (edge > 0xffffff) break;
    for (; next < ranges.length && ranges[next]!.first === edge; next++) open.push(ranges[next]!);
    while (open.top !== undefined && open.top.last < edge) open.pop();
    const rank = open.top?.rank ?? -1;
    if (rank === row.ranks.at(-1)) continue;
    if (edge === 0) row.ranks[0] = rank;
    else {
      row.starts.push(edge);
      row.ranks.push(rank);
    }
  }
  return row;
}

/** A binary heap, strongest on top; ranges that are over leave it when they come to the top. */
class Heap {
  private readonly items: { rank: number; last: number }[] = [];

  get top() {
    return this.items[0];
  }

  push(item: { rank: number; last: number }): void {
    const { items } = this;
    let at = items.push(item) - 1;
    for (let parent; at > 0 && items[(parent = (at - 1) >> 1)]!.rank > item.rank; at = parent) {
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
      if (child + 1 < items.length && items[child + 1]!.rank < items[child]!.rank) child++;
      if (items[child]!.rank >= item.rank) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = item;
  }
}
