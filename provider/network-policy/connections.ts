/** Which packet opens a connection, and which belongs to one: sentences 29 to 34, 48, 49 and 51. */
import type { Connection, Evaluation, Packet, PacketHeader, PassedFragment, Tracked } from "./packet";
import type { Direction } from "./applied";
import { hasPorts, icmpQuery, isIcmp, protocolNumber, PROTOCOLS } from "./protocols";

/** What is known after a packet: pass it to the next `evaluate`. A connection replaces one the other way round. */
export function track(tracked: readonly Tracked[], { ends, opens = [] }: Evaluation): Tracked[] {
  const opened = opens.filter((one) => !("fragment" in one));
  const replaced = (one: Connection) =>
    opened.some(
      (other) =>
        (one.direction === other.direction && sameFlow(one, other)) ||
        (answers(one, other) && !isIcmp(protocolNumber(one.protocol)) && !sameFlow(one, other)),
    );
  const fragments = opens.filter((one) => "fragment" in one);
  const rest = tracked.filter((one) =>
    "fragment" in one ? !fragments.some((other) => sameFragment(one, other)) : one !== ends && !replaced(one),
  );
  return [...rest, ...opens];
}

function sameFragment(one: PassedFragment, other: PassedFragment): boolean {
  return (
    one.fragment === other.fragment &&
    one.direction === other.direction &&
    one.source === other.source &&
    one.destination === other.destination &&
    protocolNumber(one.protocol) === protocolNumber(other.protocol)
  );
}

/** What a passing packet opens; nothing, or one connection. */
export function opens(packet: Packet): Connection[] {
  const { direction, source, destination, protocol, sourcePort, destinationPort, type, identifier } = packet;
  const number = protocolNumber(protocol);
  const flow = { direction, source, destination, protocol };
  if (hasPorts(number)) {
    if (packet.tcpFlags?.includes("RST")) return [];
    return [{ ...flow, sourcePort: sourcePort!, destinationPort: destinationPort! }];
  }
  if (!isIcmp(number)) return [flow];
  if (icmpQuery(number, type!)?.role !== "request") return [];
  return [{ ...flow, type: type!, code: packet.code ?? 0, identifier: identifier ?? 0 }];
}

export function sideOf(
  connection: Connection,
  packet: PacketHeader & Pick<Packet, "direction" | "tcpFlags">,
): "original" | "reply" | undefined {
  const protocol = protocolNumber(packet.protocol);
  const role = isIcmp(protocol) ? icmpQuery(protocol, packet.type!)?.role : undefined;
  if (isIcmp(protocol) && role === undefined) return undefined;
  if (role !== "reply" && sameFlow(connection, packet)) {
    return connection.direction === packet.direction ? "original" : undefined;
  }
  const synchronizes = packet.tcpFlags?.includes("SYN") && !packet.tcpFlags.includes("ACK");
  if (role === "request" || synchronizes || connection.direction === packet.direction) return undefined;
  return answers(connection, packet) ? "reply" : undefined;
}

/** Whether one is the other's flow the other way round. */
function answers<Header extends PacketHeader & { direction: Direction }>(
  one: Header,
  other: Header,
): boolean {
  return one.source === other.destination && sameFlow(one, exchanged(other));
}

function exchanged<Header extends PacketHeader & { direction: Direction }>(packet: Header): Header {
  const { source, destination, sourcePort, destinationPort } = packet;
  const reversed = { ...packet, source: destination, destination: source };
  if (sourcePort !== undefined) reversed.destinationPort = sourcePort;
  if (destinationPort !== undefined) reversed.sourcePort = destinationPort;
  return reversed;
}

function sameFlow(one: PacketHeader, other: PacketHeader): boolean {
  if (one.source !== other.source || one.destination !== other.destination) return false;
  const protocol = protocolNumber(one.protocol);
  return (
    protocol === protocolNumber(other.protocol) &&
    one.sourcePort === other.sourcePort &&
    one.destinationPort === other.destinationPort &&
    (!isIcmp(protocol) ||
      (icmpQuery(protocol, one.type!)?.request === icmpQuery(protocol, other.type!)?.request &&
        (one.identifier ?? 0) === (other.identifier ?? 0)))
  );
}

/** Neighbour discovery, multicast listeners, IGMP and the DHCP client. */
export function isInfrastructure(packet: Packet): boolean {
  if (packet.fragment !== undefined) return false;
  const protocol = protocolNumber(packet.protocol);
  const ipv6 = packet.source.includes(":");
  if (protocol === PROTOCOLS.IGMP) return !ipv6;
  if (protocol === PROTOCOLS.ICMPv6) return ipv6 && ICMPV6_INFRASTRUCTURE.includes(packet.type!);
  if (protocol !== PROTOCOLS.UDP) return false;
  const [client, server] = ipv6 ? [546, 547] : [68, 67];
  const [from, to] = packet.direction === "egress" ? [client, server] : [server, client];
  return packet.sourcePort === from && packet.destinationPort === to;
}

const ICMPV6_INFRASTRUCTURE = [130, 131, 132, 133, 134, 135, 136, 137, 143];
