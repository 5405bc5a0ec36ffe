/**
 * How a host is reached: the shape of @pulumi/command's `connection`, with what we add to it.
 * zod schema, defaults, and the host's name in ids and messages.
 */
import * as z from "zod";

const endpoint = {
  host: z
    .string()
    .min(1)
    .meta({ description: "Address, host name, or an alias of ~/.ssh/config.", example: "edge-1" }),
  port: z
    .number()
    .int()
    .min(1)
    .max(65535)
    .optional()
    .meta({ description: "SSH port. Default: ~/.ssh/config, else 22." }),
  user: z
    .string()
    .min(1)
    .optional()
    .meta({ description: 'Login name. Default: ~/.ssh/config, else "root".' }),
  password: z.string().optional().meta({ description: "Password of the login.", secret: true }),
  privateKey: z
    .string()
    .optional()
    .meta({ description: "Private key as PEM text, or the path of a key file.", secret: true }),
  privateKeyPassword: z
    .string()
    .optional()
    .meta({ description: "Passphrase of the private key.", secret: true }),
  agentSocketPath: z
    .string()
    .optional()
    .meta({ description: "Socket of ssh-agent. Default: $SSH_AUTH_SOCK." }),
  dialErrorLimit: z
    .number()
    .int()
    .min(-1)
    .optional()
    .meta({ description: "Dials before giving up; -1 is no limit. Default 10." }),
  perDialTimeout: z
    .number()
    .int()
    .positive()
    .optional()
    .meta({ description: "Seconds per dial. Default 15." }),
  hostKey: z.string().optional().meta({
    description: 'The host\'s public key as in authorized_keys ("ssh-ed25519 AAAA…"). Default: known_hosts.',
  }),
};

export const proxySchema = z
  .strictObject(endpoint)
  .meta({ typeName: "Proxy", typeDescription: "A bastion: a connection without a proxy of its own." });

export const connectionSchema = z
  .strictObject({
    ...endpoint,
    host: endpoint.host.meta({ replaces: true }),
    port: endpoint.port.meta({ replaces: true }),
    proxy: proxySchema.optional().meta({ description: "A bastion to go through." }),
    transport: z
      .enum(["ssh2", "openssh", "local"])
      .meta({ typeName: "Transport" })
      .optional()
      .meta({
        description:
          "`ssh2`: built in. `openssh`: the operator's own ssh command, with certificates, hardware keys, ProxyCommand. " +
          "`local`: this machine, without SSH. Default `ssh2`.",
      }),
  })
  .meta({
    typeName: "Connection",
    typeDescription: "How a host is reached; the shape of @pulumi/command's connection.",
  });

export type Proxy = z.output<typeof proxySchema>;
export type Connection = z.output<typeof connectionSchema>;

/** Properties that never enter a Spec, Record, message or id. */
export const CREDENTIALS = ["password", "privateKey", "privateKeyPassword"] as const;

/** `[user@]host[:port]`, IPv6 in brackets: the host in ids and messages. */
export function hostLabel(connection: Pick<Connection, "host" | "port" | "user">): string {
  const host = connection.host.includes(":") ? `[${connection.host}]` : connection.host;
  return `${connection.user === undefined ? "" : `${connection.user}@`}${host}${
    connection.port === undefined ? "" : `:${connection.port}`
  }`;
}
