/** Hook `rawTracepoint`: a tracepoint with its raw arguments, cheaper than `tracepoint`. Linux 4.17. */
import * as z from "zod";
import { type AttachmentHook, wrongType } from "./hook";

const inputs = z
  .strictObject({
    name: z
      .string()
      .regex(/^[^/\s]+$/, "must be the name without its category")
      .meta({ description: "Name of the tracepoint, without category.", example: "sched_process_exec" }),
  })
  .meta({
    typeName: "RawTracepoint",
    typeDescription: "Hook rawTracepoint: a tracepoint with its raw arguments.",
  });

export const rawTracepoint: AttachmentHook<z.output<typeof inputs>> = {
  name: "rawTracepoint",
  inputs,
  misfit: (program) => wrongType("rawTracepoint", program, ["raw_tracepoint", "raw_tracepoint_writable"]),
  finds: { tracepoint: "name" },
  toHook: ({ name }) => ({ type: "rawTracepoint", name }),
};
