/** Packets and connections as the evaluator sees them, in a user's words. */
import type { Direction, RuleName } from "./applied";
import type { ProtocolName } from "./protocols";

/** Addresses and what of the protocol's header matters. */
export interface PacketHeader {
  source: string;
  destination: string;
  protocol: ProtocolName | number;
  /** TCP, UDP and SCTP; absent in later fragments. */
  sourcePort?: number;
  destinationPort?: number;
  /** ICMP and ICMPv6; absent in later fragments. */
  type?: number;
  code?: number;
  /** Of ICMP requests and replies. Default 0. */
  identifier?: number;
}

export interface Packet extends PacketHeader {
  direction: Direction;
  /** Default: none, a segment in the midst of a connection. */
  tcpFlags?: readonly ("SYN" | "ACK" | "FIN" | "RST")[];
  fragment?: { id: number; position: "first" | "later" };
  /** Of an ICMP error: the packet that it quotes, or that it quotes too little to know. */
  quotes?: PacketHeader | "truncated";
}

/** A frame without an IP packet that can be judged. */
export interface Frame {
  direction: Direction;
  frame: "arp" | "other" | "malformed";
}

export interface Verdict {
  verdict: "allow" | "deny";
  /** The deciding rule; absent where none decides. */
  rule?: RuleName;
}

/** A packet that passed and may have replies. */
export interface Connection extends PacketHeader {
  direction: Direction;
  /** A reply came by. Default false. */
  answered?: boolean;
}

/** The first fragment of a packet passed: later ones follow it. */
export interface PassedFragment {
  direction: Direction;
  source: string;
  destination: string;
  protocol: ProtocolName | number;
  fragment: number;
  rule?: RuleName;
  audit?: Verdict;
}

export type Tracked = Connection | PassedFragment;

export type Reason =
  /** A rule decides. */
  | "rule"
  /** No rule matches in a direction that is named. */
  | "default"
  /** No rule matches, and no enforced policy names the direction. */
  | "unnamed"
  /** The packet belongs to a connection; `rule` is the one that decides about its opening packet. */
  | "connection"
  | "infrastructure"
  | "not-ip"
  /** A later fragment of a packet whose first has passed. */
  | "fragment"
  /** A later fragment that only its ports could decide. */
  | "fragment-unknown"
  | "malformed";

export interface Evaluation extends Verdict {
  reason: Reason;
  /** With the audit policies enforced as well; absent if there are none in this direction. */
  audit?: Verdict;
  /** What `track` adds. */
  opens?: Tracked[];
  /** What `track` removes: a connection that the policies allow no longer. */
  ends?: Connection;
}
