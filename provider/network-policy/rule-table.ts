/**
 * All rules of a union by slot. A slot is a rule's place among the counters, kept as long as the rule exists; a label says
 * which of two rules is the stronger, and is kept while no other rule needs its room.
 */
import type { Direction } from "./applied";
import { type ColumnReader, type ColumnWriter, grown } from "./columns";

export const FREE = 0xffffffff;
const LABELS = 2 ** 32;

const COLUMNS = [
  "set",
  "policy",
  "deny",
  "chunk",
  "peers",
  "services",
  "label",
  "nameAt",
  "nameLength",
] as const;

export interface RuleFields {
  /** Number of the rule set. */
  set: number;
  policy: number;
  deny: 0 | 1;
  /** Number of the chunk that it stands in. */
  chunk: number;
  /** Number of its peers in the rule set, + 1; 0: every address. */
  peers: number;
  /** Number of its services in the rule set, + 1; 0: all. */
  services: number;
}

export interface SlotsByPeers {
  starts: Uint32Array;
  slots: Uint32Array;
}

export interface PolicyName {
  stack: string;
  name: string;
}

/** Rule sets: enforced and audited of ingress, then of egress. */
export function directionOf(set: number): Direction {
  return set < 2 ? "ingress" : "egress";
}

export class RuleTable {
  /** Slots in use or free. */
  count = 0;
  set = new Uint32Array(16);
  policy = new Uint32Array(16);
  deny = new Uint32Array(16);
  chunk = new Uint32Array(16);
  peers = new Uint32Array(16);
  services = new Uint32Array(16);
  label = new Uint32Array(16);
  /** Slots from the strongest rule on: denies, then by stack, policy and name. */
  order = new Uint32Array(0);
  private nameAt = new Uint32Array(16);
  private nameLength = new Uint32Array(16);
  private names: Buffer = Buffer.alloc(64);
  private namesEnd = 0;
  /** Freed by this generation: the one before may still count there. */
  private readonly retired = new Set<number>();
  private readonly added: { slot: number; name: string }[] = [];
  private next = 0;

  copy(): RuleTable {
    const copy = new RuleTable();
    for (const column of COLUMNS) copy[column] = this[column].slice();
    copy.names = Buffer.from(this.names);
    copy.order = this.order;
    copy.count = this.count;
    copy.namesEnd = this.namesEnd;
    return copy;
  }

  write(writer: ColumnWriter): void {
    for (const column of COLUMNS) writer.column(this[column].subarray(0, this.count));
    writer.column(this.order);
    writer.column(this.names.subarray(0, this.namesEnd));
  }

  static read(reader: ColumnReader): RuleTable {
    const table = new RuleTable();
    for (const column of COLUMNS) table[column] = reader.column();
    table.order = reader.column();
    table.names = Buffer.from(reader.bytes().buffer);
    table.count = table.set.length;
    table.namesEnd = table.names.length;
    return table;
  }

  has(slot: number): boolean {
    return slot < this.count && this.set[slot] !== FREE;
  }

  name(slot: number): string {
    const at = this.nameAt[slot]!;
    return this.names.toString("utf8", at, at + this.nameLength[slot]!);
  }

  /** A slot for a rule that there was not. */
  add(name: string, fields: RuleFields): number {
    while (this.next < this.count && (this.set[this.next] !== FREE || this.retired.has(this.next)))
      this.next++;
    const slot = this.next++;
    if (slot === this.count) this.count++;
    if (slot >= this.set.length) for (const column of COLUMNS) this[column] = grown(this[column], this.count);
    this.change(slot, fields);
    const most = this.namesEnd + 3 * name.length;
    if (most > this.names.length) this.names = Buffer.concat([this.names], 2 * most);
    const length = this.names.write(name, this.namesEnd);
    this.nameAt[slot] = this.namesEnd;
    this.nameLength[slot] = length;
    this.namesEnd += length;
    this.added.push({ slot, name });
    return slot;
  }

  change(slot: number, fields: RuleFields): void {
    this.set[slot] = fields.set;
    this.policy[slot] = fields.policy;
    this.deny[slot] = fields.deny;
    this.chunk[slot] = fields.chunk;
    this.peers[slot] = fields.peers;
    this.services[slot] = fields.services;
  }

  remove(slot: number): void {
    this.set[slot] = FREE;
    this.retired.add(slot);
  }

  /** Slots of a rule set by their peers: `slots[starts[peers]]` and on, up to the start of the next. */
  byPeers(set: number, peers: number): SlotsByPeers {
    const starts = new Uint32Array(peers + 1);
    for (let slot = 0; slot < this.count; slot++) {
      if (this.set[slot] === set && this.peers[slot] !== 0) starts[this.peers[slot]!]!++;
    }
    for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!;
    const slots = new Uint32Array(starts.at(-1)!);
    const next = starts.slice();
    for (let slot = 0; slot < this.count; slot++) {
      if (this.set[slot] === set && this.peers[slot] !== 0) slots[next[this.peers[slot]! - 1]!++] = slot;
    }
    return { starts, slots };
  }

  /** Slots of rules that were added. */
  get fresh(): number[] {
    return this.added.map(({ slot }) => slot);
  }

  /** Puts added rules in their places and labels them. */
  arrange(policies: readonly (PolicyName | undefined)[]): void {
    if (this.added.length === 0 && this.retired.size === 0) return;
    const kept = this.order.filter((slot) => this.set[slot] !== FREE);
    const compare = (a: number, b: number) =>
      this.deny[b]! - this.deny[a]! ||
      (this.policy[a] === this.policy[b]
        ? 0
        : compareText(policies[this.policy[a]!]!.stack, policies[this.policy[b]!]!.stack) ||
          compareText(policies[this.policy[a]!]!.name, policies[this.policy[b]!]!.name)) ||
      (this.set[a]! >> 1) - (this.set[b]! >> 1);
    this.added.sort((a, b) => compare(a.slot, b.slot) || compareText(a.name, b.name));
    const order = new Uint32Array(kept.length + this.added.length);
    const fresh = new Uint8Array(this.count);
    let from = 0;
    this.added.forEach(({ slot, name }, index) => {
      fresh[slot] = 1;
      let [low, high] = [from, kept.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        const other = kept[middle]!;
        if ((compare(other, slot) || compareText(this.name(other), name)) < 0) low = middle + 1;
        else high = middle;
      }
      order.set(kept.subarray(from, low), from + index);
      order[low + index] = slot;
      from = low;
    });
    order.set(kept.subarray(from), from + this.added.length);
    this.order = order;
    this.relabel(fresh);
  }

  /** Ascending numbers that keep those given; all anew when there is no room between two. */
  private relabel(fresh: Uint8Array): void {
    const { order, label } = this;
    for (let i = 0, last = -1; i < order.length;) {
      let end = i;
      while (end < order.length && fresh[order[end]!] === 1) end++;
      const room = (end < order.length ? label[order[end]!]! : LABELS) - last;
      if (room <= end - i) {
        const step = LABELS / (order.length + 1);
        for (let index = 0; index < order.length; index++)
          label[order[index]!] = Math.floor((index + 1) * step);
        return;
      }
      const step = room / (end - i + 1);
      for (let offset = 1; i < end; i++, offset++) label[order[i]!] = last + Math.floor(step * offset);
      if (end < order.length) last = label[order[end]!]!;
      i = end + 1;
    }
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
