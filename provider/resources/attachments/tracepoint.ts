/** Hook `tracepoint`: a static tracepoint with its stable record. Linux 5.15 (perf link). */
import * as z from "zod";
import { type AttachmentHook, wrongType } from "./hook";

const inputs = z
  .strictObject({
    event: z
      .string()
      .regex(/^[^/\s]+\/[^/\s]+$/, "must be category/name, as under tracefs events/")
      .meta({
        description: "`category/name`, as under tracefs `events/`.",
        example: "sched/sched_process_exec",
      }),
  })
  .meta({ typeName: "Tracepoint", typeDescription: "Hook tracepoint." });

export const tracepoint: AttachmentHook<z.output<typeof inputs>> = {
  name: "tracepoint",
  inputs,
  misfit: (program) => wrongType("tracepoint", program, ["tracepoint"]),
  finds: { tracepoint: "event" },
  toHook: ({ event }) => ({ type: "tracepoint", event }),
};
