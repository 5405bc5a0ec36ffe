/** Policy `ebpf-forget-reason`: who lets a host's eBPF out of sight says why. */
import type { ResourceValidationPolicy } from "@pulumi/policy";
import * as z from "zod";
import { type ResourceRule, resourcePolicy } from "./rule";

const options = z.strictObject({
  pattern: z.string().default("\\S").refine(isPattern, "is no regular expression").meta({
    description:
      "Regular expression that the reason must match, such as a ticket's number. Default: any text.",
  }),
});

export type ForgetReasonOptions = z.input<typeof options>;

const rule: ResourceRule<z.output<typeof options>> = {
  name: "ebpf-forget-reason",
  description: "`onUnreachable: forget` leaves programs running on a host out of sight: it needs a reason.",
  options,
  violations(_kind, { onUnreachable, onUnreachableReason }, { pattern }) {
    if (onUnreachable !== "forget") return [];
    const property = "onUnreachableReason";
    if (onUnreachableReason === undefined || onUnreachableReason === "") {
      return [{ property, reason: "is missing: `onUnreachable: forget` needs a reason" }];
    }
    return new RegExp(pattern).test(String(onUnreachableReason))
      ? []
      : [{ property, reason: `does not match ${pattern}` }];
  },
};

function isPattern(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp;
  } catch {
    return false;
  }
}

/** Refuses `onUnreachable: "forget"` without `onUnreachableReason`. */
export function forgetReason(given: ForgetReasonOptions = {}): ResourceValidationPolicy {
  return resourcePolicy(rule, given);
}
