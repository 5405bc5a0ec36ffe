/** Packets of the evaluator as bytes on the wire, for test-runs of the program. */
import { parseAddress } from "../btf";
import type { Frame, Packet, PacketHeader } from "./packet";
import { hasPorts, icmpQuery, isIcmp, protocolNumber } from "./protocols";

export interface Wire {
  /** Tags from the outermost on. */
  vlans?: { protocol: 0x8100 | 0x88a8; id: number }[];
  /** Bytes of IPv4 options, a multiple of 4. */
  options?: number;
  /** IPv6 extension headers by number, each 8 bytes. */
  extensions?: number[];
  /** Bytes of an ICMP error's quotation. Default: all of its headers. */
  quotedBytes?: number;
}

export function frameOf(packet: Packet | Frame, wire: Wire = {}): Buffer {
  if ("frame" in packet) {
    if (packet.frame === "arp") return ethernet(0x0806, Buffer.alloc(28), wire);
    return packet.frame === "other"
      ? ethernet(0x88cc, Buffer.alloc(46), wire)
      : ethernet(0x0800, Buffer.alloc(12), wire);
  }
  return ethernet(packet.source.includes(":") ? 0x86dd : 0x0800, datagram(packet, wire), wire);
}

export function ethernet(protocol: number, payload: Buffer, { vlans = [] }: Wire = {}): Buffer {
  const head = Buffer.alloc(14 + 4 * vlans.length);
  head.set([0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01]);
  let at = 12;
  for (const { protocol, id } of vlans) {
    at = head.writeUInt16BE(protocol, at);
    at = head.writeUInt16BE(id, at);
  }
  head.writeUInt16BE(protocol, at);
  return Buffer.concat([head, payload]);
}

function datagram(packet: Packet, wire: Wire): Buffer {
  const later = packet.fragment?.position === "later";
  const payload = later ? Buffer.alloc(32, 0xee) : transport(packet, wire);
  return network(packet, payload, wire, packet.fragment);
}

function network(header: PacketHeader, payload: Buffer, wire: Wire, fragment?: Packet["fragment"]): Buffer {
  const protocol = protocolNumber(header.protocol);
  const later = fragment?.position === "later";
  if (!header.source.includes(":")) {
    const { options = 0 } = wire;
    const ip = Buffer.alloc(20 + options, 1);
    ip.writeUInt8(0x45 + options / 4, 0);
    ip.writeUInt8(0, 1);
    ip.writeUInt16BE(ip.length + payload.length, 2);
    ip.writeUInt16BE(fragment?.id ?? 1, 4);
    ip.writeUInt16BE(fragment === undefined ? 0x4000 : later ? 185 : 0x2000, 6);
    ip.writeUInt8(64, 8);
    ip.writeUInt8(protocol, 9);
    ip.writeUInt16BE(0, 10);
    ip.set(parseAddress(header.source, 4)!, 12);
    ip.set(parseAddress(header.destination, 4)!, 16);
    return Buffer.concat([ip, payload]);
  }
  const { extensions = [] } = wire;
  const chain = [...extensions, ...(fragment === undefined ? [] : [44])];
  const headers = chain.map((kind, index) => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt8(chain[index + 1] ?? protocol, 0);
    if (kind === 44) {
      bytes.writeUInt16BE(later ? 1480 : fragment === undefined ? 0 : 1, 2);
      bytes.writeUInt32BE(fragment?.id ?? 1, 4);
    }
    return bytes;
  });
  const ip = Buffer.alloc(40);
  ip.writeUInt8(0x60, 0);
  ip.writeUInt16BE(8 * chain.length + payload.length, 4);
  ip.writeUInt8(chain[0] ?? protocol, 6);
  ip.writeUInt8(64, 7);
  ip.set(parseAddress(header.source, 16)!, 8);
  ip.set(parseAddress(header.destination, 16)!, 24);
  return Buffer.concat([ip, ...headers, payload]);
}

const TCP_FLAGS = { FIN: 1, SYN: 2, RST: 4, ACK: 16 };

function transport(packet: PacketHeader & Partial<Packet>, wire: Wire): Buffer {
  const protocol = protocolNumber(packet.protocol);
  if (hasPorts(protocol)) {
    const header = Buffer.alloc(protocol === 6 ? 20 : 12);
    header.writeUInt16BE(packet.sourcePort!, 0);
    header.writeUInt16BE(packet.destinationPort!, 2);
    if (protocol === 6) {
      header.writeUInt8(0x50, 12);
      header.writeUInt8(
        (packet.tcpFlags ?? ["ACK"]).reduce((all, flag) => all | TCP_FLAGS[flag], 0),
        13,
      );
    }
    return header;
  }
  if (!isIcmp(protocol)) return Buffer.alloc(16, 0xaa);
  const header = Buffer.alloc(8);
  header.writeUInt8(packet.type!, 0);
  header.writeUInt8(packet.code ?? 0, 1);
  if (icmpQuery(protocol, packet.type!) !== undefined) header.writeUInt16BE(packet.identifier ?? 0, 4);
  const { quotes } = packet;
  if (quotes === undefined) return header;
  if (quotes === "truncated") return Buffer.concat([header, Buffer.alloc(10)]);
  const quoted = network(quotes, transport(quotes, {}), {});
  return Buffer.concat([header, quoted.subarray(0, wire.quotedBytes ?? quoted.length)]);
}
