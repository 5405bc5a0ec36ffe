/** NetworkPolicy: who may talk to whom, on interfaces. What rules mean is docs/network-policy.md. */
import * as z from "zod";
import { EbpfError } from "../errors";
import { policyInputs } from "../network-policy";
import { cidrSchema } from "../network-policy/model";
import type { TextContent } from "../protocol/policy";
import { SPEC_FORMAT } from "../protocol/spec";
import type { LinesRequest, LinesSource } from "../sources/source";
import { interfaceInputs } from "./attachments/hook";
import { confirmSchema } from "./confirm";
import { DIRECTIONS, ruleChanges, ruleLine, setsIn, strangeSets } from "./policy-rules";
import { contradictions, testSchema, wireTest } from "./policy-tests";
import { commonInputs, type HeldInput, type ResourceDefinition } from "./resource";
import { isKnown, UNKNOWN } from "./unknown";

const inputs = z
  .strictObject({
    ...commonInputs,
    interfaces: z
      .array(z.string().regex(/^[^\s/]+$/, "expected the name of an interface, or a pattern such as eth*"))
      .min(1, "an empty list judges nothing; name an interface, or leave the policy out")
      .meta({
        description:
          "Where packets are judged: names, patterns with `*` and `?`, or `defaultRoute` for the interfaces of the " +
          "default routes. Resolved when the policy is applied; of one that comes later the output `status` says so.",
        example: ["eth0", "wlan*"],
      }),
    netns: interfaceInputs.netns,
    hook: z
      .enum(["tc", "xdp"])
      .meta({ typeName: "PolicyHook" })
      .default("tc")
      .meta({
        description:
          "Where ingress is judged: `tc` beside other programs (TCX from Linux 6.6 on, else clsact), `xdp` earlier and " +
          "alone. Egress is judged at `tc`. All policies of an interface have the same.",
        default: "tc",
      }),
    ...policyInputs,
    management: z
      .array(cidrSchema)
      .default([])
      .meta({
        description:
          "Networks from which the host is managed: a policy that would keep their SSH out is refused, besides one that " +
          "would cut the connection over which it is applied.",
        default: [],
        example: ["198.51.100.0/24"],
      }),
    confirm: confirmSchema.meta({
      description:
        "A change goes back by itself, also with every process of ours killed, unless it is confirmed in time over a " +
        "new connection; `pulumi up` does that by itself.",
      example: { withinSeconds: 30 },
    }),
    sampleRate: z.number().int().min(0).max(0xffffffff).default(0).meta({
      description:
        "One in so many judged packets becomes an event, for `npx pulumi-ebpf policy events`. 0: none.",
      default: 0,
    }),
    tests: z
      .array(testSchema)
      .default([])
      .meta({
        description:
          "Packets and what they shall meet. One that meets something else refuses the change: in preview as far as the " +
          "policy's own rules tell, and on the host with all policies of the interface.",
        default: [],
        example: [{ from: "192.0.2.9", protocol: "TCP", port: 22, expect: "deny" }],
      }),
  })
  .superRefine(({ ingress, egress }, context) => {
    if (ingress !== undefined || egress !== undefined) return;
    const message = "give ingress or egress, or both: a policy without them says nothing";
    context.addIssue({ code: "custom", path: ["ingress"], message });
  });

export type NetworkPolicyInputs = z.output<typeof inputs>;

export interface CheckedNetworkPolicy extends NetworkPolicyInputs {
  /** What the rules are, without them. */
  content: PolicyContent;
}

export interface PolicyContent {
  /** Absent: the policy says nothing about the direction. */
  ingress?: TextContent;
  egress?: TextContent;
  /** Spec ids of the address sets that rules name, in order. */
  sets: string[];
}

export const networkPolicy: ResourceDefinition<NetworkPolicyInputs, CheckedNetworkPolicy> = {
  kind: "NetworkPolicy",
  inputs,
  sources: (args) =>
    DIRECTIONS.flatMap((property): LinesRequest[] => {
      const rules = args[property];
      if (rules === undefined) return [];
      const manifest = (args as Partial<CheckedNetworkPolicy>).content?.[property]?.manifest;
      const lines = () => rules.map(ruleLine);
      return [
        { kind: "lines", property, what: "rules", lines, ...(manifest === undefined ? {} : { manifest }) },
      ];
    }),
  resolve(args, sources, leftOut = new Set()) {
    const rulesKnown = DIRECTIONS.every((direction) => !leftOut.has(direction));
    const judged = rulesKnown && !leftOut.has("infrastructure") ? args.tests : [];
    const problems = [...strangeSets(args), ...contradictions(args, judged)];
    if (problems.length > 0) return { problems };
    if (!rulesKnown) return { checked: { ...args, content: UNKNOWN as never } };
    const contents = (sources as LinesSource[]).map(({ property, manifest, count }) => [
      property,
      { manifest, count },
    ]);
    const sets = [...new Set([...setsIn(args)].map(({ set }) => set))].sort();
    return { checked: { ...args, content: { ...Object.fromEntries(contents), sets } as PolicyContent } };
  },
  compile({ specId, interfaces, netns, hook, mode, infrastructure, established, content, ...checked }) {
    const { sets, ...contents } = content;
    const { management, sampleRate, tests } = checked;
    return {
      format: SPEC_FORMAT,
      id: specId,
      objects: [],
      maps: [],
      entries: [],
      links: [],
      policy: {
        interfaces,
        ...(netns === undefined ? {} : { netns }),
        ...{ hook, mode, infrastructure, established, ...contents },
        // rules name a set by its Spec id: no two have one name, whatever their stacks
        sets: Object.fromEntries(sets.map((set) => [set, set])),
        ...{ management, sampleRate, tests: tests.map(wireTest) },
      },
    };
  },
  held: { ingress: heldRules("ingress"), egress: heldRules("egress") },
  changes({ content: before, ...olds }, { content: after, ...news }) {
    if (!isKnown(before) || !isKnown(after)) return [];
    const changed = DIRECTIONS.filter((way) => before[way]?.manifest !== after[way]?.manifest);
    return changed.flatMap((direction) => ruleChanges(direction, olds[direction], news[direction]));
  },
  blame(error, checked) {
    if (EbpfError.is(error, "not-found")) {
      const { what, name } = error.details;
      if (what === "interface") return "interfaces";
      if (what === "network namespace") return "netns";
      for (const { property, set } of setsIn(checked)) if (set === name) return property;
    }
    return undefined;
  },
  outputs: (_checked, { policy }) => ({ status: policy ?? null }),
  preview: (checked) => ({ ...(checked === undefined ? { content: UNKNOWN } : {}), status: UNKNOWN }),
  version: ({ ingress: _ingress, egress: _egress, ...checked }) => checked,
};

function heldRules(direction: "ingress" | "egress"): HeldInput<CheckedNetworkPolicy> {
  return {
    content: ({ content }) => content?.[direction],
    fromLines: (lines) => lines.map((line) => JSON.parse(line) as unknown),
  };
}
