/**
 * The compiler: all policies of one interface in, the cells of one generation out. Given the generation before, it
 * leaves in place what did not change, so that `changedCells` is short.
 *
 * Rules fall into four layers, and the strongest answer of the four decides: *narrow* (peers and services), *wide*
 * (the same, with peers that hold in many address classes: apart, since their services would be repeated in the rows
 * of all of these), *only* peers, and *everyone* (any peer). An address class has one row in each of the first two
 * layers; a row holds where in the 24 bits of a service the decision changes. Equal rows are stored once.
 */
import { EbpfError } from "../errors";
import { addressClasses, type AddressClasses, type Cuts } from "./address-classes";
import type { AppliedPeer, AppliedPolicy } from "./applied";
import {
  Arena,
  CELL_WORDS,
  DENY,
  FLAG,
  FORMAT,
  HAS_SERVICE,
  HEADER,
  RECORD,
  RECORD_WORDS,
  type Region,
  SET,
  TABLE_CELLS,
} from "./cells";
import { ClassNumbers } from "./class-numbers";
import { type OrderedRule, ordered, type Places } from "./order";
import { rangesOf } from "./ranges";
import { ALL_SERVICES, rowOf, type RowRule, serviceRanges, type ServiceRanges } from "./services";
import { TrieBuilder } from "./trie";

export interface Generation {
  number: bigint;
  cells: Uint32Array;
  rules: OrderedRule[];
  layout: Layout;
}

/** Where things lie; plain JSON for the Record. */
export interface Layout {
  places: Places;
  live: number;
  regions: Record<string, Region>;
}

export interface CompileOptions {
  /** Never used before on the host. */
  number: bigint;
  before?: Pick<Generation, "cells" | "layout">;
  /** Most cells of 64 bytes. Default 1,048,576 (64 MiB). */
  limit?: number;
}

/** Classes where a peer set may hold before its rules move to the wide layer. */
const NARROW_CLASSES = 64;
/** Cuts from which a table of the first 16 bits pays. */
const TABLE_CUTS = 1024;
const FIXED_CELLS = 5;
/** Cells that nothing uses any more are kept up to half of those in use; then all are laid out anew. */
const WASTE = 1.5;

export function compile(policies: readonly AppliedPolicy[], options: CompileOptions): Generation {
  const generation = layOut(policies, options, options.before);
  if (generation.cells.length / CELL_WORDS <= generation.layout.live * WASTE + 1024) return generation;
  return layOut(policies, options, undefined);
}

function layOut(
  policies: readonly AppliedPolicy[],
  { number, before: known, limit = 2 ** 20 }: CompileOptions,
  before: CompileOptions["before"],
): Generation {
  const { rules, places } = ordered(policies, known?.layout.places);
  const arena = new Arena(before, FIXED_CELLS);
  const layout: Layout = { places, live: 0, regions: {} };
  const region = (name: string, words: number) =>
    (layout.regions[name] = arena.region(before?.layout.regions[name], words)).cell;

  const slots = rules.reduce((most, { slot }) => Math.max(most, slot + 1), 0);
  const labels = region("labels", slots);
  for (const { slot, label } of rules) arena.words[labels * CELL_WORDS + slot] = label;

  const enforced = policies.filter(({ mode }) => mode === "enforce");
  let flags = 0;
  if (enforced.some(({ infrastructure }) => !infrastructure)) flags |= FLAG.notExempt;
  if (enforced.some(({ established }) => established === "keep")) flags |= FLAG.keep;
  (["ingress", "egress"] as const).forEach((direction, egress) => {
    for (const { mode, [direction]: list } of policies) {
      if (list !== undefined) flags |= (mode === "enforce" ? FLAG.named : FLAG.audited) << egress;
    }
    (["enforce", "audit"] as const).forEach((view, audit) => {
      const own = rules.filter(({ id, mode }) => id.direction === direction && mode === view);
      if (own.length === 0) return;
      const set = 1 + 2 * egress + audit;
      arena.words[HEADER.sets + 2 * egress + audit] = set;
      new RuleSet(arena, set, own, before?.cells, limit, (name, words) =>
        region(`${set} ${name}`, words),
      ).build();
    });
  });
  arena.words[HEADER.format] = FORMAT;
  arena.words[HEADER.cells] = arena.top;
  arena.words[HEADER.generationLow] = Number(number & 0xffffffffn);
  arena.words[HEADER.generationHigh] = Number(number >> 32n);
  arena.words[HEADER.flags] = flags;
  arena.words[HEADER.labels] = labels;
  arena.words[HEADER.slots] = slots;
  layout.live = arena.live;
  if (arena.top > limit) throw tooLarge(arena.top, limit, []);
  return { number, cells: arena.finish(), rules, layout };
}

/** A rule with its peers and ports as numbers of distinct ones. */
interface NumberedRule {
  value: number;
  rank: number;
  rule: OrderedRule;
  /** -1: every address. */
  peers: number;
  /** undefined: every service. */
  services: ServiceRanges | undefined;
}

