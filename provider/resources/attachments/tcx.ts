/** Hook `tcx`: ingress or egress of an interface with an order among programs. Linux 6.6. */
import { z } from "zod";
import { type AttachmentHook, interfaceFinds, interfaceInputs, wrongType } from "./hook";

const anchor = z.union(
  [z.strictObject({ spec: z.string().min(1) }), z.strictObject({ programName: z.string().min(1).max(15) })],
  { error: 'expected another Attachment, or { programName: "…" } for a program of somebody else' },
);

const inputs = z.strictObject({
  ...interfaceInputs,
  direction: z.enum(["ingress", "egress"]).meta({ description: "Packets in or out.", example: "ingress" }),
  order: z
    .union(
      [z.enum(["first", "last"]), z.strictObject({ before: anchor }), z.strictObject({ after: anchor })],
      {
        error: 'expected "first", "last", { before: … } or { after: … }',
      },
    )
    .optional()
    .meta({
      description: "Place among the programs of this hook. Default: the end, without holding that place.",
      example: "first",
    }),
  fallback: z.enum(["none", "tc"]).default("none").meta({
    description: "Below Linux 6.6: `tc` takes a clsact filter instead, `none` is an error.",
    default: "none",
  }),
});

export const tcx: AttachmentHook<z.output<typeof inputs>> = {
  name: "tcx",
  inputs,
  // an attach type in the section name is a hint to libbpf only: the kernel takes either direction
  misfit: (program) => wrongType("tcx", program, ["sched_cls"]),
  finds: { ...interfaceFinds, anchor: "order" },
  toHook: ({ netns, order, ...args }) => ({
    type: "tcx",
    ...args,
    ...(netns === undefined ? {} : { netns }),
    ...(order === undefined ? {} : { order }),
  }),
};
