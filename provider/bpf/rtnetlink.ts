/** Interfaces, addresses and routes of the network namespace this process is in, as rtnetlink tells them. */
import { readSync, writeSync } from "node:fs";
import { EbpfError } from "../errors";
import { Descriptor } from "./descriptor";
import { checkCode, errnoName } from "./errno";
import { libc } from "./library";

/** sys/socket.h, uapi/linux/netlink.h, uapi/linux/rtnetlink.h */
const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0x80000;
const NETLINK_ROUTE = 0;
const RTM_GETLINK = 18;
const RTM_GETADDR = 22;
const RTM_GETROUTE = 26;
const NLM_F_REQUEST = 1;
const NLM_F_MULTI = 2;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLA_TYPE_MASK = 0x3fff;
const HEADER_BYTES = 16;
/** A dump comes in messages of at most 32 KiB (net/netlink/af_netlink.c, netlink_dump). */
const MESSAGE_BYTES = 65_536;

const IFLA = { ifname: 3, link: 5, linkinfo: 18, linkNetnsid: 37 } as const;
const IFLA_INFO_KIND = 1;
const IFA = { address: 1, local: 2 } as const;
const RTA = { dst: 1, src: 2, oif: 4, multipath: 9 } as const;
const AF_INET = 2;
const AF_INET6 = 10;
const RTN_UNICAST = 1;

/** uapi/linux/if_arp.h */
export const HARDWARE_TYPES = { ether: 1, loopback: 772 } as const;

export interface NetworkInterface {
  name: string;
  ifindex: number;
  /** `ARPHRD_…`; see HARDWARE_TYPES. */
  hardwareType: number;
  /** Of a VLAN device (802.1Q, 802.1ad): ifindex of the device that it is on, where that is in this namespace. */
  vlanParent?: number;
}

export function networkInterfaces(): NetworkInterface[] {
  return dump(RTM_GETLINK, 16, (body, attributes) => {
    const kind = attributes.get(IFLA.linkinfo);
    const isVlan =
      kind !== undefined && text(attributesOf(kind).get(IFLA_INFO_KIND) ?? Buffer.alloc(0)) === "vlan";
    const parent = attributes.has(IFLA.linkNetnsid) ? undefined : attributes.get(IFLA.link)?.readUInt32LE();
    return [
      {
        name: text(attributes.get(IFLA.ifname)!),
        ifindex: body.readInt32LE(4),
        hardwareType: body.readUInt16LE(2),
        ...(isVlan && parent !== undefined ? { vlanParent: parent } : {}),
      },
    ];
  });
}

/** Of all interfaces, IPv4 in 4 bytes and IPv6 in 16. */
export function interfaceAddresses(): { ifindex: number; address: Buffer }[] {
  return dump(RTM_GETADDR, 8, (body, attributes) => {
    const address = attributes.get(IFA.local) ?? attributes.get(IFA.address);
    return address === undefined ? [] : [{ ifindex: body.readInt32LE(4), address }];
  });
}

/** Interfaces of all default routes, IPv4 and IPv6, of all tables. */
export function defaultRouteInterfaces(): number[] {
  const found = dump(RTM_GETROUTE, 12, (body, attributes) => {
    if (body.readUInt8(1) !== 0 || body.readUInt8(7) !== RTN_UNICAST) return [];
    const oif = attributes.get(RTA.oif);
    return oif === undefined ? nextHops(attributes.get(RTA.multipath)) : [oif.readUInt32LE()];
  });
  return [...new Set(found)];
}

/**
 * ifindex of the interface by which a packet with these addresses (4 bytes, or 16 of IPv6) would leave; `undefined`: the
 * kernel has no way for it.
 */
export function routeInterface(source: Buffer, destination: Buffer): number | undefined {
  const body = Buffer.alloc(12);
  body.writeUInt8(destination.length === 4 ? AF_INET : AF_INET6, 0);
  body.writeUInt8(8 * destination.length, 1);
  body.writeUInt8(8 * source.length, 2);
  const request = Buffer.concat([body, attribute(RTA.dst, destination), attribute(RTA.src, source)]);
  try {
    const [found] = ask(RTM_GETROUTE, 0, request, body.length, (_answer, attributes) => [
      attributes.get(RTA.oif)?.readUInt32LE(),
    ]);
    return found;
  } catch (error) {
    if (EbpfError.is(error, "libbpf") && error.details.function === "netlink") return undefined;
    throw error;
  }
}

function attribute(type: number, value: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(4 + value.length, 0);
  head.writeUInt16LE(type, 2);
  return Buffer.concat([head, value]);
}

/** struct rtnexthop: length, flags, hops, ifindex. */
function nextHops(bytes: Buffer = Buffer.alloc(0)): number[] {
  const found: number[] = [];
  for (let at = 0; at + 8 <= bytes.length; at += align(Math.max(8, bytes.readUInt16LE(at)))) {
    found.push(bytes.readInt32LE(at + 4));
  }
  return found;
}

type Attributes = Map<number, Buffer>;

type Read<T> = (body: Buffer, attributes: Attributes) => T[];

function dump<T>(type: number, bodyBytes: number, read: Read<T>): T[] {
  return ask(type, NLM_F_DUMP, Buffer.alloc(16), bodyBytes, read);
}

/** `bodyBytes`: what each answer has before its attributes. */
function ask<T>(type: number, flags: number, body: Buffer, bodyBytes: number, read: Read<T>): T[] {
  const doing = `ask rtnetlink (message ${type})`;
  const fd = checkCode("socket", libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_ROUTE), doing);
  const socket = new Descriptor(fd, "netlink socket");
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(header.length + body.length, 0);
    header.writeUInt16LE(type, 4);
    header.writeUInt16LE(NLM_F_REQUEST | flags, 6);
    writeSync(socket.fd, Buffer.concat([header, body]));
    const results: T[] = [];
    for (;;) {
      const message = Buffer.alloc(MESSAGE_BYTES);
      const length = readSync(socket.fd, message);
      for (let at = 0; at + HEADER_BYTES <= length; at += align(message.readUInt32LE(at))) {
        const kind = message.readUInt16LE(at + 4);
        if (kind === NLMSG_DONE) return results;
        if (kind === NLMSG_ERROR) throw refused(doing, -message.readInt32LE(at + HEADER_BYTES));
        const answer = message.subarray(at + HEADER_BYTES, at + message.readUInt32LE(at));
        results.push(...read(answer, attributesOf(answer.subarray(bodyBytes))));
        if ((message.readUInt16LE(at + 6) & NLM_F_MULTI) === 0) return results;
      }
    }
  } finally {
    socket.close();
  }
}

function refused(doing: string, errno: number): EbpfError {
  const name = errnoName(errno);
  return new EbpfError("libbpf", `${doing}: ${name}`, { function: "netlink", errno, errnoName: name });
}

function attributesOf(bytes: Buffer): Attributes {
  const attributes: Attributes = new Map();
  for (let at = 0; at + 4 <= bytes.length; at += align(Math.max(4, bytes.readUInt16LE(at)))) {
    attributes.set(
      bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK,
      bytes.subarray(at + 4, at + bytes.readUInt16LE(at)),
    );
  }
  return attributes;
}

function align(length: number): number {
  return (length + 3) & ~3;
}

function text(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}
