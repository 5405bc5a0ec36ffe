/**
 * ResourceDefinition: one kind of resource. A resource file is such a definition and no more; it does no I/O.
 * provider/lifecycle.ts runs check, diff, create, read, update and delete for all of them.
 */
import * as z from "zod";
import type { EbpfError, Problem } from "../errors";
import type { PlanResult } from "../protocol/messages";
import type { TextContent } from "../protocol/policy";
import type { Spec } from "../protocol/spec";
import type { Status } from "../protocol/status";
import type { Source, SourceRequest } from "../sources/source";
import { type Connection, connectionSchema } from "../transport/connection";
import type { Confirm } from "./confirm";
import { type Fleet, fleetSchema } from "./fleet";

/** What every kind's checked inputs hold besides its own properties. */
export interface CommonInputs {
  /** Of a fleet: absent before it is split into hosts (provider/lifecycle/fleet), and that of one host after. */
  connection: Connection;
  /** In place of a connection. */
  hosts?: Fleet | undefined;
  /** Sent by the SDK at construction, kept from the state ever after. */
  specId: string;
  /** Always empty in inputs; `read` fills it in outputs, so that a difference is drift. */
  drift: string[];
  /** What delete does about a host that does not answer. */
  onUnreachable: "error" | "forget";
  onUnreachableReason?: string | undefined;
  /** Of kinds that have it. */
  confirm?: Confirm | undefined;
}

/** Inputs that say nothing about what the host holds: in no Record, and changed without asking the host. */
export const HOSTLESS_INPUTS = [
  "connection",
  "hosts",
  "onUnreachable",
  "onUnreachableReason",
  "confirm",
] as const;

/** Every kind's schema begins with these: `z.strictObject({ ...commonInputs, … })`. */
export const commonInputs = {
  connection: connectionSchema.meta({
    description:
      "How the host is reached. Default: `ebpf:connection`, or the connection of an explicit provider.",
    needed: false,
  }),
  hosts: fleetSchema.optional().meta({ description: "Many hosts in place of one: `ebpf.fleet({ hosts })`." }),
  specId: z.string().min(1),
  drift: z.array(z.string()),
  onUnreachable: z
    .enum(["error", "forget"])
    .meta({ typeName: "OnUnreachable" })
    .default("error")
    .meta({
      description:
        "When the resource is deleted and its host cannot be reached: `error` fails and names the ways out. `forget` drops " +
        "it from the state with a warning; what runs there stays.",
      example: "forget",
    }),
  onUnreachableReason: z.string().min(1).optional().meta({
    description: "Why it may be forgotten. Stands in the warning, and policies can ask for it.",
    example: "spot instances go without a goodbye",
  }),
};

export const mapDataPolicySchema = z
  .enum(["fail", "migrate", "replace"])
  .meta({ typeName: "MapDataPolicy" })
  .default("fail")
  .meta({
    description:
      "When the shape of a map with contents changes: `fail` refuses, `migrate` copies what can be copied, " +
      "`replace` starts empty.",
    default: "fail",
  });

/** A long list of the inputs that the host keeps in chunks: it is in no Record, and read back from them. */
export interface HeldInput<Checked> {
  /** What holds it. Undefined: it is not given, or not known. */
  content(checked: Partial<Checked>): TextContent | undefined;
  /** The input, from the content's lines. */
  fromLines(lines: string[]): unknown;
}

export interface ResourceDefinition<Args extends CommonInputs = CommonInputs, Checked extends Args = Args> {
  kind: string;
  /** What arrives from the SDK, with `.meta({ description, default, example, secret })` per property. */
  inputs: z.ZodType<Args> & { shape: Record<string, z.core.$ZodType> };
  /** The local files that the inputs name. */
  sources(inputs: Args): SourceRequest[];
  /**
   * Adds all that follows from inputs and files alone (digests, defaults, names and types of an object's parts),
   * so that it is known in preview. Every problem is reported, not the first only. `leftOut`: optional inputs that are
   * missing because they are not known yet.
   */
  resolve(
    inputs: Args,
    sources: Source[],
    leftOut?: ReadonlySet<string>,
  ): { checked: Checked } | { problems: Problem[] };
  compile(checked: Checked): Spec;
  /** Outputs besides the checked inputs. Kernel ids and counters go here; diff ignores them. */
  outputs(checked: Checked, status: Status): Record<string, unknown>;
  /**
   * All outputs, as a preview knows them: UNKNOWN for what only the kernel can say, and for what `resolve` adds where
   * `checked` is undefined, because an input is unknown. `plan` is undefined where no host was asked.
   */
  preview(checked: Checked | undefined, plan: PlanResult | undefined): Record<string, unknown>;
  /**
   * References to the parts of the resource, as inputs of others take them, for languages without our own SDK.
   * UNKNOWN where what they are made of is unknown. Kinds that nobody refers to have none.
   */
  refs?(checked: Partial<Checked>): Record<string, unknown>;
  /** By name. */
  held?: Readonly<Record<string, HeldInput<Checked>>>;
  /** What a preview says of an update, where the paths of what differs do not tell a person. One line each. */
  changes?(olds: Partial<Checked>, news: Partial<Checked>): string[];
  /**
   * The new inputs as diff compares them: a difference that means nothing is taken from the old ones (the blob of
   * a C source whose text is the same, compiled by another clang).
   */
  settle?(olds: Checked, news: Checked): Checked;
  /**
   * What tells one version of the checked inputs from another, where that is not all of them. Takes them without what
   * no host knows.
   */
  version?(checked: Checked): unknown;
  /** The property that an error of the host is about, where the host could not know; undefined: the whole resource. */
  blame?(error: EbpfError, checked: Checked): string | undefined;
  /** Properties, besides the target's host and port, whose change replaces the resource. */
  replaces?(olds: Checked, news: Checked): string[];
}
