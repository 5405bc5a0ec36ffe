/** A generation in the making: what changed since the one before, rule by rule and set by set. */
import { EbpfError, type Problem } from "../errors";
import type { TextChunk } from "../protocol/policy";
import { type AddressSet, difference, type NetworkChunk, parseChunk } from "./address-sets";
import { DIRECTIONS, type Direction } from "./applied";
import { CELL_WORDS, FLAG, FORMAT, HEADER } from "./cells";
import { CellSpace } from "./cell-space";
import { parseRules, peersOf } from "./rule-text";
import { RuleSet, type Update } from "./rule-set";
import { type RuleFields, RuleTable } from "./rule-table";
import { serviceRanges } from "./services";
import type { Ranges, Words } from "./ranges";
import type { UnionInput, UnionOptions, UnionPolicy } from "./union";
import { type KnownPolicy, type KnownSet, type RuleChunk, SELF, type UnionState } from "./union-state";

const LIMIT = 2 ** 21;
const RULE_SETS = 4;
const FIXED_CELLS = 1 + RULE_SETS;

/** A chunk of rules that the generation before did not have. */
interface NewChunk {
  blob: string;
  number: number;
  policy: UnionPolicy;
  policyNumber: number;
  direction: Direction;
  /** Of its first rule in the list. */
  index: number;
}

export class Draft {
  private readonly table: RuleTable;
  private readonly space: CellSpace;
  private readonly ruleSets: RuleSet[];
  /** Rule sets that are this generation's own, and not the one's before. */
  private readonly owned = new Set<RuleSet>();
  private readonly policies: (KnownPolicy | undefined)[] = [];
  private readonly sets: (KnownSet | undefined)[] = [];
  private readonly labels: { cell: number; capacity: number };
  private nextChunk: number;
  private readonly newChunks: NewChunk[] = [];
  private readonly goneChunks = new Set<number>();
  private readonly problems: Problem[] = [];
  private readonly limit: number;

  constructor(
    private readonly input: UnionInput,
    private readonly options: UnionOptions,
    private readonly before: UnionState | undefined,
    /** Slots and labels stay; all else is made from nothing. */
    private readonly anew: boolean,
  ) {
    this.limit = options.limit ?? LIMIT;
    this.table = before?.table.copy() ?? new RuleTable();
    this.nextChunk = before?.nextChunk ?? 0;
    const last = anew ? undefined : before;
    this.ruleSets = last === undefined ? newRuleSets() : [...last.ruleSets];
    if (last === undefined) this.ruleSets.forEach((rules) => this.owned.add(rules));
    this.space =
      last === undefined
        ? CellSpace.empty(FIXED_CELLS)
        : new CellSpace(
            last.free.map((list) => [...list]),
            last.cells,
            last.live,
          );
    this.labels = { ...(last?.labels ?? { cell: 0, capacity: 0 }) };
  }

  /** More is unused than used, so that it is time to lay all out anew. */
  get wasteful(): boolean {
    return this.space.top > 2 * this.space.live + 1024;
  }

  compile(): UnionState {
    const { before, table, space, ruleSets } = this;
    this.comparePolicies();
    this.compareSets();
    this.compareRules();
    if (this.problems.length > 0) throw unknownSets(this.problems);
    table.arrange(this.policies);
    const update = this.update();
    ruleSets.forEach((rules, i) => {
      if (rules.contents.changes(update)) this.own(i).update(update);
    });
    this.writeLabels();
    this.writeHeader();
    if (space.top > this.limit && this.anew) throw tooLarge(space.top, this.limit, []);
    const cells = space.finish();
    return {
      ...{ number: this.options.number, cells, free: space.free, live: space.live, table, ruleSets },
      ...{ policies: this.policies, sets: this.sets, labels: this.labels, nextChunk: this.nextChunk },
      changed: before === undefined ? undefined : cells.changedSince(before.cells),
      fresh: table.fresh,
    };
  }

  /** Which chunks are new, and which are gone. */
  private comparePolicies(): void {
    const { before, anew } = this;
    const known = new Map(
      before?.policies.flatMap((policy, number) =>
        policy === undefined ? [] : [[nameOf(policy), { policy, number }] as const],
      ),
    );
    for (const policy of this.input.policies) {
      const { stack, name, mode, sets } = policy;
      const old = known.get(nameOf(policy));
      const number = old?.number ?? this.freeNumber(before?.policies ?? [], this.policies);
      const same =
        !anew && old?.policy.mode === mode && JSON.stringify(old.policy.sets) === JSON.stringify(sets);
      const own: KnownPolicy = { stack, name, mode, sets };
      for (const direction of DIRECTIONS) {
        const chunks = policy[direction];
        if (chunks === undefined) continue;
        const kept = new Map(same ? old.policy[direction] : []);
        let index = 0;
        own[direction] = chunks.map(({ blob, count }): RuleChunk => {
          const chunk = kept.get(blob) ?? this.nextChunk++;
          if (!kept.delete(blob)) {
            this.newChunks.push({ blob, number: chunk, policy, policyNumber: number, direction, index });
          }
          index += count;
          return [blob, chunk];
        });
      }
      this.policies[number] = own;
    }
    const current = new Set(this.policies.flatMap(chunksOf));
    for (const chunk of (before?.policies ?? []).flatMap(chunksOf)) {
      if (!current.has(chunk)) this.goneChunks.add(chunk);
    }
  }

