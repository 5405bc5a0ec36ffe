/**
 * Calls of functions in both modes: by the engine to the plugin, or in this process over the provider's own transport.
 * Either way unknown arguments give an unknown result, and secret ones a secret result.
 */
import * as pulumi from "@pulumi/pulumi";
import { pluginToken } from "../../provider/adapters/provider-text";
import { packageVersion } from "../../provider/version";
import { configuredConnection, type ConnectionArgs, exposeCredentials } from "./connection";
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

/**
 * Waits for what the arguments depend on; unknown as long as one of these resources is not there. Not by the SDK's
 * invokeOutput, whose errors show a stack, and which is for the plugin alone.
 */
export function invokeOutput<Result>(
  name: string,
  args: pulumi.Inputs,
  { dependsOn, ...options }: pulumi.InvokeOutputOptions,
): pulumi.Output<Result> {
  usesPlugin(name, options); // an error of the program is thrown where it stands
  const connection = args["connection"] as pulumi.Input<ConnectionArgs> | undefined;
  // an answer holds no credential: those of the way to the host do not make a secret of it
  const asked = { ...args, ...(connection && { connection: exposeCredentials(connection) }) };
  const there = pulumi.all([pulumi.output(idsBehind(name, asked)), pulumi.output(idsOf(dependsOn))]);
  return pulumi
    .all([pulumi.output(asked), there])
    .apply(([known]) => invoke<Result>(name, known, options)) as pulumi.Output<Result>;
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
  return idsOfAll(resources);
}

function idsOf(
  dependsOn: pulumi.InvokeOutputOptions["dependsOn"],
): pulumi.Output<pulumi.Output<pulumi.ID>[]> {
  return pulumi.output(dependsOn).apply((given) => {
    const resources = [given].flat().filter((one) => pulumi.Resource.isInstance(one));
    return idsOfAll(resources);
  }) as unknown as pulumi.Output<pulumi.Output<pulumi.ID>[]>;
}

/** As the SDK reads `dependsOn`: a component is all that is in it. */
async function idsOfAll(resources: Iterable<pulumi.Resource>): Promise<pulumi.Output<pulumi.ID>[]> {
  const ids = [...resources].map(async (resource) => {
    if (pulumi.CustomResource.isInstance(resource)) return [resource.id];
    const { __data: constructed, __childResources: children = [] } = resource as unknown as {
      __data?: Promise<unknown>;
      __childResources?: Iterable<pulumi.Resource>;
    };
    await constructed;
    return idsOfAll(children);
  });
  return (await Promise.all(ids)).flat();
}
