/** fleet(): many hosts in place of one connection, and how a change is rolled out over them. */
import type * as pulumi from "@pulumi/pulumi";
import {
  type ConnectionArgs,
  eachPlainOrApply,
  isObject,
  plainOrApply,
  protectCredentials,
} from "./connection";

/** One host of a fleet, with labels to select it by. */
export interface FleetHostArgs {
  /** How the host is reached. */
  connection: pulumi.Input<ConnectionArgs>;
  /** For `select`. Default: none. Example: `{ role: "edge" }`. */
  labels?: pulumi.Input<Record<string, pulumi.Input<string>>>;
}

/** A number in a map of the resource itself, or of the Program or Map that it refers to. */
export interface MapValueArgs {
  /** Name of the map. Example: `"verdicts"`. */
  map: pulumi.Input<string>;
  /** Plain JSON of the key's C type. Example: `1`. */
  key: unknown;
  /** Path of the number within the value. Default: the value is the number. Example: `"packets"`. */
  member?: pulumi.Input<string>;
}

/** What a host must show after a change: exactly one of `counter`, `value` and `command`. Values per CPU are added up. */
export interface HealthCheckArgs {
  /** Compares by how much it grew since before the change; a missing row counts as 0. */
  counter?: pulumi.Input<MapValueArgs>;
  /** Compares what the map holds; a missing row fails. */
  value?: pulumi.Input<MapValueArgs>;
  /** Healthy only below it. */
  below?: pulumi.Input<number>;
  /** Healthy only above it. */
  above?: pulumi.Input<number>;
  /** Run on the host by root's `sh -c`; exit status 0 is healthy. Example: `"curl -fsS http://localhost/healthz"`. */
  command?: pulumi.Input<string>;
  /** For `command`, which is then ended, and failed. Default 10. */
  timeoutSeconds?: pulumi.Input<number>;
}

/** How a change reaches the hosts. Amounts are a number of hosts, or a share of all as in `"25%"`. */
export interface RolloutArgs {
  /** The first wave, in which no host may fail. Default: none. Example: `1`. */
  canary?: pulumi.Input<number | string>;
  /** Hosts that change at once. Default: all. Example: `"25%"`. */
  waveSize?: pulumi.Input<number | string>;
  /** After each wave, before its health is judged. Default 0. */
  soakSeconds?: pulumi.Input<number>;
  /** Failed hosts that `onFailure` puts up with, over all waves. Default 0. */
  maxUnavailable?: pulumi.Input<number | string>;
  /** One check, or several that must all hold on each host of a wave, else the host has failed. Default: none. */
  health?: pulumi.Input<HealthCheckArgs | pulumi.Input<HealthCheckArgs>[]>;
  /**
   * When more hosts fail than `maxUnavailable`: `continue` goes on with the other waves, `stop` leaves them as they are,
   * `rollBack` also brings every host of the failed wave back to what it had before. Default `"continue"`.
   */
  onFailure?: pulumi.Input<"continue" | "stop" | "rollBack">;
}

export interface FleetArgs {
  /** The hosts: connections, or connections with labels. */
  hosts: pulumi.Input<pulumi.Input<FleetHostArgs | ConnectionArgs>[]>;
  /** What all connections have in common; a host's own properties win. Example: `{ user: "deploy" }`. */
  connection?: pulumi.Input<Omit<Partial<ConnectionArgs>, "host">>;
  /**
   * Only hosts that have each of these labels, with this value or one of these. Default: all.
   * Example: `{ role: "edge", region: ["eu", "us"] }`.
   */
  select?: pulumi.Input<Record<string, pulumi.Input<string | string[]>>>;
  /** How a change reaches the hosts. Default: all at once. */
  rollout?: pulumi.Input<RolloutArgs>;
}

/** What one host of a fleet holds of a resource. */
export interface Target {
  /** Of the version that it holds: equal ones hold the same. Empty: nobody knows, the next update tells. */
  digest: string;
  /** Of the creation that it belongs to. */
  incarnation: string;
  /** Whether the host answered when it was last asked. */
  reachable: boolean;
  /** Why it is not as it should be, in words. */
  drift: string[];
}

/** What `hosts:` of a resource takes: made by `fleet()`, or inherited from another resource. */
export interface Fleet extends Omit<FleetArgs, "hosts" | "rollout"> {
  hosts: pulumi.Input<pulumi.Input<FleetHostArgs>[]>;
  rollout?: pulumi.Input<
    Omit<RolloutArgs, "health"> & { health?: pulumi.Input<pulumi.Input<HealthCheckArgs>[]> }
  >;
}

/**
 * Many hosts as the `hosts` of a resource, in place of its `connection`. Plain data: nothing is dialled.
 *
 * ```ts
 * const edge = ebpf.fleet({
 *   hosts: inventory,
 *   rollout: {
 *     canary: 1,
 *     waveSize: "25%",
 *     soakSeconds: 30,
 *     health: { counter: { map: "verdicts", key: 1, member: "packets" }, below: 1000 },
 *     onFailure: "rollBack",
 *   },
 * });
 * new ebpf.Program("filter", { hosts: edge, source: "./bpf/filter.bpf.o" });
 * ```
 */
export function fleet(args: FleetArgs | FleetArgs["hosts"]): Fleet {
  const whole = isFleetArgs(args) ? args : { hosts: args };
  const hosts = eachPlainOrApply(whole.hosts, asFleetHost);
  const { rollout } = whole;
  if (rollout === undefined) return protectFleet({ ...whole, hosts } as Fleet) as Fleet;
  return protectFleet({ ...whole, hosts, rollout: plainOrApply(rollout, asRollout) } as Fleet) as Fleet;
}

function isFleetArgs(args: FleetArgs | FleetArgs["hosts"]): args is FleetArgs {
  return isObject(args) && !Array.isArray(args) && "hosts" in args && typeof args.hosts === "object";
}

function asFleetHost(host: FleetHostArgs | ConnectionArgs): FleetHostArgs {
  return "connection" in host ? host : { connection: host };
}

function asRollout({ health, ...rest }: RolloutArgs): object {
  if (health === undefined) return rest;
  return { ...rest, health: plainOrApply(health, (checks) => (Array.isArray(checks) ? checks : [checks])) };
}

/** Makes secrets of the credentials of all connections; what else it holds stays readable in a preview. */
export function protectFleet(fleet: pulumi.Input<Fleet>): pulumi.Input<Fleet> {
  return plainOrApply(fleet, (whole) =>
    Array.isArray(whole)
      ? whole
      : {
          ...whole,
          hosts: eachPlainOrApply(whole.hosts, (one) => ({
            ...one,
            connection: protectCredentials(one.connection),
          })),
          ...(whole.connection === undefined
            ? {}
            : { connection: protectCredentials(whole.connection as pulumi.Input<ConnectionArgs>) }),
        },
  );
}
