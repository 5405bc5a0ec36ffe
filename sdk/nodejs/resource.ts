/** What all resources have in common. */
import * as pulumi from "@pulumi/pulumi";
import { formatSpecId } from "../../provider/protocol/spec-id";
import { mayBePacked, unpacked } from "../../provider/adapters/packed";
import { configuredConnection, type ConnectionArgs, protectCredentials } from "./connection";
import type { Fleet, Target } from "./fleet";
import { currentMode, pluginModeOnly, registrationOf } from "./mode";
import { Provider } from "./provider";
import { omitStackTexts } from "./stack-texts";

/** The names taken, per run: a program of the Automation API may run many times in one process. */
const taken = new WeakMap<object, Set<string>>();

/** What every kind takes. */
export interface CommonArgs {
  /**
   * When the resource is deleted and its host cannot be reached: `error` fails and names the ways out. `forget` drops
   * it from the state with a warning; what runs there stays. Default `"error"`.
   */
  onUnreachable?: pulumi.Input<"error" | "forget">;
  /** Why it may be forgotten. Stands in the warning, and policies can ask for it. */
  onUnreachableReason?: pulumi.Input<string>;
}

/** How long a change waits to be confirmed. */
export interface ConfirmArgs {
  /** From the change to when it goes back, 5 to 3600 seconds. Example: 30. */
  withinSeconds: pulumi.Input<number>;
}

/** What `get` may be told about a resource besides its id. */
export interface LookupArgs {
  /** How the host is reached. Default: the provider's connection, or `ebpf:connection`. */
  connection?: pulumi.Input<ConnectionArgs>;
}

export abstract class Resource extends pulumi.CustomResource {
  /** How the host is reached. Of a fleet: none. */
  declare readonly connection: pulumi.Output<pulumi.Unwrap<ConnectionArgs>>;
  /** The hosts of a fleet. */
  declare readonly hosts: pulumi.Output<pulumi.Unwrap<Fleet>> | undefined;
  /** Of a fleet: what each host holds, by `host[:port]`. */
  declare readonly targets: pulumi.Output<Record<string, Target>> | undefined;
  /** `[<owner>:]<project>/<stack>/<Kind>/<name>`: the resource's name on the host; it outlives renames and aliases. */
  declare readonly specId: pulumi.Output<string>;

  /**
   * `outputs` are the names of what check and apply add. Few: the SDK makes four promises for each.
   * `connection` has its credentials protected. With an `id` among the options it is looked up, not made.
   */
  protected constructor(
    kind: string,
    name: string,
    args: {
      connection?: pulumi.Input<ConnectionArgs> | undefined;
      hosts?: pulumi.Input<Fleet> | undefined;
    } & Record<string, unknown>,
    outputs: readonly string[],
    options: pulumi.CustomResourceOptions,
  ) {
    const mode = currentMode();
    const lookedUp = options.id !== undefined;
    if (mode === "dynamic") {
      if (lookedUp) throw pluginModeOnly(`ebpf.${kind}.get("${name}")`);
      if (Provider.isInstance(options.provider))
        throw pluginModeOnly(`the provider of ebpf.${kind} "${name}"`);
    }
    const specId = lookedUp ? undefined : specIdOf(kind, name);
    if (specId !== undefined) takeName(kind, name, specId);
    const { connection, hosts, ...own } = args;
    const names = hosts === undefined ? outputs : [...outputs, "targets"];
    const declared = names.map((output) => [output, undefined]);
    // the plugin has the configuration too, and a provider's own before it
    const oneHost = connection ?? (mode === "dynamic" ? defaultConnection() : undefined);
    const { type, properties, options: registered } = registrationOf(mode, kind, options);
    const restoreStackTexts = omitStackTexts();
    try {
      super(
        type,
        name,
        {
          ...Object.fromEntries(declared),
          ...own,
          // what is here and stays undefined would be unknown in a preview, and with it what others inherit
          ...(hosts === undefined ? { connection: oneHost } : { hosts }),
          ...(hosts === undefined || connection === undefined ? {} : { connection }),
          specId,
          ...properties,
        },
        registered,
      );
    } finally {
      restoreStackTexts();
    }
    for (const output of outputs.filter(mayBePacked)) {
      const own = this as unknown as Record<string, pulumi.Output<unknown>>;
      own[output] = own[output]!.apply(unpacked);
    }
  }
}

function defaultConnection(): pulumi.Input<ConnectionArgs> | undefined {
  const connection = configuredConnection();
  return connection && protectCredentials(connection);
}

/** What backends without organizations call the one they have. */
const NO_ORGANIZATION = "organization";

/** Undefined where there is none, as in a program's unit tests. */
function organizationOf(): string | undefined {
  try {
    const organization = pulumi.getOrganization();
    return organization === NO_ORGANIZATION ? undefined : organization;
  } catch {
    return undefined;
  }
}

function specIdOf(kind: string, name: string): string {
  const owner = new pulumi.Config("ebpf").get("owner") ?? organizationOf();
  return formatSpecId({
    ...(owner === undefined ? {} : { owner }),
    project: pulumi.getProject(),
    stack: pulumi.getStack(),
    kind,
    name,
  });
}

/** Two of one kind and name under different parents are two URNs, but would be one thing on the host. */
function takeName(kind: string, name: string, specId: string): void {
  const stack = pulumi.runtime.getStackResource();
  if (stack === undefined) return;
  const names = taken.get(stack) ?? new Set();
  taken.set(stack, names);
  if (names.has(specId)) {
    throw new pulumi.RunError(
      `this stack has two ebpf.${kind} resources named "${name}": give each a name of its own, ` +
        "also under different parents",
    );
  }
  names.add(specId);
}
