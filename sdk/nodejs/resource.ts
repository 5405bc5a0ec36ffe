/** What the four resources have in common. */
import * as pulumi from "@pulumi/pulumi";
import { dynamicToken, PROVIDER_KEY, providerText } from "../../provider/adapters/provider-text";
import { formatSpecId } from "../../provider/protocol/spec-id";
import type { ConnectionArgs } from "./connection";

/** The names taken, per run: a program of the Automation API may run many times in one process. */
const taken = new WeakMap<object, Set<string>>();

export abstract class Resource extends pulumi.CustomResource {
  /** How the host is reached. */
  declare readonly connection: pulumi.Output<pulumi.Unwrap<ConnectionArgs>>;
  /** `[<owner>:]<project>/<stack>/<Kind>/<name>`: the resource's name on the host; it outlives renames and aliases. */
  declare readonly specId: pulumi.Output<string>;

  /**
   * `outputs` are the names of what check and apply add. Few: the SDK makes four promises for each, with a stack trace
   * in each. `connection` has its credentials protected.
   */
  protected constructor(
    kind: string,
    name: string,
    args: { connection: pulumi.Input<ConnectionArgs> } & Record<string, unknown>,
    outputs: readonly string[],
    options: pulumi.CustomResourceOptions,
  ) {
    const specId = specIdOf(kind, name);
    takeName(kind, name, specId);
    const declared = outputs.map((output) => [output, undefined]);
    super(
      dynamicToken(kind),
      name,
      {
        ...Object.fromEntries(declared),
        ...args,
        specId,
        [PROVIDER_KEY]: providerText(kind),
      },
      options,
    );
  }
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

/**
 * An error of the program, to be thrown where an Output is computed. RunError alone hides the stack only when it is
 * thrown in the program's main flow.
 */
export function programError(message: string): Error {
  const error = new pulumi.RunError(message);
  error.stack = "";
  return error;
}
