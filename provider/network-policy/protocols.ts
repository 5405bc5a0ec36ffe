/** IP protocols by name and number, and what is special about some. */

/** As `protocol` of a rule's ports spells them. */
export const PROTOCOLS = {
  ICMP: 1,
  IGMP: 2,
  IPIP: 4,
  TCP: 6,
  UDP: 17,
  IPV6: 41,
  GRE: 47,
  ESP: 50,
  AH: 51,
  ICMPv6: 58,
  OSPF: 89,
  VRRP: 112,
  SCTP: 132,
} as const;

export type ProtocolName = keyof typeof PROTOCOLS;

export function protocolNumber(protocol: ProtocolName | number): number {
  return typeof protocol === "number" ? protocol : PROTOCOLS[protocol];
}

export function protocolText(number: number): string {
  const known = Object.entries(PROTOCOLS).find(([, value]) => value === number);
  return known === undefined ? `protocol ${number}` : known[0];
}

/** Protocols whose header begins with source and destination port. */
export function hasPorts(protocol: number): boolean {
  return protocol === PROTOCOLS.TCP || protocol === PROTOCOLS.UDP || protocol === PROTOCOLS.SCTP;
}

export function isIcmp(protocol: number): boolean {
  return protocol === PROTOCOLS.ICMP || protocol === PROTOCOLS.ICMPv6;
}

/** Protocols that a rule can tell apart by 16 bits: the destination port, or type and code. */
export function hasService(protocol: number): boolean {
  return hasPorts(protocol) || isIcmp(protocol);
}

/** Messages that quote a packet: RFC 792; RFC 4443 numbers them below 128. */
export function isIcmpError(protocol: number, type: number): boolean {
  return protocol === PROTOCOLS.ICMP ? [3, 4, 5, 11, 12].includes(type) : type >= 1 && type < 128;
}

/** Requests that have one matching reply: echo, timestamp. */
const ICMP_REPLIES: Record<number, Record<number, number>> = {
  [PROTOCOLS.ICMP]: { 8: 0, 13: 14 },
  [PROTOCOLS.ICMPv6]: { 128: 129 },
};

/** The request's type, when `type` is such a request or its reply. */
export function icmpQuery(
  protocol: number,
  type: number,
): { request: number; role: "request" | "reply" } | undefined {
  for (const [request, reply] of Object.entries(ICMP_REPLIES[protocol] ?? {})) {
    if (type === Number(request)) return { request: type, role: "request" };
    if (type === reply) return { request: Number(request), role: "reply" };
  }
  return undefined;
}

/** Headers between IPv6 and what it carries; they are skipped, so that no packet has them as its protocol. */
export const IPV6_EXTENSIONS: readonly number[] = [0, 43, 44, 60];
