/**
 * Configuration of the provider: `ebpf:…` of a stack, and the arguments of an explicit `ebpf.Provider`.
 * One schema for both; schema.json and the tables of the docs come from it. Pure.
 */
import * as z from "zod";
import { connectionSchema } from "../transport/connection";

const secret = (description: string) => z.string().min(1).optional().meta({ description, secret: true });

export const providerConfigSchema = z.strictObject({
  connection: connectionSchema.optional().meta({
    description: "How the host is reached, for all resources that give no `connection` of their own.",
    example: { host: "edge-1" },
  }),
  preview: z.enum(["host", "offline"]).meta({ typeName: "PreviewMode" }).default("host").meta({
    description:
      "`host`: a preview asks the host what an apply would do. `offline`: it dials nobody, and checks the inputs only.",
  }),
  owner: z
    .string()
    .min(1)
    .optional()
    .meta({
      description:
        "Put before project and stack in names on hosts, when two backends have a project and stack of the same name. " +
        "Default: the backend's organization, if it has any.",
    }),
  autoRefresh: z
    .boolean()
    .default(false)
    .meta({
      description:
        "Each `pulumi up` and `preview` looks at the hosts first, so that drift is seen without `--refresh`. " +
        "A host that cannot be reached keeps its recorded state, with a warning. Plugin mode only.",
    }),
  privateKey: secret(
    "Private key as PEM text, or the path of a key file. Wins over those of connections and of the state, as after " +
      "a rotation of keys.",
  ),
  privateKeyPassword: secret("Passphrase of that private key."),
  password: secret("Password of the login. Wins over those of connections and of the state."),
  proxyPrivateKey: secret("As `privateKey`, for bastions."),
  proxyPrivateKeyPassword: secret("As `privateKeyPassword`, for bastions."),
  proxyPassword: secret("As `password`, for bastions."),
  mode: z.enum(["dynamic", "plugin"]).meta({ typeName: "ProviderMode" }).optional().meta({
    description: "Which provider the Node.js SDK uses. The plugin accepts and ignores it.",
  }),
});

export type ProviderConfig = z.output<typeof providerConfigSchema>;

/**
 * Configuration as the engine sends it: what is no text arrives as JSON in text. Text that is no JSON stays, for the
 * schema to complain about.
 */
export function decodeConfig(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(config).map(([name, value]) => [name, holdsJson(name) ? parsed(value) : value]),
  );
}

function holdsJson(name: string): boolean {
  const shape: Record<string, z.ZodType> = providerConfigSchema.shape;
  const schema = shape[name] === undefined ? undefined : unwrapped(shape[name]);
  return schema !== undefined && !(schema instanceof z.ZodString || schema instanceof z.ZodEnum);
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault
    ? unwrapped(schema.def.innerType)
    : schema;
}

function parsed(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return value;
  }
}
