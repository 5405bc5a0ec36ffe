/** Hook `tcx`: ingress or egress of an interface with an order among programs. Linux 6.6. */
import * as z from "zod";
import { type AttachmentHook, directionSchema, interfaceFinds, interfaceInputs, wrongType } from "./hook";

/** What `order` goes by: another Attachment, or a program that is not ours. */
export const attachmentRefSchema = z
  .union(
    [
      z.strictObject({
        spec: z.string().min(1).meta({ description: "`specId` of another Attachment." }),
      }),
      z.strictObject({
        programName: z
          .string()
          .min(1)
          .max(15)
          .meta({ description: "Name of a program of somebody else, as the kernel has it." }),
      }),
    ],
    { error: 'expected another Attachment, or { programName: "…" } for a program of somebody else' },
  )
  .meta({
    typeName: "AttachmentRef",
    typeDescription: "Another attachment on the same hook; one of the two.",
  });

const before = attachmentRefSchema.meta({ description: "Runs before that one." });
const after = attachmentRefSchema.meta({ description: "Runs after that one." });

const inputs = z
  .strictObject({
    ...interfaceInputs,
    direction: directionSchema,
    order: z
      .union([z.enum(["first", "last"]), z.strictObject({ before }), z.strictObject({ after })], {
        error: 'expected "first", "last", { before: … } or { after: … }',
      })
      .meta({ typeName: "TcxOrder", typeDescription: "Place beside another program; one of the two." })
      .optional()
      .meta({
        description: "Place among the programs of this hook. Default: the end, without holding that place.",
        example: "first",
      }),
    fallback: z.enum(["none", "tc"]).meta({ typeName: "TcxFallback" }).default("none").meta({
      description: "Below Linux 6.6: `tc` takes a clsact filter instead, `none` is an error.",
      default: "none",
    }),
  })
  .meta({ typeName: "Tcx", typeDescription: "Hook tcx: ingress or egress with an order." });

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
