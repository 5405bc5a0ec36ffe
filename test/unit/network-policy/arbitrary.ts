/**
 * Random policies and packets for property tests. Addresses and ports come from few, nested networks and edges, so
 * that packets hit rules, and their first and last addresses, instead of nothing.
 */
import fc from "fast-check";
import type {
  AppliedPeer,
  AppliedPolicy,
  AppliedPort,
  AppliedRule,
  Direction,
} from "../../../provider/network-policy/applied";
import { formatAddress, masked, parseAddress } from "../../../provider/btf";
import type { Wire } from "../../../provider/network-policy/frames";
import type { Frame, Packet } from "../../../provider/network-policy/packet";
import {
  hasPorts,
  isIcmp,
  IPV6_EXTENSIONS,
  isIcmpError,
  protocolNumber,
  type ProtocolName,
} from "../../../provider/network-policy/protocols";

const BASES4 = [
  "10.0.0.0",
  "10.1.0.0",
  "10.1.2.0",
  "10.1.2.128",
  "198.51.100.7",
  "0.0.0.0",
  "255.255.255.255",
];
const BASES6 = [
  "2001:db8::",
  "2001:db8:7::",
  "2001:db8:7:1::",
  "2001:db8:7:1::ffff",
  "fe80::1",
  "::",
  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

function network(address: string, prefix: number): string {
  return `${formatAddress(masked(parseAddress(address, address.includes(":") ? 16 : 4)!, prefix))}/${prefix}`;
}

function cidrOf(bases: string[], prefixes: number[]): fc.Arbitrary<string> {
  return fc
    .record({ base: fc.constantFrom(...bases), prefix: fc.constantFrom(...prefixes) })
    .map(({ base, prefix }) => network(base, prefix));
}

const cidr4 = cidrOf(BASES4, [0, 1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32]);
const cidr6 = cidrOf(BASES6, [0, 1, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 112, 127, 128]);
export const cidr = fc.oneof(cidr4, cidr6);

/** The first or last address of a network, or the one before or after it. */
function edges(cidr: fc.Arbitrary<string>, size: 4 | 16): fc.Arbitrary<string> {
  const bits = BigInt(size * 8);
  return fc
    .record({ cidr, last: fc.boolean(), by: fc.constantFrom(-1n, 0n, 0n, 1n) })
    .map(({ cidr, last, by }) => {
      const [address = "", prefix = ""] = cidr.split("/");
      const first = BigInt(`0x${parseAddress(address, size)!.toString("hex")}`);
      const at = (last ? first + (1n << (bits - BigInt(prefix))) - 1n : first) + by;
      const wrapped = ((at % (1n << bits)) + (1n << bits)) % (1n << bits);
      return formatAddress(Buffer.from(wrapped.toString(16).padStart(size * 2, "0"), "hex"));
    });
}

const peer: fc.Arbitrary<AppliedPeer> = fc.oneof(
  { weight: 4, arbitrary: fc.array(cidr, { minLength: 1, maxLength: 3 }).map((cidrs) => ({ cidrs })) },
  {
    weight: 2,
    arbitrary: fc
      .record({
        cidrs: fc.array(cidr, { minLength: 1, maxLength: 1 }),
        except: fc.array(cidr, { maxLength: 3 }),
      })
      .map(({ cidrs, except }) => ({ cidrs, except })),
  },
);

const PORTS = [1, 22, 80, 255, 256, 257, 443, 8080, 65535];
const port = fc.constantFrom(...PORTS);
const portProtocol = fc.constantFrom<ProtocolName>("TCP", "UDP", "SCTP");
const icmpProtocol = fc.constantFrom<ProtocolName>("ICMP", "ICMPv6");
const icmpType = fc.constantFrom(0, 8, 13, 14, 128, 129, 255);

export const portEntry: fc.Arbitrary<AppliedPort> = fc.oneof(
  fc.record({ protocol: portProtocol, port }),
  fc
    .record({ protocol: portProtocol, a: port, b: port })
    .map(({ protocol, a, b }) => ({ protocol, port: Math.min(a, b), endPort: Math.max(a, b) })),
  fc.record({ protocol: icmpProtocol, type: icmpType }),
  fc.record({ protocol: icmpProtocol, type: icmpType, code: fc.constantFrom(0, 1, 255) }),
  fc.record({
    protocol: fc.constantFrom<ProtocolName | number>("TCP", "UDP", "ICMP", "GRE", 50, 51, 1, 255, 3),
  }),
);

const action = fc.oneof(
  { weight: 3, arbitrary: fc.constant("allow" as const) },
  { weight: 1, arbitrary: fc.constant("deny" as const) },
);

function rules(most: number): fc.Arbitrary<AppliedRule[]> {
  const rule = fc.record(
    {
      action,
      peers: fc.array(peer, { minLength: 1, maxLength: 3 }),
      ports: fc.array(portEntry, { minLength: 1, maxLength: 3 }),
    },
    { requiredKeys: ["action"] },
  );
  return fc
    .array(rule, { maxLength: most })
    .map((list) => list.map((one, index) => ({ ...one, name: `rule ${(index * 7) % 10}${index}` })));
}

/** All policies of an interface. */
export function unions({ policies = 4, rules: most = 6 } = {}): fc.Arbitrary<AppliedPolicy[]> {
  const policy = fc.record(
    {
      stack: fc.constantFrom("acme/prod", "acme/dev"),
      mode: fc.constantFrom("enforce" as const, "enforce" as const, "audit" as const),
      infrastructure: fc.constantFrom(true, true, true, false),
      ingress: rules(most),
      egress: rules(most),
    },
    { requiredKeys: ["stack", "mode", "infrastructure"] },
  );
  return fc
    .record({
      list: fc.array(policy, { maxLength: policies }),
      established: fc.constantFrom("recheck" as const, "keep" as const, "ignore" as const),
    })
    .map(({ list, established }) =>
      list.map((one, index) => ({ ...one, name: `policy ${(index * 3) % 4}`, established })),
    );
}

const direction = fc.constantFrom<Direction>("ingress", "egress");
/** Never the same: no packet of a host to itself is judged. */
const addresses = fc
  .oneof(fc.tuple(edges(cidr4, 4), edges(cidr4, 4)), fc.tuple(edges(cidr6, 16), edges(cidr6, 16)))
  .filter(([source, destination]) => source !== destination);
const anyPort = fc.oneof(port, port, fc.constantFrom(0, 2, 21, 23, 53, 67, 68, 258, 546, 547, 50000, 65534));

const wanted = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ protocol: portProtocol, sourcePort: anyPort, destinationPort: anyPort }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      protocol: icmpProtocol,
      type: fc.oneof(icmpType, fc.integer({ min: 0, max: 255 })),
      code: fc.constantFrom(0, 1, 255),
      identifier: fc.constantFrom(0, 7, 65535),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      protocol: fc.oneof(
        fc.constantFrom<ProtocolName | number>("GRE", "ESP", "AH", "IGMP"),
        fc.integer({ min: 0, max: 255 }).filter((number) => !hasPorts(number) && !isIcmp(number)),
      ),
    }),
  },
);

