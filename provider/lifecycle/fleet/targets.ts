/** The hosts of a fleet, and what is known of each. Pure. */
import { digestOf } from "../../protocol/spec";
import { connectionOf, type Fleet, type FleetHost, targetName } from "../../resources/fleet";
import type { CommonInputs, ResourceDefinition } from "../../resources/resource";
import type { Connection } from "../../transport/connection";
import { withDefaults, withoutDefaults } from "../defaults";
import { type Properties, withoutHostless } from "../state";

/** What one host holds, as far as is known. In the outputs by the host's name, so it is small. */
export interface Target {
  /** Of the version that it holds; empty: nobody knows. */
  digest: string;
  /** Of the creation that it belongs to. */
  incarnation: string;
  /** Whether the host answered when it was last asked. */
  reachable: boolean;
  /** Why it is not as it should be, in words. */
  drift: string[];
}

export type Targets = Record<string, Target>;

/** One host of the fleet. */
export interface Member {
  /** `host[:port]`. */
  name: string;
  connection: Connection;
  /** As the inputs have it. */
  host: FleetHost;
}

/** Checked inputs of a resource on a fleet. */
export type FleetInputs = Omit<CommonInputs, "connection" | "hosts"> & { hosts: Fleet };

const DIGEST_LENGTH = 16;
/** Longest list of names in a message. */
const MOST_NAMES = 10;

export function membersOf(fleet: Fleet): Member[] {
  return fleet.hosts.map((host) => {
    const connection = connectionOf(fleet, host);
    return { name: targetName(connection), connection, host };
  });
}

/** Whether these are inputs or a state of a fleet. */
export function isFleet(properties: object): boolean {
  const { connection, hosts } = properties as Properties;
  return connection === undefined && hosts !== undefined;
}

/** As if the resource had this host alone. */
export function inputsFor({ connection }: Member, inputs: FleetInputs): CommonInputs {
  const { hosts: _hosts, ...rest } = inputs;
  return { ...rest, connection };
}

/** What a host must hold, whoever it is and however it is reached. */
export function versionOf(definition: ResourceDefinition, inputs: object): string {
  const {
    specId: _id,
    drift: _drift,
    ...own
  } = withoutHostless(withoutDefaults(definition, inputs as Properties));
  const version = definition.version?.(withDefaults(definition, own)) ?? own;
  return digestOf(version as object).slice(0, DIGEST_LENGTH);
}

/** Whether an update has something to do on a host. */
export function isBehind(target: Target | undefined, desired: string): boolean {
  return target === undefined || target.digest !== desired || target.drift.length > 0;
}

/** What an update has to do: on hosts that are not as desired, and on hosts that left the fleet with something of it. */
export function workOf(
  members: readonly Member[],
  desired: string,
  { hosts, targets }: { hosts: Fleet; targets: Targets } = { hosts: { hosts: [] }, targets: {} },
): { behind: Member[]; leaving: Member[] } {
  const names = new Set(members.map(({ name }) => name));
  return {
    behind: members.filter(({ name }) => isBehind(targets[name], desired)),
    leaving: membersOf(hosts).filter(({ name }) => !names.has(name) && targets[name] !== undefined),
  };
}

/** `edge-1, edge-2 and 12 more`. */
export function namesOf(members: readonly { name: string }[]): string {
  const names = members.map(({ name }) => name);
  if (names.length <= MOST_NAMES) return names.join(", ");
  return `${names.slice(0, MOST_NAMES).join(", ")} and ${names.length - MOST_NAMES} more`;
}

/** `1 host`, `8 hosts`. */
export function hostsText(count: number): string {
  return `${count} ${count === 1 ? "host" : "hosts"}`;
}
