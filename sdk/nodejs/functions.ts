/**
 * Functions: what a host holds, whoever put it there. Each comes twice: `getX` for arguments that are known gives a
 * Promise, `getXOutput` takes Outputs and resources and gives an Output, unknown in a preview as long as what it asks
 * about is not there. They change nothing on hosts, and fail for what does not exist.
 */
import * as pulumi from "@pulumi/pulumi";
import type { Format } from "../../provider/btf/layout";
import type { HostFeatures } from "../../provider/protocol/messages";
import type { AttachedFacts, MapFacts, ProgramFacts } from "../../provider/protocol/queries";
import type { ConnectionArgs } from "./connection";
import { invoke, invokeOutput } from "./invoke";
import { Map as EbpfMap } from "./map";
import { programError } from "./mode";
import { Program } from "./program";
import { type EntrypointRef, type MapRef, splitRef } from "./references";

/** The same with Outputs, at any depth of a connection. */
type Outputs<Args> = {
  [Name in keyof Args]: pulumi.Input<Name extends "connection" ? ConnectionArgs : Args[Name]>;
};

interface HostLookupArgs {
  /** How the host is reached. Default: that of `program` or `map`, the provider's, or `ebpf:connection`. */
  connection?: pulumi.Unwrap<ConnectionArgs>;
}

/** An entrypoint of a Program; its name on the host is enough. */
export type ProgramLookup = Pick<EntrypointRef, "spec" | "entrypoint"> & Partial<EntrypointRef>;

/** A map of a Program or a Map; its name on the host is enough. */
export type MapLookup = Pick<MapRef, "spec" | "map"> & Partial<MapRef>;

export type GetHostFeaturesArgs = HostLookupArgs;
export type GetHostFeaturesOutputArgs = Outputs<GetHostFeaturesArgs>;
/** `cgroup2` and `memoryCgroup` are absent where the host has none. */
export type GetHostFeaturesResult = Omit<HostFeatures, "cgroup2" | "memoryCgroup"> & {
  /** Where cgroup v2 is mounted. */
  cgroup2?: string;
  /** Cgroup that memory of maps is charged to, from Linux 5.11 on. */
  memoryCgroup?: string;
};

/** What a host's kernel can do. */
export function getHostFeatures(
  args: GetHostFeaturesArgs = {},
  options: pulumi.InvokeOptions = {},
): Promise<GetHostFeaturesResult> {
  return invoke("getHostFeatures", args, options);
}

/** What a host's kernel can do. */
export function getHostFeaturesOutput(
  args: GetHostFeaturesOutputArgs = {},
  options: pulumi.InvokeOutputOptions = {},
): pulumi.Output<GetHostFeaturesResult> {
  return invokeOutput("getHostFeatures", args, options);
}

/** Exactly one of `program`, `programId` and `pin`. */
export interface GetProgramArgs extends HostLookupArgs {
  /** An entrypoint of a Program. Example: `filter.entrypoint("xdp_filter")`. */
  program?: ProgramLookup;
  /** The kernel's id. */
  programId?: number;
  /** Path in bpffs. Example: `"/sys/fs/bpf/foreign/prog"`. */
  pin?: string;
}

export interface GetProgramOutputArgs extends Outputs<Omit<GetProgramArgs, "program">> {
  /** An entrypoint of a Program, or a Program that loads only one. */
  program?: Program | pulumi.Input<ProgramLookup>;
}

export type GetProgramResult = ProgramFacts;

/** A program that is loaded on a host, whoever loaded it. */
export function getProgram(
  args: GetProgramArgs,
  options: pulumi.InvokeOptions = {},
): Promise<GetProgramResult> {
  return invoke("getProgram", split(args, "program"), options);
}

/** A program that is loaded on a host, whoever loaded it. */
export function getProgramOutput(
  args: GetProgramOutputArgs,
  options: pulumi.InvokeOutputOptions = {},
): pulumi.Output<GetProgramResult> {
  const { program, ...rest } = args;
  const ref = Program.isInstance(program) ? program.ref : program;
  return invokeOutput("getProgram", { ...lifted<ProgramLookup>(ref, "program"), ...rest }, options);
}

