import type * as pulumi from "@pulumi/pulumi";
import type { CheckedObject } from "../../provider/resources/object-info";
import { available } from "../../provider/resources/closest";
import type { ProgramStatus } from "../../provider/protocol/status";
import type { LoadedMap } from "../../provider/resources/loaded-map";
import { type ConnectionArgs, given, plainOrApply, protectCredentials } from "./connection";
import { type Fleet, protectFleet } from "./fleet";
import { Map as EbpfMap, type MapDataPolicy } from "./map";
import { programError } from "./mode";
import { type EntrypointRef, makeRef, type MapRef, splitRef } from "./references";
import { type CommonArgs, type ConfirmArgs, type LookupArgs, Resource } from "./resource";

export interface ProgramArgs extends CommonArgs {
  /** How the host is reached. Default: the provider's connection, or `ebpf:connection` of the configuration. */
  connection?: pulumi.Input<ConnectionArgs>;
  /** Many hosts in place of one, by `fleet()`. */
  hosts?: pulumi.Input<Fleet>;
  /**
   * Path of an ELF object (.o), or of C (.bpf.c) that clang compiles; or a FileAsset of one. Relative to the program.
   * Example: `"./bpf/filter.bpf.c"`.
   */
  source: pulumi.Input<string | pulumi.asset.FileAsset>;
  /** Directories for clang's -I. For C only. Default: none. Example: `["./bpf/include"]`. */
  includes?: pulumi.Input<pulumi.Input<string>[]>;
  /** Macros for clang's -D. For C only. Default: none. Example: `{ MAX_FLOWS: "1024" }`. */
  defines?: pulumi.Input<Record<string, pulumi.Input<string>>>;
  /**
   * Entrypoints (C functions) to load. Default: all but those in a section that begins with `?`.
   * Example: `["xdp_filter"]`.
   */
  load?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Values of global variables by name, as plain JSON of their C types. A change loads the program anew, without a gap.
   * Default: what the source says. Example: `{ sample_rate: 100 }`.
   */
  globals?: pulumi.Input<Record<string, unknown>>;
  /**
   * The object's map name → a map of another resource that stands in for it. Default: all maps are the object's own.
   * Example: `{ sessions }`.
   */
  maps?: Record<string, EbpfMap | pulumi.Input<MapRef>>;
  /**
   * When the shape of a map with contents changes: `fail` refuses, `migrate` copies what can be copied, `replace`
   * starts empty. Default `"fail"`.
   */
  mapDataPolicy?: pulumi.Input<MapDataPolicy>;
  /**
   * A change goes back by itself unless it is confirmed in time over a new TCP connection, which `pulumi up` makes after
   * it. Default: it stays. Example: `{ withinSeconds: 30 }`.
   */
  confirm?: pulumi.Input<ConfirmArgs>;
}

/**
 * One object file on one host: its programs verified and loaded, its maps created, its globals set. Where they run is
 * said by Attachments; rows of maps by MapEntries. A new version takes the place of the old one without a gap.
 *
 * ```ts
 * const filter = new ebpf.Program("filter", {
 *   connection,
 *   source: "./bpf/filter.bpf.c",
 *   globals: { sample_rate: 100 },
 * });
 * new ebpf.Attachment("filter-eth0", { program: filter, xdp: { interface: "eth0" } });
 * export const instructions = filter.entrypoints.apply((e) => e.xdp_filter.verifiedInstructions);
 * ```
 */
export class Program extends Resource {
  /** @internal */
  readonly __ebpfKind = "Program";

  /** What the object file holds; known in preview. */
  declare readonly object: pulumi.Output<CheckedObject>;
  /**
   * The loaded entrypoints by name: kernel id, tag, instructions that the verifier walked, pin. Of a fleet: what all hosts
   * have alike, so no kernel ids.
   */
  declare readonly entrypoints: pulumi.Output<Record<string, ProgramStatus>>;
  /** The loaded maps by name: kernel id, pin. Of a fleet: what all hosts have alike. */
  declare readonly loadedMaps: pulumi.Output<Record<string, LoadedMap>>;
  /**
   * The links of Attachments that its last update swapped to the new programs, in words, as
   * `xdp on eth0 of shop/prod/Attachment/web`. In plugin mode the preview of an update knows those that it will swap.
   * Of a fleet: absent where hosts differ.
   */
  declare readonly swappedLinks: pulumi.Output<string[] | undefined>;

  constructor(name: string, args: ProgramArgs, options: pulumi.CustomResourceOptions = {}) {
    const { connection, hosts, maps, ...rest } = given(args);
    const shared = maps === undefined ? {} : { maps: plainOrApply(maps, mapParts) };
    super(
      "Program",
      name,
      {
        ...rest,
        ...shared,
        connection: connection && protectCredentials(connection),
        hosts: hosts && protectFleet(hosts),
      },
      ["object", "entrypoints", "loadedMaps", "swappedLinks"],
      options,
    );
  }

  /**
   * A Program that this program does not manage, by its Pulumi id (`<host>/<project>/<stack>/Program/<name>`). Plugin mode
   * only. Fails when the host has none of it.
   */
  static get(
    name: string,
    id: pulumi.Input<pulumi.ID>,
    state: LookupArgs = {},
    options: pulumi.CustomResourceOptions = {},
  ): Program {
    return new Program(name, state as ProgramArgs, { ...options, id });
  }

  /** Whether a value is a Program, also one of another copy of this package. */
  static override isInstance(value: unknown): value is Program {
    return (value as Partial<Program> | undefined)?.__ebpfKind === "Program";
  }

  /**
   * One of the loaded entrypoints, for an Attachment. The name may be left out when there is only one.
   * Fails in preview, naming those there are, when the object has none of that name.
   */
  entrypoint(name?: string): pulumi.Output<EntrypointRef> {
    return makeRef<CheckedObject, EntrypointRef>(this.referred, ({ entrypoints, fileName }) => {
      const names = Object.keys(entrypoints);
      const chosen = name ?? (names.length === 1 ? names[0]! : undefined);
      if (chosen === undefined) {
        throw programError(
          `${fileName} loads ${names.length} programs (${names.join(", ")}): choose one by entrypoint()`,
        );
      }
      const found = entrypoints[chosen];
      if (found === undefined) {
        throw programError(
          `${fileName} loads no program "${chosen}"; ${available("programs", chosen, names)}`,
        );
      }
      return { entrypoint: chosen, ...found };
    });
  }

  /**
   * A map that the object defines, for MapEntries or for another Program.
   * Fails in preview, naming those there are, when the object has none of that name.
   */
  map(name: string): pulumi.Output<MapRef> {
    return makeRef<CheckedObject, MapRef>(this.referred, ({ maps, fileName }) => {
      const found = maps[name];
      if (found === undefined) {
        throw programError(`${fileName} has no map "${name}"; ${available("maps", name, Object.keys(maps))}`);
      }
      return { map: name, ...found };
    });
  }

  /** The only entrypoint, to export for another stack's Attachment. */
  get ref(): pulumi.Output<EntrypointRef> {
    return this.entrypoint();
  }

  private get referred() {
    return { connection: this.connection, hosts: this.hosts, specId: this.specId, parts: this.object };
  }
}

function mapParts(maps: NonNullable<ProgramArgs["maps"]>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(maps).map(([name, map]) => [name, splitRef(EbpfMap.isInstance(map) ? map.ref : map).part]),
  );
}
