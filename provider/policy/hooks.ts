/** Policy `ebpf-hooks`: which hooks Attachments may stand on. */
import type { ResourceValidationPolicy } from "@pulumi/policy";
import * as z from "zod";
import type { Problem } from "../errors";
import { hookNames } from "../resources/attachments";
import { type ResourceRule, resourcePolicy } from "./rule";

const options = z.strictObject({
  allowed: z
    .array(z.enum(hookNames as [string, ...string[]]))
    .default(hookNames)
    .meta({ description: "Hooks, as Attachment names them. Default: all." }),
});

export type HookOptions = z.input<typeof options>;

const rule: ResourceRule<z.output<typeof options>> = {
  name: "ebpf-hooks",
  description: "Programs are attached to allowed hooks only.",
  options,
  violations(kind, properties, { allowed }) {
    if (kind !== "Attachment") return [];
    const reason = (hook: string) => `the hook ${hook} is not allowed; allowed are ${allowed.join(", ")}`;
    const problems: Problem[] = hookNames
      .filter((hook) => properties[hook] !== undefined && !allowed.includes(hook))
      .map((hook) => ({ property: hook, reason: reason(hook) }));
    const { fallback } = (properties["tcx"] ?? {}) as { fallback?: string };
    if (fallback === "tc" && !allowed.includes("tc")) {
      problems.push({ property: "tcx.fallback", reason: reason("tc") });
    }
    return problems;
  },
};

/** Refuses Attachments on hooks that are not in the list. */
export function hooks(given: HookOptions = {}): ResourceValidationPolicy {
  return resourcePolicy(rule, given);
}