/** Exactly one of `map`, `mapId` and `pin`. */
export interface GetMapArgs extends HostLookupArgs {
  /** A map of a Program, or a Map. Example: `filter.map("blocked")`. */
  map?: MapLookup;
  /** The kernel's id. */
  mapId?: number;
  /** Path in bpffs. Example: `"/sys/fs/bpf/foreign/map"`. */
  pin?: string;
}

export interface GetMapOutputArgs extends Outputs<Omit<GetMapArgs, "map">> {
  /** A Map, or a map of a Program. */
  map?: EbpfMap | pulumi.Input<MapLookup>;
}

export interface GetMapResult extends MapFacts {
  /** Type of the keys in a few words, such as `u32` or `struct flow`. */
  keyType: string;
  /** Type of the values, as `keyType`. */
  valueType: string;
}

/** A map on a host, whoever made it. */
export function getMap(args: GetMapArgs, options: pulumi.InvokeOptions = {}): Promise<GetMapResult> {
  return invoke("getMap", split(args, "map"), options);
}

/** A map on a host, whoever made it. */
export function getMapOutput(
  args: GetMapOutputArgs,
  options: pulumi.InvokeOutputOptions = {},
): pulumi.Output<GetMapResult> {
  return invokeOutput("getMap", liftedMap(args), options);
}

export interface GetMapEntriesArgs extends GetMapArgs {
  /** These entries only; a key that is not there is left out. Of an LPM trie each gives its longest match. */
  keys?: unknown[];
  /** Most entries of one answer, up to 100,000. Default 1000. */
  limit?: number;
  /** Key of the last entry of the page before: this one begins after it. */
  after?: unknown;
  /** How members read as text where C does not say so, as of MapEntries. Default: none. Example: `{ key: "ipv4" }`. */
  formats?: Record<string, Format>;
}

export interface GetMapEntriesOutputArgs
  extends GetMapOutputArgs, Outputs<Omit<GetMapEntriesArgs, keyof GetMapArgs>> {}

export interface GetMapEntriesResult<Key = unknown, Value = unknown> {
  /** In the kernel's order, which is none for hashes. Of a per-CPU map values are `{ perCpu: [...] }`. */
  entries: { key: Key; value: Value }[];
  /** There are more: give the last key as `after`. */
  more: boolean;
  /** The kernel's id of the map. */
  mapId: number;
  /** Some resource declares secret values in the map. */
  secret: boolean;
}

/**
 * Entries of a map as plain JSON of its types: those of the reference, else of the map's BTF, else `0x…`.
 * Fails for a map with secret values, which a Promise could not protect.
 */
export async function getMapEntries<Key = unknown, Value = unknown>(
  args: GetMapEntriesArgs,
  options: pulumi.InvokeOptions = {},
): Promise<GetMapEntriesResult<Key, Value>> {
  const result: GetMapEntriesResult<Key, Value> = await invoke("getMapEntries", split(args, "map"), options);
  if (!result.secret) return result;
  throw programError(
    `map ${result.mapId} holds values that are declared secret: call getMapEntriesOutput, which keeps them so`,
  );
}

/** As getMapEntries; a secret for a map with secret values. */
export function getMapEntriesOutput<Key = unknown, Value = unknown>(
  args: GetMapEntriesOutputArgs,
  options: pulumi.InvokeOutputOptions = {},
): pulumi.Output<GetMapEntriesResult<Key, Value>> {
  return invokeOutput<GetMapEntriesResult<Key, Value>>("getMapEntries", liftedMap(args), options).apply(
    (result) => (result.secret ? pulumi.secret(result) : pulumi.output(result)),
  ) as pulumi.Output<GetMapEntriesResult<Key, Value>>;
}

