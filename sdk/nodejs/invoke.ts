/**
 * Calls of functions in both modes: by the engine to the plugin, or in this process over the provider's own transport.
 * Either way unknown arguments give an unknown result, and secret ones a secret result.
 */
import * as pulumi from "@pulumi/pulumi";
import { pluginToken } from "../../provider/adapters/provider-text";
import { packageVersion } from "../../provider/version";
import { configuredConnection, type ConnectionArgs } from "./connection";
import type * as InProcess from "./in-process";
import { currentMode, pluginModeOnly, programError } from "./mode";
import { Provider } from "./provider";

/** For arguments that are all known. */
export async function invoke<Result>(
  name: string,
  args: pulumi.Inputs,
  options: pulumi.InvokeOptions,
): Promise<Result> {
  try {
    if (usesPlugin(name, options))
      return (await pulumi.runtime.invoke(pluginToken(name), args, atVersion(options))) as Result;
    return (await runInProcess(name, args)) as Result;
  } catch (thrown) {
    throw programError((thrown as Error).message);
  }
}

/** Waits for what the arguments depend on; unknown as long as one of these resources is not there. */
export function invokeOutput<Result>(
  name: string,
  args: pulumi.Inputs,
  options: pulumi.InvokeOutputOptions,
): pulumi.Output<Result> {
  const untainted = {
    ...args,
    ...(args["connection"] === undefined
      ? {}
      : { connection: withoutTaint(args["connection"] as pulumi.Input<ConnectionArgs>) }),
  };
  if (usesPlugin(name, options)) {
    return pulumi.runtime.invokeOutput<Result>(pluginToken(name), untainted, atVersion(options));
  }
  const there = pulumi.all([pulumi.output(idsBehind(name, untainted)), idsOf(options.dependsOn)]);
  return pulumi.all([pulumi.output(untainted), there]).apply(async ([known]) => {
    try {
      return (await runInProcess(name, known)) as Result;
    } catch (thrown) {
      throw programError((thrown as Error).message);
    }
  }) as pulumi.Output<Result>;
}

function usesPlugin(name: string, { provider }: pulumi.InvokeOptions): boolean {
  if (currentMode() === "plugin") return true;
  if (Provider.isInstance(provider)) throw pluginModeOnly(`the provider of ebpf.${name}`);
  return false;
}

function atVersion<Options extends pulumi.InvokeOptions>(options: Options): Options {
  return { version: packageVersion(), ...options };
}

/** Most programs call no function: what it takes to reach a host is loaded by the first that does. */
function runInProcess(name: string, args: pulumi.Inputs): Promise<Record<string, unknown>> {
  const { runInThisProcess } = module.require("./in-process") as typeof InProcess;
  const config = new pulumi.Config("ebpf");
  return runInThisProcess(name, args, {
    config: (key) => config.get(key.replace(/^ebpf:/, "")),
    connection: configuredConnection(),
  });
}

/** Ids of the resources that an argument comes from. */
async function idsBehind(name: string, args: pulumi.Inputs): Promise<pulumi.Output<pulumi.ID>[]> {
  const resources = new Set<pulumi.Resource>();
  await pulumi.runtime.serializeProperty(name, args, resources);
  return [...resources].flatMap(idOf);
}

function idsOf(dependsOn: pulumi.InvokeOutputOptions["dependsOn"]): pulumi.Output<unknown> {
  return pulumi.output(dependsOn).apply((resources) => pulumi.all([resources].flat().flatMap(idOf)));
}

function idOf(resource: unknown): pulumi.Output<pulumi.ID>[] {
  return pulumi.CustomResource.isInstance(resource) ? [resource.id] : [];
}

const CREDENTIALS = ["password", "privateKey", "privateKeyPassword"] as const;

/** An answer holds no credential: those of the way to the host do not make a secret of it. */
function withoutTaint(connection: pulumi.Input<ConnectionArgs>): pulumi.Input<ConnectionArgs> {
  if (pulumi.Output.isInstance(connection) || connection instanceof Promise) return connection;
  const { proxy } = connection;
  return {
    ...untainted(connection),
    ...(proxy === undefined || pulumi.Output.isInstance(proxy) || proxy instanceof Promise
      ? {}
      : { proxy: untainted(proxy) }),
  };
}

function untainted<T extends Pick<ConnectionArgs, (typeof CREDENTIALS)[number]>>(endpoint: T): T {
  const result = { ...endpoint };
  for (const name of CREDENTIALS) {
    const value = result[name];
    if (value !== undefined) result[name] = pulumi.unsecret(pulumi.output(value));
  }
  return result;
}