  /** The sets that policies name, and the host's own addresses as another. */
  private compareSets(): void {
    const { before, input } = this;
    const chunks = new Map(
      before?.sets.flatMap((set) => set?.chunks.map((chunk) => [chunk.blob, chunk] as const) ?? []),
    );
    const chunk = (blob: string, text: () => Uint8Array): NetworkChunk => {
      const known = chunks.get(blob) ?? parseChunk(blob, text());
      chunks.set(blob, known);
      return known;
    };
    const add = (key: string, set: AddressSet) => {
      const old = before?.sets.findIndex((known) => known?.key === key) ?? -1;
      this.sets[old < 0 ? this.freeNumber(before?.sets ?? [], this.sets) : old] = { key, chunks: set };
    };
    const self = input.self.map((address) => `${address}/${address.includes(":") ? 128 : 32}\n`).join("");
    add(SELF, [chunk(self, () => Buffer.from(self))]);
    for (const key of new Set(input.policies.flatMap(({ sets }) => Object.values(sets)))) {
      const list = input.sets[key];
      if (list === undefined) continue;
      add(
        key,
        list.map(({ blob }: TextChunk) => chunk(blob, () => this.options.read(blob))),
      );
    }
  }

  private freeNumber(before: readonly unknown[], now: readonly unknown[]): number {
    let number = 0;
    while (before[number] !== undefined || now[number] !== undefined) number++;
    return number;
  }

  private compareRules(): void {
    const { table, anew } = this;
    const gone = new Map<string, number>();
    if (this.goneChunks.size > 0) {
      for (let slot = 0; slot < table.count; slot++) {
        if (table.has(slot) && this.goneChunks.has(table.chunk[slot]!)) gone.set(this.keyOf(slot), slot);
      }
    }
    const numbers = new Map(
      this.sets.flatMap((set, number) => (set === undefined ? [] : [[set.key, number]])),
    );
    for (const chunk of this.newChunks) {
      const { policy, direction, policyNumber } = chunk;
      const set = 2 * DIRECTIONS.indexOf(direction) + (policy.mode === "audit" ? 1 : 0);
      const { contents } = this.own(set);
      parseRules(this.options.read(chunk.blob)).forEach((rule, i) => {
        const deny = rule.action === "deny" ? 1 : 0;
        // of a hundred thousand rules from nothing no names are put together
        const key = gone.size === 0 ? undefined : ruleKey(policyNumber, direction, deny, rule.name);
        const slot = key === undefined ? undefined : gone.get(key);
        const peers = peersOf(rule, (name, at) => {
          const known = name === undefined ? numbers.get(SELF) : numbers.get(policy.sets[name] ?? "");
          if (known === undefined) this.unknownSet(chunk, i, at, name!);
          return known ?? 0;
        });
        const services = rule.ports === undefined ? undefined : serviceRanges(rule.ports);
        let instead = 0;
        if (slot !== undefined) {
          gone.delete(key!);
          if (
            !anew &&
            table.set[slot] === set &&
            contents.has(table.peers[slot]!, table.services[slot]!, peers, services)
          ) {
            table.chunk[slot] = chunk.number;
            return;
          }
          if (!anew) this.own(table.set[slot]!).contents.release(table.peers[slot]!, table.services[slot]!);
          if (table.set[slot] === set) instead = table.peers[slot]!;
        }
        const kept = contents.retain(peers, services, anew ? 0 : instead);
        const fields: RuleFields = {
          set,
          policy: policyNumber,
          deny,
          chunk: chunk.number,
          peers: kept.peers,
          services: kept.services,
        };
        if (slot === undefined) table.add(rule.name, fields);
        else table.change(slot, fields);
      });
    }
    for (const slot of gone.values()) {
      if (!anew) this.own(table.set[slot]!).contents.release(table.peers[slot]!, table.services[slot]!);
      table.remove(slot);
    }
  }

  private keyOf(slot: number): string {
    const { table } = this;
    const direction = DIRECTIONS[table.set[slot]! >> 1]!;
    return ruleKey(table.policy[slot]!, direction, table.deny[slot]!, table.name(slot));
  }