/** Whole packets that no ICMP error is among. */
export const packets: fc.Arbitrary<Packet> = fc
  .record({ direction, addresses, wanted })
  .map(({ direction, addresses: [source, destination], wanted }) => ({
    direction,
    source,
    destination,
    ...wanted,
  }))
  .filter((packet) => {
    const { type, source } = packet as Packet;
    const protocol = protocolNumber(packet.protocol);
    if (source.includes(":") && IPV6_EXTENSIONS.includes(protocol)) return false;
    return type === undefined || !isIcmpError(protocol, type);
  });

/** The same as later fragments: without what stands in the first. */
export function laterFragment(packet: Packet, id: number): Packet {
  const { direction, source, destination, protocol } = packet;
  return { direction, source, destination, protocol, fragment: { id, position: "later" } };
}

/** The 16 bits that rules on services see. */
export function serviceOf(packet: Packet): number {
  const protocol = protocolNumber(packet.protocol);
  if (hasPorts(protocol)) return packet.destinationPort!;
  return isIcmp(protocol) ? packet.type! * 256 + packet.code! : 0;
}

/** Packets that belong together: few ends, replies, fragments, ICMP errors, flags. */
export function conversations(length: number): fc.Arbitrary<Packet[]> {
  const turn = fc.record({
    opener: fc.nat({ max: 5 }),
    kind: fc.constantFrom(
      "open",
      "original",
      "reply",
      "reply",
      "other hook",
      "first",
      "later",
      "error",
      "reset",
    ),
    direction,
    truncated: fc.nat({ max: 9 }).map((number) => number === 0),
  });
  return fc
    .record({
      openers: fc.array(packets, { minLength: 6, maxLength: 6 }),
      turns: fc.array(turn, { minLength: length, maxLength: length }),
    })
    .map(({ openers, turns }) =>
      turns.map(({ opener, kind, direction, truncated }): Packet => {
        const packet = openers[opener]!;
        const tcp = protocolNumber(packet.protocol) === 6;
        const flagged = (one: Packet, flags: Packet["tcpFlags"]) =>
          tcp ? { ...one, tcpFlags: flags! } : one;
        switch (kind) {
          case "open":
            return flagged(packet, ["SYN"]);
          case "reset":
            return flagged(packet, ["RST"]);
          case "other hook":
            return flagged({ ...packet, direction }, ["SYN"]);
          case "reply":
            return flagged(replyTo(packet), truncated ? ["SYN"] : ["SYN", "ACK"]);
          case "first":
            return { ...packet, fragment: { id: opener + 1, position: "first" } };
          case "later":
            return laterFragment(truncated ? { ...packet, direction } : packet, opener + 1);
          case "error":
            return errorAbout(packet, direction, truncated);
          default:
            return packet;
        }
      }),
    );
}

