/**
 * References: how one resource names a part of another. Plain data, so that a stack can export one and another stack
 * can use it through a StackReference. Lifted from checked inputs, which a preview knows already.
 */
import * as pulumi from "@pulumi/pulumi";
import type { ShortLayout } from "../../provider/resources/short-layout";
import { type ConnectionArgs, isObject, protectCredentials } from "./connection";
import { type Fleet, protectFleet } from "./fleet";

/** An entrypoint of a Program: what `program:` takes. */
export interface EntrypointRef {
  /** How the host is reached that has it. */
  connection?: pulumi.Unwrap<ConnectionArgs>;
  /** The hosts that have it, of a fleet. */
  hosts?: pulumi.Unwrap<Fleet>;
  /** `[<owner>:]<project>/<stack>/Program/<name>`. */
  spec: string;
  /** Name of the C function. */
  entrypoint: string;
  /** `bpf_prog_type` in lower case. Example: `"sched_cls"`. */
  type: string;
  /** `bpf_attach_type` in lower case, where the ELF section fixes it. Example: `"cgroup_inet4_connect"`. */
  attachType?: string;
}

/** A map of a Program or a Map: what `map:` takes. */
export interface MapRef {
  /** How the host is reached that has it. */
  connection?: pulumi.Unwrap<ConnectionArgs>;
  /** The hosts that have it, of a fleet. */
  hosts?: pulumi.Unwrap<Fleet>;
  /** `[<owner>:]<project>/<stack>/<Kind>/<name>`. */
  spec: string;
  /** Name of the map in the object, or of the Map. */
  map: string;
  /** `bpf_map_type` in lower case. Example: `"lru_hash"`. */
  type: string;
  /** Bytes. */
  keySize: number;
  /** Bytes; of one CPU's value for per-CPU maps. */
  valueSize: number;
  maxEntries: number;
  /** How keys and values are written as JSON; absent for raw bytes. */
  keyLayout?: ShortLayout;
  valueLayout?: ShortLayout;
}

/** Another Attachment, as an anchor of `order`. */
export interface AttachmentRef {
  /** `[<owner>:]<project>/<stack>/Attachment/<name>`. */
  spec: string;
}

/** One of the two. */
interface Located {
  connection?: pulumi.Unwrap<ConnectionArgs>;
  hosts?: pulumi.Unwrap<Fleet>;
}

/** What a reference is made of: Outputs of the resource that it leads to. */
interface Referred<Part> {
  connection: pulumi.Output<pulumi.Unwrap<ConnectionArgs>>;
  hosts: pulumi.Output<pulumi.Unwrap<Fleet>> | undefined;
  specId: pulumi.Output<string>;
  /** Known in preview. */
  parts: pulumi.Output<Part>;
}

/** Which of the two a reference holds, where that is known before its value: no Output is made for the other then. */
const ways = new WeakMap<object, "connection" | "hosts">();

/** As `pulumi.all`, which makes three times as many Outputs: a stack has a reference for every second resource. */
export function makeRef<Part, Ref extends Located>(
  { connection, hosts, specId, parts }: Referred<Part>,
  name: (part: Part) => Omit<Ref, "connection" | "hosts" | "spec">,
): pulumi.Output<Ref> {
  const way = hosts === undefined ? "connection" : "hosts";
  const ref = (hosts ?? (connection as pulumi.Output<unknown>)).apply((value) =>
    specId.apply((spec) =>
      (parts as pulumi.Output<unknown>).apply((part) => ({
        [way]: unwrapped(value),
        spec,
        ...name(part as Part),
      })),
    ),
  ) as unknown as pulumi.Output<Ref>;
  ways.set(ref, way);
  return ref;
}

/** sdk/go/common/resource/sig: marks a secret on the wire. */
const SIGNATURE = "4dabf18193072939515e22adb298388d";

/**
 * Of a way that is a secret as a whole and holds one the SDK unwraps the outer only, when the plugin marks the inner:
 * pulumi/sdk/nodejs/runtime/rpc.ts, unwrapRpcSecret. The Output stays a secret.
 */
function unwrapped(way: unknown): unknown {
  const wrapped = way as { [SIGNATURE]?: string; value?: unknown } | null | undefined;
  return wrapped?.[SIGNATURE] === undefined ? way : wrapped.value;
}

/**
 * A reference as inputs, credentials protected. Names are no secret, although an Output that holds a credential is
 * one as a whole: taken out of it they stay readable in previews.
 */
export function splitRef<T extends Located>(
  ref: pulumi.Input<T> | undefined,
): {
  connection?: pulumi.Output<pulumi.Unwrap<ConnectionArgs>>;
  hosts?: pulumi.Output<pulumi.Unwrap<Fleet>>;
  part?: pulumi.Output<Omit<T, "connection" | "hosts">>;
} {
  if (ref === undefined) return {}; // check says that it is needed; `get` has none
  const whole = (pulumi.Output.isInstance(ref) ? ref : pulumi.output(ref)) as pulumi.Output<T>;
  const way = ways.get(ref);
  // what is no reference goes on as it is: check says what should stand there
  const connection = () => whole.apply((value) => value?.connection && protectCredentials(value.connection));
  const hosts = () => whole.apply((value) => value?.hosts && protectFleet(value.hosts as Fleet));
  return {
    ...(way === "hosts" ? {} : { connection: connection() as pulumi.Output<pulumi.Unwrap<ConnectionArgs>> }),
    ...(way === "connection" ? {} : { hosts: hosts() as unknown as pulumi.Output<pulumi.Unwrap<Fleet>> }),
    part: pulumi.unsecret(whole).apply(withoutWay) as unknown as pulumi.Output<
      Omit<T, "connection" | "hosts">
    >,
  };
}

function withoutWay(ref: unknown): unknown {
  if (!isObject(ref) || Array.isArray(ref)) return ref;
  const { connection: _connection, hosts: _hosts, ...part } = ref as Located;
  return part;
}
