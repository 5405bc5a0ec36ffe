/**
 * Fleet: many hosts in place of one `connection`, and how a change is rolled out over them. Plain data.
 * What is done with it says provider/lifecycle/fleet.
 */
import * as z from "zod";
import { type Connection, connectionSchema } from "../transport/connection";

const amount = (description: string, example: number | string) =>
  z
    .union([z.number().int().nonnegative(), z.string().regex(/^(100|\d{1,2})%$/, 'expected "0%" to "100%"')])
    .optional()
    .meta({ description: `${description} A number of hosts, or a share of all as in "25%".`, example });

const mapValueSchema = z
  .strictObject({
    map: z.string().min(1).meta({
      description: "A map of the resource itself, or of the Program or Map that it refers to, by name.",
      example: "verdicts",
    }),
    key: z.unknown().meta({ description: "Plain JSON of the key's C type.", example: 1 }),
    member: z.string().min(1).optional().meta({
      description: "Path of the number within the value. Default: the value is the number.",
      example: "packets",
    }),
  })
  .meta({ typeName: "MapValue", description: "A number in a map; per-CPU values are added up." });

const healthCheckSchema = z
  .strictObject({
    counter: mapValueSchema.optional().meta({
      description: "Compares by how much it grew since before the change; a missing row counts as 0.",
    }),
    value: mapValueSchema
      .optional()
      .meta({ description: "Compares what the map holds; a missing row fails." }),
    below: z.number().optional().meta({ description: "Healthy only below it.", example: 100 }),
    above: z.number().optional().meta({ description: "Healthy only above it.", example: 0 }),
    command: z.string().min(1).optional().meta({
      description: "Run on the host by root's `sh -c`; exit status 0 is healthy.",
      example: "curl -fsS http://localhost/healthz",
    }),
    timeoutSeconds: z
      .number()
      .positive()
      .optional()
      .meta({ description: "For `command`, which is then ended, and failed. Default 10." }),
  })
  .superRefine(({ counter, value, below, above, command }, context) => {
    const given = Object.entries({ counter, value, command }).filter(([, what]) => what !== undefined);
    const issue = (message: string, path: string[] = []) =>
      context.addIssue({ code: "custom", path, message });
    if (given.length !== 1) return issue("exactly one of counter, value and command is needed");
    const bounded = below !== undefined || above !== undefined;
    if (command === undefined && !bounded) issue("compares with nothing: give below or above");
    if (command !== undefined && bounded)
      issue("has no number to compare", [below === undefined ? "above" : "below"]);
  })
  .meta({ typeName: "HealthCheck", description: "What a host must show after a change." });

export const rolloutSchema = z
  .strictObject({
    canary: amount("The first wave, in which no host may fail. Default: none.", 1),
    waveSize: amount("Hosts that change at once. Default: all.", "25%"),
    soakSeconds: z.number().nonnegative().optional().meta({
      description: "After each wave, before its health is judged. Default 0.",
      example: 30,
    }),
    maxUnavailable: amount("Failed hosts that `onFailure` puts up with, over all waves. Default 0.", 1),
    health: z.array(healthCheckSchema).optional().meta({
      description: "All must hold on each host of a wave, else the host has failed. Default: none.",
    }),
    onFailure: z
      .enum(["continue", "stop", "rollBack"])
      .meta({ typeName: "OnFailure" })
      .optional()
      .meta({
        description:
          "When more hosts fail than `maxUnavailable`: `continue` goes on with the other waves, `stop` leaves them as " +
          "they are, `rollBack` also brings every host of the failed wave back to what it had before. Default `continue`.",
        example: "rollBack",
      }),
  })
  .meta({ typeName: "Rollout", description: "How a change reaches the hosts of a fleet." });

const labelsSchema = z.record(z.string(), z.string());

const fleetHostSchema = z
  .strictObject({
    connection: connectionSchema.meta({ description: "How the host is reached." }),
    labels: labelsSchema.optional().meta({
      description: "For `select`.",
      example: { role: "edge" },
    }),
  })
  .meta({ typeName: "FleetHost", description: "One host of a fleet." });

export const fleetSchema = z
  .strictObject({
    hosts: z.array(fleetHostSchema).min(1, "a fleet needs a host").meta({ description: "The hosts." }),
    connection: connectionSchema
      .omit({ host: true })
      .partial()
      .meta({ typeName: "CommonConnection", description: "What connections have in common." })
      .optional()
      .meta({ description: "What all connections have in common; a host's own properties win." }),
    select: z
      .record(z.string(), z.union([z.string(), z.array(z.string()).min(1)]))
      .optional()
      .meta({
        description:
          "Only hosts that have each of these labels, with this value or one of these. Default: all.",
        example: { role: "edge", region: ["eu", "us"] },
      }),
    rollout: rolloutSchema.optional().meta({ description: "Default: all hosts at once." }),
  })
  .meta({ typeName: "Fleet", description: "Many hosts, one resource." });

export type Fleet = z.output<typeof fleetSchema>;
export type FleetHost = z.output<typeof fleetHostSchema>;
export type Rollout = z.output<typeof rolloutSchema>;
export type HealthCheck = z.output<typeof healthCheckSchema>;
export type MapValue = z.output<typeof mapValueSchema>;

/** How a host of the fleet is reached. */
export function connectionOf({ connection = {} }: Pick<Fleet, "connection">, host: FleetHost): Connection {
  return { ...connection, ...host.connection };
}

/**
 * `host[:port]`: the host in `targets` and in messages. Neither login nor proxy: another way to a host leads to the
 * same host.
 */
export function targetName({ host, port = 22 }: Pick<Connection, "host" | "port">): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return port === 22 ? name : `${name}:${port}`;
}
