/**
 * Network policies and address sets on the wire: parts of a Spec, what the host tells of them, and the verbs that only
 * they have. What a rule means is docs/network-policy.md.
 *
 * Rules and networks travel as chunks: blobs cut at content-defined boundaries and named by their sha256, listed by a
 * manifest blob (canonical JSON of TextChunk[]). Two versions of a hundred thousand rules share all chunks but those
 * that hold a change, so transfer, Record and compilation cost what the change costs.
 */
import type { RuleName } from "../network-policy/applied";
import type { CheckedPolicy } from "../network-policy/model";
import type { Frame, Packet, PacketHeader, Verdict } from "../network-policy/packet";

/** A list as text, one item a line, `\n` at the end of each. */
export interface TextContent {
  /** sha256 (hex) of the manifest blob. */
  manifest: string;
  /** Lines in all chunks together. */
  count: number;
}

export interface TextChunk {
  /** sha256 (hex) of the chunk's UTF-8 bytes. */
  blob: string;
  count: number;
}

/** A set of networks that policies of any stack on the host may name. */
export interface AddressSetPart {
  /** CIDRs without host bits, IPv4 and IPv6, one a line. */
  networks: TextContent;
}

/** One policy. All policies that a host holds for an interface are judged together. */
export interface PolicyPart {
  /** Names, globs with `*` and `?`, or `defaultRoute`: the interfaces of the default routes. */
  interfaces: string[];
  /** Network namespace of the interfaces: a name of `ip netns`, or a path. Absent: the host's. */
  netns?: string;
  /** Where ingress is judged; egress is always judged at tc. */
  hook: "tc" | "xdp";
  mode: "enforce" | "audit";
  infrastructure: boolean;
  established: CheckedPolicy["established"];
  /** Rules as canonical JSON, one a line. Absent: the policy says nothing about the direction. */
  ingress?: TextContent;
  egress?: TextContent;
  /** Name of a set as rules write it → the Spec id of the AddressSet. */
  sets: Record<string, string>;
  /** Networks from which the host is managed: a policy that would keep them out is refused. */
  management: string[];
  /** One in so many judged packets becomes an event; 0: none. */
  sampleRate: number;
  tests: PolicyTest[];
}

/** What a user says a packet shall meet. */
export interface PolicyTest {
  direction: "ingress" | "egress";
  /** The address on the other side. */
  address: string;
  /** The host's own; absent: an address of the interface. */
  local?: string;
  protocol: string | number;
  port?: number;
  type?: number;
  code?: number;
  expect: "allow" | "deny";
  /** Name of the rule that shall decide. */
  rule?: string;
}

/** Of an interface that is judged. */
export interface JudgedInterface {
  name: string;
  netns?: string;
  ifindex: number;
  /** How each direction is judged; absent: by no policy. */
  ingress?: "tcx" | "tc" | "xdp";
  egress?: "tcx" | "tc";
  /** Spec ids of all policies that judge here, own and others', in order. */
  policies: string[];
  /** A foreign program ahead of ours that may pass or redirect packets before we see them, in words. */
  bypassable?: string;
}

/** What the kernel shows of a policy. */
export interface PolicyStatus {
  interfaces: JudgedInterface[];
  /** Interfaces that the globs match and that are not judged yet, since they came later. */
  uncovered: string[];
  /** Number of the generation that judges, decimal; it never comes back. */
  generation: string;
  /** Cells of 64 bytes that the generation takes, and bytes of all maps as the kernel counts them. */
  cells: number;
  memoryBytes: number;
}

export interface AddressSetStatus {
  networks: number;
  /** Spec ids of the policies that name it. */
  usedBy: string[];
}

/** Packets and bytes, decimal. */
export interface Counted {
  packets: string;
  bytes: string;
}

export interface PolicyShowParams {
  /** Spec id of a policy: the planes that judge by it, and its own rules only. Absent: all. */
  policy?: string;
  /** Most rules of the answer; those with the most packets come first. */
  limit: number;
}

/** Interfaces that are judged by the same policies. */
export interface PlaneFacts {
  interfaces: string[];
  netns?: string;
  hook: "tc" | "xdp";
  /** Spec ids. */
  policies: string[];
  /** Number of the generation that judges, decimal. */
  generation: string;
  cells: number;
  /** Seconds until it goes back to the generation before, unless confirmed. */
  revertsInSeconds?: number;
  rules: RuleFacts[];
  /** Rules in all. */
  ruleCount: number;
  /** Why packets passed and were dropped. */
  totals: ({ direction: "ingress" | "egress"; verdict: "allow" | "deny"; reason: string } & Counted)[];
  /** By direction, what passed and the audit policies would have dropped. */
  auditDrops: { ingress: Counted; egress: Counted };
}

export interface RuleFacts extends Counted {
  rule: RuleName;
  action: "allow" | "deny";
  mode: "enforce" | "audit";
}

export interface FlowsParams {
  netns?: string;
  limit: number;
}

/** A connection that the program knows. */
export interface FlowFacts {
  /** Number of the IP protocol. */
  protocol: number;
  source: string;
  destination: string;
  /** Of TCP, UDP and SCTP. */
  sourcePort?: number;
  destinationPort?: number;
  answered: boolean;
  original: Counted;
  reply: Counted;
  /** Where its opening packet was judged, and by what; a rule is absent where none decided. */
  judged: { direction: "ingress" | "egress"; rule?: RuleName; again: boolean }[];
}

export interface FlowsResult {
  flows: FlowFacts[];
  /** There are more. */
  more: boolean;
}

export interface EventsParams {
  /** Spec id of a policy: of the interfaces that it judges, what its rules decided, and what no rule did. */
  policy?: string;
}

/** The first answer of a session comes at once; what is judged from then on is told. */
export interface EventsResult {
  /** Where packets are sampled, and how many: one in `sampleRate`. */
  sampled: { interfaces: string[]; netns?: string; sampleRate: number }[];
  events: EventFacts[];
}

/** A sampled verdict. No rule: none decided, or the rules of that generation are not known any more. */
export interface EventFacts extends Verdict {
  /** ISO 8601, the host's clock. */
  time: string;
  /** `#` and its index, where it is gone. */
  interface: string;
  netns?: string;
  direction: "ingress" | "egress";
  reason: string;
  /** Number of the generation that judged, decimal. */
  generation: string;
  /** What enforcing the audit policies would have made of it; absent: the same. */
  audit?: Verdict;
  /** From the link's header on. */
  bytes: number;
  /** An ICMP error is as the packet that it quotes, reversed. */
  packet?: EventPacket;
  /** Where there is no `packet`. */
  frame?: Frame["frame"];
}

export interface EventPacket extends PacketHeader {
  protocol: number;
}

export interface ExplainParams {
  interface: string;
  netns?: string;
  packet: Packet;
}

/** What becomes of a packet that belongs to no connection. */
export interface ExplainResult {
  verdict: "allow" | "deny";
  reason: string;
  rule?: RuleName;
  audit: { verdict: "allow" | "deny"; rule?: RuleName };
  /** Spec ids of the policies that judge there. */
  policies: string[];
}
