import * as z from "zod";
import { during } from "../lifecycle/call";
import type { AttachedFacts, HookPlace } from "../protocol/queries";
import { connectionInput, count, onlyOneOf, providerFunction, text } from "./function";

const attachment = {
  hook: text("`xdp`, `tcx`, `tc`, `cgroup`, `tracepoint` or `rawTracepoint`, as an Attachment names it."),
  programId: count("The kernel's id of the program."),
  programName: text("The kernel's name of the program: at most 15 bytes."),
  programType: text("`bpf_prog_type` in lower case."),
  programTag: text("The kernel's tag of the program."),
  linkId: count("The kernel's id of the link; 0: attached without one."),
  spec: z.string().optional().meta({
    description: "`specId` of the Attachment; absent: somebody else attached it.",
  }),
  facts: z.record(z.string(), z.union([z.string(), z.number()])).meta({
    description: "Of the hook: `mode`, `direction`, `position`, `priority`, `handle`, `attach`.",
  }),
} satisfies Record<keyof AttachedFacts, z.ZodType>;

export const getAttachments = providerFunction({
  name: "getAttachments",
  description: "The programs on a hook, ours and others', in the order in which they run.",
  inputs: z.strictObject({
    ...connectionInput,
    interface: z.string().min(1).optional().meta({
      description: "A network interface: its xdp, tcx and tc.",
      example: "eth0",
    }),
    netns: z.string().min(1).optional().meta({
      description:
        "Network namespace that has the interface: a name of `ip netns`, or a path. Default: the host's own.",
    }),
    cgroup: z.string().startsWith("/").optional().meta({
      description: "Directory of a cgroup v2: all programs that are attached to it, not to its parents.",
      example: "/sys/fs/cgroup/system.slice",
    }),
    tracepoint: z.string().min(1).optional().meta({
      description: "`category/name`, as under tracefs `events/`.",
      example: "sched/sched_process_exec",
    }),
    rawTracepoint: z.string().min(1).optional().meta({
      description: "Name of the tracepoint, without category.",
      example: "sched_process_exec",
    }),
  }),
  outputs: z.object({
    attachments: z
      .array(
        z.object(attachment).meta({ typeName: "FoundAttachment", typeDescription: "A program on a hook." }),
      )
      .meta({ description: "Hook by hook, each in the order in which its programs run." }),
    notes: z.array(z.string()).meta({ description: "What could not be looked at, in words." }),
  }),
  async run(args, { open, signal }) {
    onlyOneOf(args, ["interface", "cgroup", "tracepoint", "rawTracepoint"]);
    const session = await open(args.connection);
    return session.call("hook.query", placeOf(args), during({ signal }));
  },
});

function placeOf(args: {
  [name in "interface" | "netns" | "cgroup" | "tracepoint" | "rawTracepoint"]?: string | undefined;
}): HookPlace {
  const { interface: name, netns, cgroup, tracepoint, rawTracepoint } = args;
  if (name !== undefined) return { interface: name, ...(netns === undefined ? {} : { netns }) };
  if (cgroup !== undefined) return { cgroup };
  return tracepoint !== undefined ? { tracepoint } : { rawTracepoint: rawTracepoint! };
}