export interface Sent {
  packet: Packet | Frame;
  wire: Wire;
}

/** `length` packets one after the other, of conversations and of none, each in a form of its own on the wire. */
export function traffic(length: number): fc.Arbitrary<Sent[]> {
  const together = 50;
  const some = fc.oneof(
    { weight: 3, arbitrary: conversations(together) },
    { weight: 1, arbitrary: fc.array(packets, { minLength: together, maxLength: together }) },
  );
  const parts = Math.ceil(length / together);
  return fc
    .record({
      parts: fc.array(some, { minLength: parts, maxLength: parts }),
      forms: fc.array(form, { minLength: length, maxLength: length }),
    })
    .map(({ parts, forms }) => {
      const list = parts.flat();
      return forms.map((form, index) => sent(list[index]!, form));
    });
}

const form = fc.record({
  vlans: fc.constantFrom(0, 0, 0, 1, 2),
  options: fc.constantFrom(0, 0, 4, 40),
  extensions: fc.array(fc.constantFrom(0, 43, 60), { maxLength: 3 }),
  quotesLeast: fc.boolean(),
  frame: fc.nat({ max: 99 }),
});

const TAGS = [
  { protocol: 0x88a8, id: 6 },
  { protocol: 0x8100, id: 5 },
] as const;

function sent(packet: Packet, { vlans, options, extensions, quotesLeast, frame }: FormOf<typeof form>): Sent {
  const tags = { vlans: TAGS.slice(TAGS.length - vlans) };
  const kind = (["arp", "other", "malformed"] as const)[frame];
  if (kind !== undefined) {
    // at tc the kernel refuses to test-run what holds no whole IP header
    const direction = kind === "malformed" ? "ingress" : packet.direction;
    return { packet: { direction, frame: kind }, wire: tags };
  }
  const ipv6 = packet.source.includes(":");
  const wire: Wire = { ...tags, ...(ipv6 ? { extensions } : { options }) };
  // RFC 792 and ICMPv6's way to end where a packet is large: the IP header and 64 bits of what it carries
  return { packet, wire: quotesLeast ? { ...wire, quotedBytes: (ipv6 ? 40 : 20) + 8 } : wire };
}

type FormOf<Arbitrary> = Arbitrary extends fc.Arbitrary<infer Value> ? Value : never;

const REPLIES: Record<number, number> = { 8: 0, 13: 14, 128: 129 };

function replyTo(packet: Packet): Packet {
  const reply: Packet = {
    ...packet,
    direction: packet.direction === "ingress" ? "egress" : "ingress",
    source: packet.destination,
    destination: packet.source,
  };
  if (packet.sourcePort !== undefined) reply.destinationPort = packet.sourcePort;
  if (packet.destinationPort !== undefined) reply.sourcePort = packet.destinationPort;
  if (packet.type !== undefined) reply.type = REPLIES[packet.type] ?? packet.type;
  return reply;
}

function errorAbout(quoted: Packet, direction: Direction, truncated: boolean): Packet {
  const ipv6 = quoted.source.includes(":");
  const { direction: _, ...header } = quoted;
  return {
    direction,
    source: ipv6 ? "2001:db8::99" : "203.0.113.99",
    destination: quoted.source,
    ...(ipv6 ? { protocol: "ICMPv6", type: 2, code: 0 } : { protocol: "ICMP", type: 3, code: 4 }),
    quotes: truncated ? "truncated" : header,
  };
}
