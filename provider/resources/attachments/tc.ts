/** Hook `tc`: a clsact filter in direct-action mode. All kernels; prefer `tcx` from Linux 6.6. */
import * as z from "zod";
import { type AttachmentHook, directionSchema, interfaceFinds, interfaceInputs, wrongType } from "./hook";

const inputs = z
  .strictObject({
    ...interfaceInputs,
    direction: directionSchema,
    priority: z.number().int().min(1).max(65535).default(50).meta({
      description: "1 runs first.",
      default: 50,
    }),
    handle: z.number().int().min(1).max(0xffffffff).default(1).meta({
      description: "Tells filters of one priority apart.",
      default: 1,
    }),
  })
  .meta({ typeName: "Tc", typeDescription: "Hook tc: a clsact filter." });

export const tc: AttachmentHook<z.output<typeof inputs>> = {
  name: "tc",
  inputs,
  // an attach type in the section name is a hint to libbpf only: the kernel takes either direction
  misfit: (program) => wrongType("tc", program, ["sched_cls"]),
  finds: interfaceFinds,
  toHook: ({ netns, ...args }) => ({ type: "tc", ...args, ...(netns === undefined ? {} : { netns }) }),
};
