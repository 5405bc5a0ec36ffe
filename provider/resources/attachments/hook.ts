/** AttachmentHook: one kind of hook, as the definition of Attachment uses it. Each file beside this one is such a hook. */
import * as z from "zod";
import type { Hook } from "../../protocol/hooks";
import type { CheckedProgramRef } from "../references";

export interface AttachmentHook<Args = unknown> {
  /** The property of Attachment that asks for this hook. */
  name: string;
  inputs: z.ZodType<Args>;
  /** Why the program cannot run there; undefined when it can. */
  misfit(program: CheckedProgramRef, args: Args): string | undefined;
  toHook(args: Args): Hook;
  /** What the host may not find (`what` of a `not-found`) or not support (`feature`) → the property that names it. */
  finds: Record<string, string>;
}

/** Of hooks on a network interface. */
export const interfaceInputs = {
  interface: z
    .string()
    .min(1)
    .max(15)
    .meta({ description: "Name of the network interface.", example: "eth0" }),
  netns: z.string().min(1).optional().meta({
    description:
      "Network namespace that has the interface: a name of `ip netns`, or a path. Default: the host's own.",
    example: "blue",
  }),
};

export const directionSchema = z
  .enum(["ingress", "egress"])
  .meta({ typeName: "Direction", description: "Packets in or out.", example: "ingress" });

export const interfaceFinds = { interface: "interface", "network namespace": "netns" };

/** The usual reason of a misfit: the program's type. */
export function wrongType(hook: string, program: CheckedProgramRef, types: string[]): string | undefined {
  if (types.includes(program.type)) return undefined;
  return `"${program.entrypoint}" is a program of type ${program.type}; the hook ${hook} takes ${types.join(" or ")}`;
}

/** The kernel compares the attach type given at load, which the ELF section fixes, with the hook's. */
export function wrongAttachType(
  hook: string,
  program: CheckedProgramRef,
  attachTypes: string[],
): string | undefined {
  if (program.attachType === undefined || attachTypes.includes(program.attachType)) return undefined;
  return `"${program.entrypoint}" was compiled for ${program.attachType}; the hook ${hook} takes ${attachTypes.join(" or ")}`;
}