/** Exactly one of `interface`, `cgroup`, `tracepoint` and `rawTracepoint`. */
export interface GetAttachmentsArgs extends HostLookupArgs {
  /** A network interface: its xdp, tcx and tc. Example: `"eth0"`. */
  interface?: string;
  /** Network namespace that has the interface: a name of `ip netns`, or a path. Default: the host's own. */
  netns?: string;
  /** Directory of a cgroup v2: what is attached to it, not to its parents. */
  cgroup?: string;
  /** `category/name`, as under tracefs `events/`. */
  tracepoint?: string;
  /** Name of the tracepoint, without category. */
  rawTracepoint?: string;
}
export type GetAttachmentsOutputArgs = Outputs<GetAttachmentsArgs>;

export interface GetAttachmentsResult {
  /** Hook by hook, each in the order in which its programs run. */
  attachments: AttachedFacts[];
  /** What could not be looked at, in words. */
  notes: string[];
}

/** The programs on a hook, ours and others'. */
export function getAttachments(
  args: GetAttachmentsArgs,
  options: pulumi.InvokeOptions = {},
): Promise<GetAttachmentsResult> {
  return invoke("getAttachments", args, options);
}

/** The programs on a hook, ours and others'. */
export function getAttachmentsOutput(
  args: GetAttachmentsOutputArgs,
  options: pulumi.InvokeOutputOptions = {},
): pulumi.Output<GetAttachmentsResult> {
  return invokeOutput("getAttachments", args, options);
}

export interface InspectObjectArgs {
  /** Path of an ELF object (.o), or of C (.bpf.c) that clang compiles. Relative to the program. */
  source: string;
  /** Directories for clang's -I. For C only. Default: none. */
  includes?: string[];
  /** Macros for clang's -D. For C only. Default: none. */
  defines?: Record<string, string>;
}
export type InspectObjectOutputArgs = Outputs<InspectObjectArgs>;

export interface InspectObjectResult {
  /** Its name without directories. */
  fileName: string;
  license: string;
  /** Its programs, by name; types in the kernel's spelling in lower case. */
  entrypoints: Record<string, { section: string; type: string; attachType?: string }>;
  /** Maps that it defines, by name. Sizes in bytes. */
  maps: Record<
    string,
    {
      type: string;
      keySize: number;
      valueSize: number;
      maxEntries: number;
      keyType: string;
      valueType: string;
    }
  >;
  /** Its global variables, by name. Sizes in bytes. */
  globals: Record<string, { section: string; type: string; size: number }>;
}

/** What a BPF object file holds. Asks no host. */
export function inspectObject(
  args: InspectObjectArgs,
  options: pulumi.InvokeOptions = {},
): Promise<InspectObjectResult> {
  return invoke("inspectObject", { ...args }, options);
}

/** What a BPF object file holds. Asks no host. */
export function inspectObjectOutput(
  args: InspectObjectOutputArgs,
  options: pulumi.InvokeOutputOptions = {},
): pulumi.Output<InspectObjectResult> {
  return invokeOutput("inspectObject", { ...args }, options);
}

type Located = { connection?: unknown; hosts?: unknown };

/** The way to the host out of a reference; one that is given beside it wins. */
function split<Args extends HostLookupArgs>(args: Args, name: keyof Args & string): pulumi.Inputs {
  const ref = args[name] as Located | undefined;
  if (ref === undefined) return { ...args };
  const { connection, hosts: _hosts, ...part } = ref;
  return { ...(connection === undefined ? {} : { connection }), ...args, [name]: part };
}

/** As `split`; names and ways are no secret, although a reference with a credential is one as a whole. */
function lifted<Ref extends object>(ref: pulumi.Input<Ref> | undefined, name: string): pulumi.Inputs {
  if (ref === undefined) return {};
  const whole = pulumi.unsecret(pulumi.output(ref) as unknown as pulumi.Output<Located>);
  const { part } = splitRef(ref as never);
  return { connection: whole.apply(({ connection }) => connection), [name]: part };
}

function liftedMap({ map, ...rest }: GetMapOutputArgs): pulumi.Inputs {
  return { ...lifted<MapLookup>(EbpfMap.isInstance(map) ? map.ref : map, "map"), ...rest };
}
