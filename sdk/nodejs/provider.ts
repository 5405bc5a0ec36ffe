import * as pulumi from "@pulumi/pulumi";
import { packageVersion } from "../../provider/version";
import { type ConnectionArgs, protectCredentials } from "./connection";
import { currentMode, pluginModeOnly } from "./mode";

export interface ProviderArgs {
  /** Connection of all resources of this provider that give none of their own. */
  connection?: pulumi.Input<ConnectionArgs>;
  /** `host`: preview asks the host what an apply would do. `offline`: it dials nobody. Default `"host"`. */
  preview?: pulumi.Input<"host" | "offline">;
  /** Every preview and update looks at the hosts first, as with `--refresh`. Default `false`. */
  autoRefresh?: pulumi.Input<boolean>;
  /** Override those of every connection and of the state, as after a rotation of keys. Always secrets. */
  privateKey?: pulumi.Input<string>;
  privateKeyPassword?: pulumi.Input<string>;
  password?: pulumi.Input<string>;
  /** The same for bastions. Always secrets. */
  proxyPrivateKey?: pulumi.Input<string>;
  proxyPrivateKeyPassword?: pulumi.Input<string>;
  proxyPassword?: pulumi.Input<string>;
}

const SECRETS = [
  "privateKey",
  "privateKeyPassword",
  "password",
  "proxyPrivateKey",
  "proxyPrivateKeyPassword",
  "proxyPassword",
] as const;

/**
 * The provider with settings of its own: one connection for many resources. Plugin mode only; what it does not say,
 * the stack's configuration does not say for it either.
 *
 * ```ts
 * const edge = new ebpf.Provider("edge-1", { connection: { host: "edge-1.example.net" } });
 * const filter = new ebpf.Program("filter", { source: "./bpf/filter.bpf.c" }, { provider: edge });
 * ```
 */
export class Provider extends pulumi.ProviderResource {
  /** Fails with a RunError in dynamic mode. */
  constructor(name: string, args: ProviderArgs = {}, options: pulumi.ResourceOptions = {}) {
    if (currentMode() === "dynamic") throw pluginModeOnly(`ebpf.Provider "${name}"`);
    super("ebpf", name, configurationOf(args), { version: packageVersion(), ...options });
  }

  /** Whether a value is a Provider, also one of another copy of this package. */
  static override isInstance(value: unknown): value is Provider {
    return (
      pulumi.Resource.isInstance(value) &&
      (value as { __pulumiType?: unknown }).__pulumiType === "pulumi:providers:ebpf"
    );
  }
}

/** The engine takes provider configuration as strings; what is no string travels as JSON. */
function configurationOf({ connection, autoRefresh, ...rest }: ProviderArgs): pulumi.Inputs {
  const configuration: pulumi.Inputs = { ...rest };
  for (const name of SECRETS) {
    const value = rest[name];
    if (value !== undefined) configuration[name] = pulumi.secret(value);
  }
  if (autoRefresh !== undefined) configuration["autoRefresh"] = pulumi.jsonStringify(autoRefresh);
  if (connection !== undefined)
    configuration["connection"] = pulumi.jsonStringify(protectCredentials(connection));
  return configuration;
}