  private unknownSet({ policy, direction, index }: NewChunk, rule: number, peer: number, name: string): void {
    const side = direction === "ingress" ? "from" : "to";
    this.problems.push({
      property: `${direction}[${index + rule}].${side}[${peer}].addressSet`,
      reason: `there is no address set "${name}" for ${policy.stack} ${policy.name}`,
    });
  }

  /** To be changed. */
  private own(set: number): RuleSet {
    const rules = this.ruleSets[set]!;
    if (this.owned.has(rules)) return rules;
    const copy = rules.copy();
    this.owned.add(copy);
    return (this.ruleSets[set] = copy);
  }

  private update(): Update {
    const { before, sets, table, space } = this;
    const old = this.anew ? [] : (before?.sets ?? []).map((set) => set?.chunks);
    const now = sets.map((set) => set?.chunks);
    const known = new Map<string, Ranges | undefined>();
    return {
      ...{ space, table, before: old, sets: now },
      differs: (set: number, words: Words) => {
        const key = `${set} ${words}`;
        if (!known.has(key)) known.set(key, differing(old[set] ?? [], now[set] ?? [], words));
        return known.get(key);
      },
      estimate: (cells, shares) => {
        if (cells <= this.limit) return;
        const largest = [...shares].sort(([, a], [, b]) => b - a).slice(0, 5);
        throw tooLarge(
          cells,
          this.limit,
          largest.map(([slot]) => {
            const { stack, name } = this.policies[table.policy[slot]!]!;
            return `"${table.name(slot)}" of ${stack} ${name}`;
          }),
        );
      },
    };
  }

  private writeLabels(): void {
    const { labels, space, table } = this;
    const cells = Math.max(1, Math.ceil(table.count / CELL_WORDS));
    if (cells > labels.capacity) {
      if (labels.capacity > 0) space.releaseRegion(labels.cell, labels.capacity);
      labels.capacity = cells + (cells >> 3);
      labels.cell = space.region(labels.capacity);
    }
    for (let slot = 0; slot < table.count; slot++) {
      if (table.has(slot)) space.setWord(labels.cell, slot, table.label[slot]!);
    }
  }

  private writeHeader(): void {
    const { space, input, options, table } = this;
    const enforced = input.policies.filter(({ mode }) => mode === "enforce");
    let flags = 0;
    if (enforced.some(({ infrastructure }) => !infrastructure)) flags |= FLAG.notExempt;
    if (enforced.some(({ established }) => established === "keep")) flags |= FLAG.keep;
    if (enforced.some(({ established }) => established === "ignore")) flags |= FLAG.untracked;
    for (const policy of input.policies) {
      DIRECTIONS.forEach((direction, egress) => {
        if (policy[direction] === undefined) return;
        flags |= (policy.mode === "enforce" ? FLAG.named : FLAG.audited) << egress;
      });
    }
    const header = (word: number, value: number) => space.setWord(0, word, value);
    header(HEADER.format, FORMAT);
    header(HEADER.cells, space.top);
    header(HEADER.generationLow, Number(options.number & 0xffffffffn));
    header(HEADER.generationHigh, Number(options.number >> 32n));
    header(HEADER.flags, flags);
    header(HEADER.labels, this.labels.cell);
    header(HEADER.slots, table.count);
    this.ruleSets.forEach((rules, i) => header(HEADER.sets + i, rules.hasRules(table) ? rules.cell : 0));
  }
}

function newRuleSets(): RuleSet[] {
  return Array.from({ length: RULE_SETS }, (_, set) => RuleSet.empty(set + 1));
}

function nameOf({ stack, name }: { stack: string; name: string }): string {
  return JSON.stringify([stack, name]);
}

function ruleKey(policy: number, direction: Direction, deny: number, name: string): string {
  return `${policy} ${direction} ${deny} ${name}`;
}

function chunksOf(policy: KnownPolicy | undefined): number[] {
  return DIRECTIONS.flatMap((direction) => policy?.[direction]?.map(([, number]) => number) ?? []);
}

function differing(before: AddressSet, after: AddressSet, words: Words): Ranges | undefined {
  const same = before.length === after.length && before.every((chunk, i) => chunk === after[i]);
  return same ? undefined : difference(before, after, words);
}

function unknownSets(problems: Problem[]): EbpfError<"invalid"> {
  const text = problems.map(({ property, reason }) => `${property}: ${reason}`).join("; ");
  return new EbpfError("invalid", `compile network policy: ${text}`, {}, { problems });
}

function tooLarge(cells: number, limit: number, rules: readonly string[]): EbpfError<"limit"> {
  const what =
    rules.length === 0 ? "" : `; most of them by ${rules.join(", ")}, whose peers and ports multiply`;
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
