import type * as pulumi from "@pulumi/pulumi";
import type { AddressSetStatus, TextContent } from "../../provider/protocol/policy";
import { type ConnectionArgs, given, protectCredentials } from "./connection";
import { type Fleet, protectFleet } from "./fleet";
import { type CommonArgs, type LookupArgs, Resource } from "./resource";

export interface AddressSetArgs extends CommonArgs {
  /** How the host is reached. Default: the provider's connection, or `ebpf:connection` of the configuration. */
  connection?: pulumi.Input<ConnectionArgs>;
  /** Many hosts in place of one, by `fleet()`. */
  hosts?: pulumi.Input<Fleet>;
  /**
   * Networks, IPv4 and IPv6, without bits beyond their prefix; they may overlap and repeat. Either these or `file`; they
   * lie in the state: give thousands in a file. Example: `["198.51.100.0/24", "2001:db8:7::/48"]`.
   */
  cidrs?: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Path of a file of networks, or a FileAsset of one: one CIDR a line, `#` begins a comment, blank lines are skipped; at
   * most 1,000,000. Relative to the program; only its digest lies in the state. Example: `"./blocklist.txt"`.
   */
  file?: pulumi.Input<string | pulumi.asset.FileAsset>;
}

/**
 * Networks with a name, on one host, for the rules of any NetworkPolicy there, also of other stacks. A change of the set
 * is applied by itself, at the price of what changed, and takes effect in all its policies at once. While a policy names
 * the set it cannot be deleted.
 *
 * ```ts
 * const offices = new ebpf.AddressSet("offices", {
 *   connection,
 *   cidrs: ["198.51.100.0/24", "2001:db8:7::/48"],
 * });
 * new ebpf.NetworkPolicy("ssh", {
 *   connection,
 *   interfaces: ["eth0"],
 *   ingress: [{ name: "ssh from offices", from: [{ addressSet: offices }], ports: [{ protocol: "TCP", port: 22 }] }],
 * });
 * ```
 */
export class AddressSet extends Resource {
  /** @internal */
  readonly __ebpfKind = "AddressSet";

  /** Digest and number of the networks; known in preview. */
  declare readonly content: pulumi.Output<TextContent>;
  /** What the host holds: how many networks, and which policies name the set. Of a fleet: what all hosts have alike. */
  declare readonly status: pulumi.Output<AddressSetStatus>;

  constructor(name: string, args: AddressSetArgs, options: pulumi.CustomResourceOptions = {}) {
    const { connection, hosts, ...rest } = given(args);
    const inputs = {
      ...rest,
      connection: connection && protectCredentials(connection),
      hosts: hosts && protectFleet(hosts),
    };
    super("AddressSet", name, inputs, ["content", "status"], options);
  }

  /**
   * An AddressSet that this program does not manage, by its Pulumi id (`<host>/<project>/<stack>/AddressSet/<name>`).
   * Plugin mode only. Fails when the host has none of it.
   */
  static get(
    name: string,
    id: pulumi.Input<pulumi.ID>,
    state: LookupArgs = {},
    options: pulumi.CustomResourceOptions = {},
  ): AddressSet {
    return new AddressSet(name, state as AddressSetArgs, { ...options, id });
  }

  /** Whether a value is an AddressSet, also one of another copy of this package. */
  static override isInstance(value: unknown): value is AddressSet {
    return (value as Partial<AddressSet> | undefined)?.__ebpfKind === "AddressSet";
  }

  /** What `addressSet` of a rule takes, to export for another stack: the set's name on the host. */
  get ref(): pulumi.Output<string> {
    return this.specId;
  }
}
