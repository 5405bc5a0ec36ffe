import * as pulumi from "@pulumi/pulumi";
import type { Format } from "../../provider/btf/layout";
import { given, isObject } from "./connection";
import { Map as EbpfMap } from "./map";
import { type MapRef, splitRef } from "./references";
import { Program } from "./program";
import { type CommonArgs, type ConfirmArgs, type LookupArgs, Resource } from "./resource";

/** One row. */
export interface MapEntry {
  /** Plain JSON of the key's C type: a number, text, or an object of its members. */
  key: unknown;
  /**
   * Plain JSON of the value's C type. Of a per-CPU map: for every CPU alike, or `{ perCpu: [...] }`.
   * Of a map-in-map: a Map; of a prog_array: a Program with one entrypoint, or an entrypoint.
   */
  value: unknown;
}

export interface MapEntriesArgs extends CommonArgs {
  /** A Map, or a map of a Program by `program.map("name")`. */
  map: EbpfMap | pulumi.Input<MapRef>;
  /**
   * The rows. Either these or `file`; they lie in the state: give thousands in a file.
   * Example: `[{ key: { addr: "203.0.113.0", prefixlen: 24 }, value: { action: "DROP" } }]`.
   */
  entries?: pulumi.Input<pulumi.Input<MapEntry>[]>;
  /** Path of a file with the rows, or a FileAsset of one: for millions. Example: `"./feed.csv"`. */
  file?: pulumi.Input<string | pulumi.asset.FileAsset>;
  /**
   * `csv`: columns by the names of members, `key.addr,value.action`. `ndjson`: `{ "key": …, "value": … }` per line.
   * `binary`: packed keys and values as they lie in memory. Default: by the file's ending .csv, .ndjson or .jsonl, .bin.
   */
  format?: pulumi.Input<"csv" | "ndjson" | "binary">;
  /**
   * `own`: only the declared keys are managed. `authoritative`: other keys are removed and are drift. `seed`: as
   * `own`, but written once: what the data plane does with them later is no drift. Default `"own"`.
   */
  mode?: pulumi.Input<"own" | "authoritative" | "seed">;
  /**
   * How members read as text where C does not say so: an address in a plain `__u32`, in network byte order. By path.
   * Default: none. Example: `{ key: "ipv4", "value.peer": "ipv6" }`.
   */
  formats?: pulumi.Input<Record<string, pulumi.Input<Format>>>;
  /**
   * A change goes back by itself unless it is confirmed in time over a new TCP connection, which `pulumi up` makes after
   * it. Default: it stays. Example: `{ withinSeconds: 30 }`.
   */
  confirm?: pulumi.Input<ConfirmArgs>;
}

/**
 * Rows of a map. An update writes what changed and no more. A refresh finds rows that somebody changed.
 *
 * ```ts
 * new ebpf.MapEntries("blocked", {
 *   map: filter.map("blocked"),
 *   entries: [{ key: { addr: "203.0.113.0", prefixlen: 24 }, value: { action: "DROP" } }],
 * });
 * ```
 */
export class MapEntries extends Resource {
  /** @internal */
  readonly __ebpfKind = "MapEntries";

  /** Declared rows, and those that the map held with their declared value when it was last looked at. */
  declare private readonly rows: pulumi.Output<{ count: number; matching: number } | undefined>;

  constructor(name: string, args: MapEntriesArgs, options: pulumi.CustomResourceOptions = {}) {
    const { map, entries, ...rest } = given(args);
    const { connection, hosts, part } = splitRef(EbpfMap.isInstance(map) ? map.ref : map);
    const rows = entries === undefined ? {} : withSecrecy(entries);
    super("MapEntries", name, { ...rest, ...rows, connection, hosts, map: part }, ["rows"], options);
  }

  /**
   * A MapEntries that this program does not manage, by its Pulumi id (`<host>/<project>/<stack>/MapEntries/<name>`). Plugin mode
   * only. Fails when the host has none of it.
   */
  static get(
    name: string,
    id: pulumi.Input<pulumi.ID>,
    state: LookupArgs = {},
    options: pulumi.CustomResourceOptions = {},
  ): MapEntries {
    return new MapEntries(name, state as MapEntriesArgs, { ...options, id });
  }

  /** Declared rows. */
  get count(): pulumi.Output<number> {
    return this.rows.apply((rows) => rows?.count) as pulumi.Output<number>;
  }

  /** Declared rows that the map held with their declared value when it was last looked at. */
  get matching(): pulumi.Output<number> {
    return this.rows.apply((rows) => rows?.matching) as pulumi.Output<number>;
  }
}

/** The provider sees plain values: whether they may stand in messages must be said beside them. */
function withSecrecy(entries: NonNullable<MapEntriesArgs["entries"]>): Record<string, unknown> {
  // a list is lifted row by row, so that one unknown value leaves the others known
  const rows = Array.isArray(entries)
    ? entries.map(lifted)
    : pulumi.output(entries).apply((known) => (Array.isArray(known) ? known.map(lifted) : known));
  return { entries: rows, ...(isPlain(rows) ? {} : { secret: pulumi.isSecret(pulumi.output(rows)) }) };
}

/** Whether nothing in it can be a secret. */
function isPlain(value: unknown): boolean {
  if (!isObject(value)) return true;
  if (pulumi.Output.isInstance(value) || value instanceof Promise) return false;
  return Object.values(value).every(isPlain);
}

/** A resource as a value becomes its reference. */
function lifted(row: pulumi.Input<MapEntry>): pulumi.Input<MapEntry> {
  if (!isObject(row)) return row; // check says what should stand there
  const { value } = row as Partial<MapEntry>;
  if (EbpfMap.isInstance(value)) return { ...(row as MapEntry), value: splitRef(value.ref).part };
  if (Program.isInstance(value)) return { ...(row as MapEntry), value: splitRef(value.ref).part };
  return row;
}
