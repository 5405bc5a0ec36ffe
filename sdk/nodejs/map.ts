import type * as pulumi from "@pulumi/pulumi";
import type { DeclaredType } from "../../provider/btf/declared";
import { typeText } from "../../provider/btf/type-text";
import type { LoadedMap } from "../../provider/resources/loaded-map";
import type { CheckedShape, MapFlag, MapType } from "../../provider/resources/map-shape";
import { type ConnectionArgs, given, isObject, plainOrApply, protectCredentials } from "./connection";
import { type Fleet, protectFleet } from "./fleet";
import { makeRef, type MapRef } from "./references";
import { type CommonArgs, type LookupArgs, Resource } from "./resource";

/** When the shape of a map with contents changes. */
export type MapDataPolicy = "fail" | "migrate" | "replace";

/** Type, key, value and size of a map. */
export interface MapShapeArgs {
  /** The kernel's type in lower case. Example: `"lru_hash"`. */
  type: pulumi.Input<MapType>;
  /**
   * Type of the keys: `"u32"`, `"ipv4"`, `"cidr6"`, `"bytes:16"`, or a struct as an object, in the order of its
   * members. Default: u32 where the kernel's keys are indexes. Example: `{ addr: "ipv4", port: "be16" }`.
   */
  key?: DeclaredType;
  /** Type of the values; of one CPU's for per-CPU maps. Example: `{ packets: "u64", bytes: "u64" }`. */
  value?: DeclaredType;
  /** Most entries; bytes for ring buffers, pages for an arena. No default but for storages. Example: `1024`. */
  maxEntries?: pulumi.Input<number>;
  /**
   * Flags of bpf(2) in lower case, without BPF_F_. `no_prealloc` is set by itself where it must be. Default: none.
   * Example: `["rdonly_prog"]`.
   */
  flags?: pulumi.Input<pulumi.Input<MapFlag>[]>;
}

export interface MapArgs extends Omit<MapShapeArgs, "type">, CommonArgs {
  /** How the host is reached. Default: the provider's connection, or `ebpf:connection` of the configuration. */
  connection?: pulumi.Input<ConnectionArgs>;
  /** Many hosts in place of one, by `fleet()`. */
  hosts?: pulumi.Input<Fleet>;
  /** The kernel's type in lower case. Needed unless `btf` says it. Example: `"lru_hash"`. */
  type?: pulumi.Input<MapType>;
  /** NUMA node whose memory the map takes. Default: any. */
  numaNode?: pulumi.Input<number>;
  /** `map_extra` of bpf(2): hash functions of a bloom_filter, address of an arena. Default: the kernel's. */
  mapExtra?: pulumi.Input<number | string>;
  /** Shape of the inner maps of array_of_maps and hash_of_maps. */
  inner?: MapShapeArgs;
  /**
   * Takes type, key, value, size and flags from a map of an object; the others win over it.
   * Example: `{ source: "./counter.bpf.o", map: "sessions" }`.
   */
  btf?: {
    /** Path of an ELF object or of C. */
    source: pulumi.Input<string | pulumi.asset.FileAsset>;
    /** Name of a map that it defines. */
    map: pulumi.Input<string>;
  };
  /**
   * When the shape of a map with contents changes: `fail` refuses, `migrate` copies what can be copied, `replace`
   * starts empty. Default `"fail"`.
   */
  mapDataPolicy?: pulumi.Input<MapDataPolicy>;
}

/**
 * A map of its own on one host. Programs share it by `maps: { <name in the object>: map }`; it outlives them.
 *
 * ```ts
 * const sessions = new ebpf.Map("sessions", {
 *   connection,
 *   type: "lru_hash",
 *   key: "u32",
 *   value: { packets: "u64", bytes: "u64" },
 *   maxEntries: 1_000_000,
 * });
 * ```
 */
export class Map extends Resource {
  /** @internal */
  readonly __ebpfKind = "Map";

  /** The map as it is created, defaults filled in; known in preview. */
  declare readonly shape: pulumi.Output<CheckedShape & { name: string }>;
  /** The map in the kernel: id, pin. Of a fleet: what all hosts have alike. */
  declare readonly status: pulumi.Output<LoadedMap>;

  constructor(name: string, args: MapArgs, options: pulumi.CustomResourceOptions = {}) {
    const { connection, hosts, inner, ...rest } = given(args);
    const shape = {
      ...withTypeTexts(rest),
      ...(inner === undefined ? {} : { inner: plainOrApply(inner, withTypeTexts) }),
    };
    const inputs = {
      ...shape,
      connection: connection && protectCredentials(connection),
      hosts: hosts && protectFleet(hosts),
    };
    super("Map", name, inputs, ["shape", "status"], options);
  }

  /**
   * A Map that this program does not manage, by its Pulumi id (`<host>/<project>/<stack>/Map/<name>`). Plugin mode
   * only. Fails when the host has none of it.
   */
  static get(
    name: string,
    id: pulumi.Input<pulumi.ID>,
    state: LookupArgs = {},
    options: pulumi.CustomResourceOptions = {},
  ): Map {
    return new Map(name, state as MapArgs, { ...options, id });
  }

  /** Whether a value is a Map, also one of another copy of this package. */
  static override isInstance(value: unknown): value is Map {
    return (value as Partial<Map> | undefined)?.__ebpfKind === "Map";
  }

  /** What `map:` takes; to export for another stack. */
  get ref(): pulumi.Output<MapRef> {
    const { connection, hosts, specId, shape: parts } = this;
    return makeRef<CheckedShape & { name: string }, MapRef>({ connection, hosts, specId, parts }, (shape) => {
      const { name, type, keySize, valueSize, maxEntries, keyLayout, valueLayout } = shape;
      const layouts = {
        ...(keyLayout === undefined ? {} : { keyLayout }),
        ...(valueLayout === undefined ? {} : { valueLayout }),
      };
      return { map: name, type, keySize, valueSize, maxEntries, ...layouts };
    });
  }
}

/** The engine sorts the keys of an object, and with them the members of a struct: text keeps their order. */
function withTypeTexts<T extends { key?: DeclaredType; value?: DeclaredType }>(shape: T): T {
  const texts: { key?: DeclaredType; value?: DeclaredType } = {};
  for (const part of ["key", "value"] as const) {
    const declared = shape[part];
    if (declared !== undefined) texts[part] = isObject(declared) ? typeText(declared) : declared;
  }
  return { ...shape, ...texts };
}
