/**
 * Connections that were open before anything judged them, put into the table of connections, so that the first
 * enforcement breaks none that its rules allow: from sockets, where a local port that listens means inbound, and from
 * the kernel's own conntrack where it is loaded. They carry a generation that never judges: their first packet is
 * judged as their opening one would have been.
 */
import fs from "node:fs";
import { MapFlag, type MapHandle, isErrno } from "../../bpf";
import { formatAddress, parseAddress } from "../../btf";
import { PROTOCOLS } from "../../network-policy/protocols";
import { systemCode } from "../durable-file";
import { inNetns } from "../hooks/netns";
import { SEEDED_GENERATION } from "./numbers";

const INGRESS = 0;
const EGRESS = 1;

interface End {
  /** 4 or 16 bytes. */
  address: Buffer;
  port: number;
}

/** As its packets are on the wire. */
interface OpenConnection {
  protocol: number;
  originator: End;
  responder: End;
  /** Hooks that its opening packet ran through. */
  hooks: (typeof INGRESS | typeof EGRESS)[];
}

/** What is open in a namespace; `self`: addresses of the host there. */
export function openConnections(netns: string | undefined, self: readonly string[]): OpenConnection[] {
  return inNetns(netns === undefined ? {} : { netns }, () => [
    ...(["tcp", "tcp6", "udp", "udp6"] as const).flatMap(ofSockets),
    ...ofConntrack(self),
  ]);
}

/** Those that the table has already stay as they are. */
export function seed(
  established: MapHandle,
  connections: readonly OpenConnection[],
  policyOf: (address: Buffer) => number,
): void {
  const now = process.hrtime.bigint();
  for (const { protocol, originator, responder, hooks } of connections) {
    const originatorHigh = compare(originator, responder) > 0;
    const [high, low] = originatorHigh ? [originator, responder] : [responder, originator];
    const key = Buffer.alloc(48);
    writeAddress(key, 0, low.address);
    writeAddress(key, 16, high.address);
    key.writeUInt32LE(low.port, 32);
    key.writeUInt32LE(high.port, 36);
    key.writeUInt32LE(protocol | ((low.address.length === 4 ? 4 : 6) << 8), 40);
    // struct flow of network-policy.h
    const flow = Buffer.alloc(96);
    for (const hook of hooks) {
      flow.writeBigUInt64LE(SEEDED_GENERATION, 8 * hook);
      flow.writeUInt32LE(policyOf(hook === INGRESS ? responder.address : originator.address), 64 + 4 * hook);
    }
    for (const side of [0, 1]) flow.writeBigUInt64LE(now, 16 + 8 * side);
    flow.writeUInt16LE(responder.port, 88);
    flow.writeUInt8(Number(originatorHigh), 90);
    try {
      established.update(key, flow, MapFlag.BPF_NOEXIST);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
  }
}

/** include/net/tcp_states.h: all between the handshake and the end. */
const OPEN = [1, 4, 5, 8, 9, 11];
const LISTEN = 10;

function ofSockets(table: "tcp" | "tcp6" | "udp" | "udp6"): OpenConnection[] {
  const sockets = readLines(table)
    .slice(1)
    .map((line) => {
      const [, local, remote, state] = line.trim().split(/\s+/);
      return { local: endOf(local!), remote: endOf(remote!), state: Number.parseInt(state!, 16) };
    });
  const listening = new Set(sockets.filter(({ state }) => state === LISTEN).map(({ local }) => local.port));
  if (table === "tcp")
    readLines("tcp6")
      .slice(1)
      .forEach((line) => addListening(line, listening));
  return sockets
    .filter(({ state, remote }) => OPEN.includes(state) && remote.port !== 0)
    .map(({ local, remote }): OpenConnection => {
      const protocol = table.startsWith("tcp") ? PROTOCOLS.TCP : PROTOCOLS.UDP;
      return listening.has(local.port)
        ? { protocol, originator: remote, responder: local, hooks: [INGRESS] }
        : { protocol, originator: local, responder: remote, hooks: [EGRESS] };
    });
}

/** A socket of IPv6 may listen for IPv4, and what it accepts then is in its own table. */
function addListening(line: string, listening: Set<number>): void {
  const [, local, , state] = line.trim().split(/\s+/);
  if (Number.parseInt(state!, 16) === LISTEN) listening.add(endOf(local!).port);
}

/** `0100007F:1F90`: each 32 bits in the byte order of the machine, which is little endian. */
function endOf(text: string): End {
  const [address, port] = text.split(":");
  const bytes = Buffer.from(address!, "hex").swap32();
  const isMapped = bytes.length === 16 && bytes.readUInt32BE(8) === 0xffff && bytes.readBigUInt64BE(0) === 0n;
  return { address: isMapped ? bytes.subarray(12) : bytes, port: Number.parseInt(port!, 16) };
}

/** Two tuples a line: of the opening packet as it came, and of the answer to it; they differ where addresses are translated. */
function ofConntrack(self: readonly string[]): OpenConnection[] {
  // the kernel writes IPv6 addresses out in full
  const isOwn = ({ address }: End) => self.includes(formatAddress(address));
  return readLines("nf_conntrack").flatMap((line): OpenConnection[] => {
    const protocol = Number(line.trim().split(/\s+/)[3]);
    if (line.includes("[UNREPLIED]") || !TRACKED.includes(protocol)) return [];
    if (protocol === PROTOCOLS.TCP && !/ (ESTABLISHED|FIN_WAIT|CLOSE_WAIT|LAST_ACK) /.test(line)) return [];
    const tuples = [...line.matchAll(/src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)/g)].map(
      ([, source, destination, sport, dport]) => ({
        source: { address: addressOf(source!), port: Number(sport) },
        destination: { address: addressOf(destination!), port: Number(dport) },
      }),
    );
    const [opening, answer] = tuples;
    if (opening === undefined || answer === undefined) return [];
    const came = { originator: opening.source, responder: opening.destination };
    const left = { originator: answer.destination, responder: answer.source };
    if (isOwn(opening.source)) return [{ protocol, ...left, hooks: [EGRESS] }];
    if (isOwn(answer.source)) return [{ protocol, ...came, hooks: [INGRESS] }];
    const isSame =
      compare(came.originator, left.originator) === 0 && compare(came.responder, left.responder) === 0;
    if (isSame) return [{ protocol, ...came, hooks: [INGRESS, EGRESS] }];
    return [
      { protocol, ...came, hooks: [INGRESS] },
      { protocol, ...left, hooks: [EGRESS] },
    ];
  });
}

const TRACKED: number[] = [PROTOCOLS.TCP, PROTOCOLS.UDP, PROTOCOLS.SCTP];

function addressOf(text: string): Buffer {
  return parseAddress(text, text.includes(":") ? 16 : 4)!;
}

/** Of the network namespace that the main thread is in. What the kernel lacks is empty. */
function readLines(table: string): string[] {
  try {
    return fs.readFileSync(`/proc/self/net/${table}`, "utf8").split("\n").filter(Boolean);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    throw error;
  }
}

/** The order of ends in a key. */
function compare(a: End, b: End): number {
  return Buffer.compare(a.address, b.address) || a.port - b.port;
}

/** Two u64 as the program has them: an IPv4 address in the high half of the first. */
function writeAddress(key: Buffer, at: number, address: Buffer): void {
  const wide = Buffer.concat([address, Buffer.alloc(16 - address.length)]);
  key.writeBigUInt64LE(wide.readBigUInt64BE(0), at);
  key.writeBigUInt64LE(wide.readBigUInt64BE(8), at + 8);
}
