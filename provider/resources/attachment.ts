/** Attachment: one program on one hook. */
import * as z from "zod";
import { EbpfError, type Problem } from "../errors";
import { SPEC_FORMAT } from "../protocol/spec";
import { type HookName, hookNames, hooks } from "./attachments";
import type { AttachmentHook } from "./attachments/hook";
import { confirmSchema } from "./confirm";
import { programRefSchema } from "./references";
import { commonInputs, type ResourceDefinition } from "./resource";
import { UNKNOWN } from "./unknown";

const inputs = z
  .strictObject({
    ...commonInputs,
    program: programRefSchema.meta({
      description: "An entrypoint of a Program, or a Program that loads only one.",
    }),
    xdp: hooks.xdp.inputs.optional().meta({ description: "Earliest point of receive. Linux 5.9." }),
    tcx: hooks.tcx.inputs.optional().meta({ description: "Ingress or egress with an order. Linux 6.6." }),
    tc: hooks.tc.inputs.optional().meta({ description: "Ingress or egress by clsact. All kernels." }),
    cgroup: hooks.cgroup.inputs.optional().meta({ description: "Processes of a cgroup v2. Linux 5.7." }),
    tracepoint: hooks.tracepoint.inputs.optional().meta({ description: "A tracepoint. Linux 5.15." }),
    rawTracepoint: hooks.rawTracepoint.inputs
      .optional()
      .meta({ description: "A tracepoint with its raw arguments. Linux 4.17." }),
    confirm: confirmSchema,
  })
  .superRefine((args, context) => {
    const given = hookNames.filter((name) => args[name] !== undefined);
    if (given.length === 1) return;
    context.addIssue({
      code: "custom",
      path: given.slice(1, 2),
      message: `exactly one hook is needed (${hookNames.join(", ")}), not ${given.length === 0 ? "none" : given.join(" and ")}`,
    });
  });

export type AttachmentInputs = z.output<typeof inputs>;

export const attachment: ResourceDefinition<AttachmentInputs> = {
  kind: "Attachment",
  inputs,
  sources: () => [],
  resolve(args) {
    const { name, hook, hookArgs } = hookOf(args);
    const reason = hook.misfit(args.program, hookArgs);
    const problems: Problem[] = reason === undefined ? [] : [{ property: name, reason }];
    return problems.length === 0 ? { checked: args } : { problems };
  },
  compile(checked) {
    const { hook, hookArgs } = hookOf(checked);
    const { spec, entrypoint } = checked.program;
    return {
      format: SPEC_FORMAT,
      id: checked.specId,
      objects: [],
      maps: [],
      entries: [],
      links: [{ name: "link", program: { spec, entrypoint }, hook: hook.toHook(hookArgs) }],
    };
  },
  blame(error, checked) {
    const { name, hook } = hookOf(checked);
    const below = (found: string | undefined) => (found === undefined ? undefined : `${name}.${found}`);
    if (EbpfError.is(error, "conflict")) return name;
    if (EbpfError.is(error, "unsupported")) return below(hook.finds[error.details.feature]) ?? name;
    if (!EbpfError.is(error, "not-found")) return undefined;
    const { what } = error.details;
    if (what === "Spec" || what === "entrypoint" || what === "programs") return "program";
    return below(hook.finds[what]);
  },
  outputs: (_checked, status) => ({ link: status.links["link"] ?? null }),
  preview: () => ({ link: UNKNOWN }),
  refs: ({ specId }) => ({ ref: { spec: specId } }),
};

/** The one hook that the schema let pass. */
function hookOf(args: AttachmentInputs): { name: HookName; hook: AttachmentHook; hookArgs: unknown } {
  const name = hookNames.find((candidate) => args[candidate] !== undefined)!;
  return { name, hook: hooks[name] as AttachmentHook, hookArgs: args[name] };
}
