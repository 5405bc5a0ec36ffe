/**
 * The two ways to the provider, by the stack's configuration `ebpf:mode`: `dynamic` (default) needs nothing but this
 * package, `plugin` is the provider plugin `pulumi-resource-ebpf`. What a program writes is the same in both.
 */
import * as pulumi from "@pulumi/pulumi";
import {
  APPLYING_KEY,
  dynamicToken,
  pluginToken,
  PROVIDER_KEY,
  providerText,
} from "../../provider/adapters/provider-text";
import { packageVersion } from "../../provider/version";

export type Mode = "dynamic" | "plugin";

/** Fails with a RunError for any other value. Not kept: a process of the Automation API may run many stacks. */
export function currentMode(): Mode {
  const mode = new pulumi.Config("ebpf").get("mode") ?? "dynamic";
  if (mode === "dynamic" || mode === "plugin") return mode;
  throw new pulumi.RunError(
    `ebpf:mode is "${mode}": it is "dynamic" or "plugin"; run \`pulumi config set ebpf:mode plugin\``,
  );
}

/** How a resource is registered in a mode. */
export interface Registration {
  type: string;
  /** Properties that the mode adds. */
  properties: Record<string, unknown>;
  options: pulumi.CustomResourceOptions;
}

/** The other mode's type is an alias: a stack that changes its mode replaces nothing. */
export function registrationOf(
  mode: Mode,
  kind: string,
  options: pulumi.CustomResourceOptions,
): Registration {
  const [type, other] =
    mode === "plugin" ? [pluginToken(kind), dynamicToken(kind)] : [dynamicToken(kind), pluginToken(kind)];
  const aliases = [...(options.aliases ?? []), { type: other }];
  if (mode === "plugin")
    return { type, properties: {}, options: { version: packageVersion(), ...options, aliases } };
  const phase = pulumi.runtime.isDryRun() ? {} : { [APPLYING_KEY]: true };
  const properties = { [PROVIDER_KEY]: providerText(kind), ...phase };
  return { type, properties, options: { ...options, aliases } };
}

/** What only the plugin can do. */
export function pluginModeOnly(what: string): pulumi.RunError {
  return new pulumi.RunError(
    `${what} needs plugin mode: run \`pulumi config set ebpf:mode plugin\`, and see that Pulumi finds the plugin`,
  );
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
