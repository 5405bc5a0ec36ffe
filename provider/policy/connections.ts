/** The ways to hosts that a resource's properties hold. */
import { connectionOf, type Fleet } from "../resources/fleet";
import type { Connection, Proxy } from "../transport/connection";
import type { Properties } from "./rule";

export interface Reached {
  /** Where it stands: `connection`, `connection.proxy`. */
  property: string;
  connection: Proxy & Pick<Connection, "transport">;
}

/** Bastions included. A provider's own connection stands in the checked inputs of its resources. */
export function connectionsOf(properties: Properties): Reached[] {
  return targetsOf(properties).flatMap(({ property, connection }) => [
    { property, connection },
    ...(connection.proxy === undefined
      ? []
      : [{ property: `${property}.proxy`, connection: connection.proxy }]),
  ]);
}

/** The hosts that a resource is for. */
export function targetsOf({ connection, hosts }: Properties): { property: string; connection: Connection }[] {
  if (hosts !== undefined) {
    const fleet = hosts as Fleet;
    return fleet.hosts.map((host, index) => ({
      property: `hosts.hosts[${index}].connection`,
      connection: connectionOf(fleet, host),
    }));
  }
  return connection === undefined ? [] : [{ property: "connection", connection: connection as Connection }];
}