class RuleSet {
  private readonly peerSets: (readonly AppliedPeer[])[] = [];
  private readonly rules: NumberedRule[];
  /** By rank. */
  private readonly values: number[];
  private readonly rankOf = new Map<number, number>([[0, Infinity]]);
  private readonly old: Uint32Array | undefined;

  constructor(
    private readonly arena: Arena,
    private readonly set: number,
    rules: readonly OrderedRule[],
    before: Uint32Array | undefined,
    private readonly limit: number,
    private readonly region: (name: string, words: number) => number,
  ) {
    // a set that the generation before did not have has nothing to inherit
    this.old = before !== undefined && before[HEADER.sets + set - 1] !== 0 ? before : undefined;
    const peers = new Numbers<readonly AppliedPeer[]>(peersKey, this.peerSets);
    const services = new Map<string, ServiceRanges>();
    this.rules = rules.map((rule, rank) => {
      const { ports } = rule.rule;
      return {
        rule,
        rank,
        value: (rule.slot + 1) | (rule.rule.action === "deny" ? DENY : 0),
        peers: rule.rule.peers === undefined ? -1 : peers.of(rule.rule.peers),
        services:
          ports === undefined
            ? undefined
            : memoized(services, JSON.stringify(ports), () => serviceRanges(ports)),
      };
    });
    this.values = this.rules.map(({ value }) => value);
    this.rules.forEach(({ value, rank }) => this.rankOf.set(value, rank));
  }

  build(): void {
    const { arena, set } = this;
    const classes = addressClasses(
      this.peerSets.map((peers) => ({ ipv4: rangesOf(peers, 1), ipv6: rangesOf(peers, 4) })),
    );
    const layers = this.layers(classes);
    const ids = new ClassNumbers(classes, this.old, set).numbers();
    const highest = ids.reduce((most, id) => Math.max(most, id), 0);
    const records = this.region("records", (highest + 1) * RECORD_WORDS);
    const oldRecords = this.old?.[set * CELL_WORDS + SET.records];
    const at = set * CELL_WORDS;

    const everyone = this.rules.filter(({ peers }) => peers < 0);
    const root = this.row(everyone, this.old?.[at + SET.everyone] ?? 0);
    const built = { narrow: new Map<string, number>(), wide: new Map<string, number>() };
    const oldIds = this.oldClasses();
    classes.members.forEach((members, number) => {
      const id = ids[number]!;
      const record = records * CELL_WORDS + id * RECORD_WORDS;
      for (const layer of ["narrow", "wide"] as const) {
        const sets = members.filter((peers) => layers[layer].has(peers));
        const rules = sets.flatMap((peers) => layers[layer].get(peers)!);
        const service = layer === "narrow" ? oneService(rules) : undefined;
        if (service !== undefined) {
          arena.words[record + RECORD.narrow] = this.values[Math.min(...rules.map(({ rank }) => rank))]!;
          arena.words[record + RECORD.service] = HAS_SERVICE + service;
          continue;
        }
        // of a leaf in its place nothing is inherited
        const inherited =
          oldRecords !== undefined && id < oldIds
            ? this.old![oldRecords * CELL_WORDS + id * RECORD_WORDS + RECORD[layer]]!
            : 0;
        arena.words[record + RECORD[layer]] = memoized(built[layer], sets.join(), () =>
          this.row(rules, inherited),
        );
      }
      const strongest = members.reduce(
        (least, peers) => Math.min(least, layers.only.get(peers) ?? Infinity),
        Infinity,
      );
      arena.words[record + RECORD.only] = strongest === Infinity ? 0 : this.values[strongest]!;
    });

    this.addresses(classes.ipv4, ids, "table4", SET.root4, SET.table4);
    this.addresses(classes.ipv6, ids, "table6", SET.root6, SET.table6);
    arena.words[at + SET.everyone] = root;
    arena.words[at + SET.records] = records;
    arena.words[at + SET.classes] = highest + 1;
  }

  /** Rules with peers, by layer and peer set; of `only` the strongest rank. Refuses what would grow too large. */
  private layers(classes: AddressClasses) {
    const coverage = new Uint32Array(this.peerSets.length);
    for (const members of classes.members) for (const peers of members) coverage[peers]!++;
    const layers = {
      narrow: new Map<number, NumberedRule[]>(),
      wide: new Map<number, NumberedRule[]>(),
      only: new Map<number, number>(),
    };
    for (const rule of this.rules) {
      const { peers, services, rank } = rule;
      if (peers < 0) continue;
      if (services === undefined) layers.only.set(peers, Math.min(rank, layers.only.get(peers) ?? Infinity));
      else
        memoized(coverage[peers]! > NARROW_CLASSES ? layers.wide : layers.narrow, peers, () => []).push(rule);
    }
    this.estimate(classes, layers);
    return layers;
  }

