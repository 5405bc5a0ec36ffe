/** A rule: options with a schema, and what a resource has wrong by them. Here it becomes a policy of @pulumi/policy. */
import type { PolicyConfigSchema, ResourceValidationPolicy } from "@pulumi/policy";
import * as z from "zod";
import { kindOfToken } from "../adapters/provider-text";
import { invalid, type Problem } from "../errors";
import { problemsOf } from "../lifecycle/problems";

/** Properties as a policy sees them: checked inputs, without their defaults. An unknown one throws when it is read. */
export type Properties = Record<string, unknown>;

export interface Rule<Options> {
  /** Unique in a pack, e.g. `ebpf-host-keys`. */
  name: string;
  description: string;
  options: z.ZodType<Options>;
}

export interface ResourceRule<Options> extends Rule<Options> {
  /** `kind` as in `ebpf.<Kind>`. */
  violations(kind: string, properties: Properties, options: Options): Problem[];
}

/** `given` are the author's options; the configuration of the pack (`--policy-pack-config`) comes before them. */
export function resourcePolicy<Options extends object>(
  rule: ResourceRule<Options>,
  given: z.input<z.ZodType<Options>>,
): ResourceValidationPolicy {
  const { policy, optionsOf } = policyOf(rule, given);
  return {
    ...policy,
    validateResource(args, reportViolation) {
      const kind = kindOfToken(args.type);
      if (kind === undefined) return;
      for (const { property, reason } of rule.violations(kind, args.props, optionsOf(args.getConfig()))) {
        reportViolation(`${property}: ${reason}`);
      }
    },
  };
}

/** What a resource's and a stack's policy have in common. */
export function policyOf<Options extends object>(rule: Rule<Options>, given: unknown) {
  const { name, description } = rule;
  const options = parse(rule, given);
  return {
    policy: {
      name,
      description,
      enforcementLevel: "mandatory" as const,
      configSchema: schemaOf(rule, options),
    },
    optionsOf: (configuration: object): Options => parse(rule, { ...options, ...configuration }),
  };
}

function parse<Options>({ name, options }: Rule<Options>, given: unknown): Options {
  const parsed = options.safeParse(given);
  if (parsed.success) return parsed.data;
  throw invalid(`read the options of policy ${name}`, problemsOf(options, parsed.error.issues));
}

/** With the author's options as defaults, so that the engine checks a pack's configuration and fills it up. */
function schemaOf<Options extends object>({ options }: Rule<Options>, defaults: Options): PolicyConfigSchema {
  const { properties = {} } = z.toJSONSchema(options, { io: "input" });
  return {
    properties: Object.fromEntries(
      Object.entries(properties).map(([name, schema]) => {
        const value = defaults[name as keyof Options];
        return [name, { ...(schema as object), ...(value === undefined ? {} : { default: value }) }];
      }),
    ) as PolicyConfigSchema["properties"],
  };
}
