/** What is known of a compiled union, in memory and as bytes. */
import { type AddressSet, NetworkChunk } from "./address-sets";
import { Cells, FREE_LISTS, Page } from "./cell-space";
import { RuleSet, type RuleSetScalars } from "./rule-set";
import { directionOf, RuleTable } from "./rule-table";
import {
  ColumnList,
  type Directory,
  type Place,
  type StoredBytes,
  StoredReader,
  StoredWriter,
} from "./stored";
import type { CompiledRule, CompiledUnion } from "./union";

/** Key of the set that is the host's own addresses; Spec ids have slashes. */
export const SELF = "self";

/** A chunk of rules and the number that the rules in it have in the table. */
export type RuleChunk = readonly [blob: string, number: number];

export interface KnownPolicy {
  stack: string;
  name: string;
  mode: "enforce" | "audit";
  sets: Readonly<Record<string, string>>;
  ingress?: readonly RuleChunk[];
  egress?: readonly RuleChunk[];
}

export interface KnownSet {
  key: string;
  chunks: AddressSet;
}

/** All that the next generation is compiled from. */
export interface UnionState {
  number: bigint;
  cells: Cells;
  free: number[][];
  live: number;
  table: RuleTable;
  ruleSets: readonly RuleSet[];
  /** By number. */
  policies: readonly (KnownPolicy | undefined)[];
  sets: readonly (KnownSet | undefined)[];
  labels: { cell: number; capacity: number };
  /** Numbers of chunks of rules from here on are unused. */
  nextChunk: number;
  changed: readonly number[] | undefined;
  fresh: readonly number[];
}

export class Union implements CompiledUnion {
  constructor(readonly state: UnionState) {}

  get number(): bigint {
    return this.state.number;
  }

  get cells(): Cells {
    return this.state.cells;
  }

  get changed(): readonly number[] | undefined {
    return this.state.changed;
  }

  get slots(): number {
    return this.state.table.count;
  }

  get fresh(): readonly number[] {
    return this.state.fresh;
  }

  get usesSelf(): boolean {
    const self = this.state.sets.findIndex((set) => set?.key === SELF);
    return this.state.ruleSets.some((rules) => rules.contents.names(self));
  }

  rule(slot: number): CompiledRule | undefined {
    const { table, policies } = this.state;
    if (!table.has(slot)) return undefined;
    const { stack, name: policy, mode } = policies[table.policy[slot]!]!;
    return {
      id: { stack, policy, direction: directionOf(table.set[slot]!), name: table.name(slot) },
      action: table.deny[slot] === 1 ? "deny" : "allow",
      mode,
    };
  }

  /** Where pages and chunks lie in the file that holds this union. */
  private directory: Directory | undefined;

  /** `since` was written to, or read from, the file. */
  stored(since?: Union): Uint8Array[] {
    if (since === undefined) return this.write(new StoredWriter());
    const list = new ColumnList();
    since.columns(list);
    return this.write(new StoredWriter({ directory: since.directory!, columns: list.columns }), since);
  }

  private write(writer: StoredWriter, since?: Union): Uint8Array[] {
    const { state } = this;
    const ruleSets = this.columns(writer);
    const old = since?.directory?.scalars as StoredScalars | undefined;
    const pages = state.cells.pages.map((page, index) =>
      writer.place(
        page === since?.state.cells.pages[index] ? old?.pages[index] : undefined,
        () => page.words,
      ),
    );
    const known = new Map<NetworkChunk, Place>();
    since?.state.sets.forEach((set, number) =>
      set?.chunks.forEach((chunk, i) => known.set(chunk, old!.sets[number]!.chunks[i]!.place)),
    );
    const { number, policies, labels, nextChunk } = state;
    const scalars: StoredScalars = {
      ...{ number: String(number), count: state.cells.count, pages, live: state.live, ruleSets },
      ...{ policies: policies.map((policy) => policy ?? null), labels, nextChunk },
      sets: state.sets.map((set) =>
        set === undefined
          ? null
          : {
              key: set.key,
              chunks: set.chunks.map((chunk) => {
                const { blob, ipv4, ipv6, bounds } = chunk;
                return { blob, ipv4, ipv6, bounds, place: writer.place(known.get(chunk), () => chunk.words) };
              }),
            },
      ),
      laidOutAnew: state.changed === undefined,
    };
    const { directory, parts } = writer.finish(scalars);
    this.directory = directory;
    return parts;
  }

  private columns(writer: StoredWriter | ColumnList): RuleSetScalars[] {
    const { table, ruleSets, free, changed = [], fresh } = this.state;
    table.write(writer);
    for (const list of free) writer.column(Uint32Array.from(list));
    writer.column(Uint32Array.from(changed));
    writer.column(Uint32Array.from(fresh));
    return ruleSets.map((rules) => rules.write(writer));
  }

  static read(stored: StoredBytes, directory: Directory): Union {
    const reader = new StoredReader(stored, directory);
    const scalars = directory.scalars as StoredScalars;
    const table = RuleTable.read(reader);
    const free = Array.from({ length: FREE_LISTS }, () => [...reader.column()]);
    const [changed, fresh] = [[...reader.column()], [...reader.column()]];
    const pages = scalars.pages.map((place) => new Page(reader.words(place)));
    const union = new Union({
      number: BigInt(scalars.number),
      cells: new Cells(pages, scalars.count),
      ...{ free, live: scalars.live, table, fresh, labels: scalars.labels, nextChunk: scalars.nextChunk },
      ruleSets: scalars.ruleSets.map((known, i) => RuleSet.read(i + 1, reader, known)),
      policies: scalars.policies.map((policy) => policy ?? undefined),
      sets: scalars.sets.map((set) =>
        set === null
          ? undefined
          : {
              key: set.key,
              chunks: set.chunks.map(
                ({ blob, ipv4, ipv6, bounds, place }) =>
                  new NetworkChunk(blob, ipv4, ipv6, bounds, reader.words(place)),
              ),
            },
      ),
      changed: scalars.laidOutAnew ? undefined : changed,
    });
    union.directory = directory;
    return union;
  }
}

/** Of a union, what is not in columns. */
interface StoredScalars {
  number: string;
  count: number;
  pages: Place[];
  live: number;
  ruleSets: RuleSetScalars[];
  policies: (KnownPolicy | null)[];
  sets: ({ key: string; chunks: StoredChunk[] } | null)[];
  labels: { cell: number; capacity: number };
  nextChunk: number;
  laidOutAnew: boolean;
}

interface StoredChunk {
  blob: string;
  ipv4: number;
  ipv6: number;
  bounds: NetworkChunk["bounds"];
  place: Place;
}