  /** Cells of all rows, before one is built: a row has about one for each place where its decision changes. */
  private estimate(
    classes: AddressClasses,
    layers: Record<"narrow" | "wide", Map<number, NumberedRule[]>>,
  ): void {
    let total = 0;
    const share = new Map<NumberedRule, number>();
    for (const layer of [layers.narrow, layers.wide]) {
      const rows = new Set<string>();
      for (const members of classes.members) {
        const sets = members.filter((peers) => layer.has(peers));
        const key = sets.join();
        if (rows.has(key)) continue;
        rows.add(key);
        for (const peers of sets) {
          for (const rule of layer.get(peers)!) {
            const cells = rule.services!.length;
            total += cells;
            share.set(rule, (share.get(rule) ?? 0) + cells);
          }
        }
      }
    }
    if (total <= this.limit) return;
    const largest = [...share].sort(([, a], [, b]) => b - a).slice(0, 5);
    throw tooLarge(
      total,
      this.limit,
      largest.map(([{ rule }]) => rule),
    );
  }

  private row(rules: readonly NumberedRule[], old: number): number {
    if (rules.length === 0) return 0;
    const { starts, ranks } = rowOf(
      rules.map(({ rank, services = ALL_SERVICES }): RowRule => ({ rank, services })),
    );
    const keys = {
      words: 1 as const,
      bytes: 3,
      starts: Uint32Array.from(starts, (start) => start << 8),
      payloads: Uint32Array.from(ranks, (rank) => (rank < 0 ? 0 : this.values[rank]!)),
      count: starts.length,
    };
    return new TrieBuilder(this.arena, this.old ?? NONE, keys, (value) => this.rankOf.get(value)!).root(
      this.old === undefined ? 0 : old,
    );
  }

  private addresses(cuts: Cuts, ids: Uint32Array, name: string, rootWord: number, tableWord: number): void {
    const { arena, old, set } = this;
    const at = set * CELL_WORDS;
    const keys = { ...cuts, bytes: cuts.words * 4, payloads: cuts.classes.map((number) => ids[number]!) };
    const builder = new TrieBuilder(arena, old ?? NONE, keys);
    const oldTable = old?.[at + tableWord] ?? 0;
    if (cuts.count < TABLE_CUTS) {
      arena.words[at + rootWord] = builder.root(oldTable === 0 ? (old?.[at + rootWord] ?? 0) : 0);
      return;
    }
    const table = this.region(name, TABLE_CELLS * CELL_WORDS);
    builder.table(table, (index) => (oldTable === 0 ? 0 : old![oldTable * CELL_WORDS + index]!));
    arena.words[at + tableWord] = table;
  }

  private oldClasses(): number {
    return this.old?.[this.set * CELL_WORDS + SET.classes] ?? 0;
  }
}

/** The service that all of these rules are about, if it is one. */
function oneService(rules: readonly NumberedRule[]): number | undefined {
  const service = rules[0]?.services?.[0]?.[0];
  const only = ({ services }: NumberedRule) =>
    services?.length === 1 && services[0]![0] === service && services[0]![1] === service;
  return service !== undefined && rules.every(only) ? service : undefined;
}

const NONE = new Uint32Array(0);

/** Distinct things by a key of theirs, in the order of their first use. */
class Numbers<T> {
  private readonly known = new Map<string, number>();

  constructor(
    private readonly key: (thing: T) => string,
    private readonly things: T[],
  ) {}

  of(thing: T): number {
    return memoized(this.known, this.key(thing), () => this.things.push(thing) - 1);
  }
}

/** Long lists are the same if they are the same array: reading a million networks for a key costs too much. */
const longLists = new WeakMap<readonly string[], number>();
let longListCount = 0;

function peersKey(peers: readonly AppliedPeer[]): string {
  const listKey = (cidrs: readonly string[]) => {
    if (cidrs.length <= 16) return cidrs.join();
    if (!longLists.has(cidrs)) longLists.set(cidrs, longListCount++);
    return `#${longLists.get(cidrs)}`;
  };
  return peers.map(({ cidrs, except = [] }) => `${listKey(cidrs)}-${listKey(except)}`).join(" ");
}

function memoized<Key, Value>(known: Map<Key, Value>, key: Key, make: () => Value): Value {
  const value = known.get(key);
  if (value !== undefined) return value;
  const made = make();
  known.set(key, made);
  return made;
}

function tooLarge(cells: number, limit: number, rules: readonly OrderedRule[]): EbpfError<"limit"> {
  const named = rules.map(({ id }) => `"${id.name}" of ${id.stack} ${id.policy}`);
  const what =
    named.length === 0 ? "" : `; most of them by ${named.join(", ")}, whose peers and ports multiply`;
  return new EbpfError(
    "limit",
    `compile network policy: its tables take ${cells} cells of 64 bytes, and ${limit} are allowed${what}`,
    { resource: "network policy cells", needed: String(cells) },
    {
      remedy:
        "join rules with the same peers, or use fewer port ranges in rules whose peers overlap many others",
    },
  );
}

/** Numbers of the cells that differ; those that only one of the two has count. */
export function changedCells(from: Uint32Array, to: Uint32Array): number[] {
  const changed: number[] = [];
  for (let at = 0; at < Math.max(from.length, to.length); at += CELL_WORDS) {
    for (let word = at; word < at + CELL_WORDS; word++) {
      if (from[word] === to[word]) continue;
      changed.push(at / CELL_WORDS);
      break;
    }
  }
  return changed;
}
