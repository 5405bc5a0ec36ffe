/**
 * What a user writes: rules, peers and ports as zod schemas, and the checks that need no host. Every problem is
 * reported, each at its property.
 */
import * as z from "zod";
import { parseCidr } from "../btf";
import {
  hasPorts,
  IPV6_EXTENSIONS,
  isIcmp,
  isIcmpError,
  protocolNumber,
  PROTOCOLS,
  protocolText,
  type ProtocolName,
} from "./protocols";

const protocolNames = Object.keys(PROTOCOLS) as [ProtocolName, ...ProtocolName[]];

/** Also beside entries of a wrong type, so that everything is reported at once. */
const ALWAYS = { when: ({ value }: { value: unknown }) => Array.isArray(value) };

const PEER_KINDS = ["any", "cidr", "addressSet", "self"] as const;

export const cidrSchema = z.string().superRefine((text, context) => {
  const parsed = parseCidr(text, text.includes(":") ? 16 : 4);
  if (typeof parsed === "string") context.addIssue({ code: "custom", message: parsed });
});

export const protocolSchema = z
  .union([z.enum(protocolNames), z.number().int().min(0).max(255)], {
    error: `expected ${protocolNames.join(", ")}, or a number from 0 to 255`,
  })
  .meta({ typeName: "Protocol" });

/** One object and not a union, so that what is wrong is said at its own property. */
export const peerSchema = z
  .strictObject({
    any: z.literal(true).optional().meta({ description: "Every address." }),
    cidr: cidrSchema.optional().meta({ description: "Network, IPv4 or IPv6.", example: "198.51.100.0/24" }),
    except: z
      .array(cidrSchema)
      .optional()
      .meta({
        description: "Networks inside `cidr` that this peer leaves out.",
        example: ["198.51.100.128/25"],
      }),
    addressSet: z.string().min(1).optional().meta({
      description: "The networks of an AddressSet: its `specId`; in Node.js the resource itself.",
    }),
    self: z.literal(true).optional().meta({ description: "The host's own addresses." }),
  })
  .superRefine((peer, context) => {
    const named = PEER_KINDS.filter((kind) => peer[kind] !== undefined);
    if (named.length !== 1) {
      const got = named.length === 0 ? "none" : named.join(" and ");
      context.addIssue({ code: "custom", message: `expected one of ${PEER_KINDS.join(", ")}, got ${got}` });
    }
    const { cidr, except = [] } = peer;
    if (cidr === undefined && except.length > 0) {
      context.addIssue({
        code: "custom",
        path: ["except"],
        message: "needs `cidr`, which it takes networks from",
      });
    }
    except.forEach((inner, index) => {
      const reason = cidr === undefined ? undefined : outside(inner, cidr);
      if (reason !== undefined)
        context.addIssue({ code: "custom", path: ["except", index], message: reason });
    });
  })
  .meta({ typeName: "PolicyPeer", typeDescription: "Addresses on the other side; one of the four." });

const PORT_RANGE = "expected a whole number from 1 to 65535";
const BYTE_RANGE = "expected a whole number from 0 to 255";
export const portNumber = z.number().int(PORT_RANGE);
export const byteNumber = z.number().int(BYTE_RANGE);

export const portSchema = z
  .strictObject({
    protocol: protocolSchema.meta({ description: "Name, or number of the IP protocol.", example: "TCP" }),
    port: portNumber.optional().meta({
      description: "Destination port of TCP, UDP or SCTP. Default: all.",
      example: 443,
    }),
    endPort: portNumber.optional().meta({
      description: "Last port of a range that begins with `port`.",
      example: 8080,
    }),
    type: byteNumber.optional().meta({ description: "Type of ICMP or ICMPv6. Default: all.", example: 8 }),
    code: byteNumber.optional().meta({ description: "Code of that type. Default: all.", example: 0 }),
  })
  .superRefine((entry, context) => {
    for (const [property, message] of portProblems(entry)) {
      context.addIssue({ code: "custom", path: [property], message });
    }
  })
  .meta({ typeName: "PolicyPort", typeDescription: "A protocol, or some of its ports or messages." });

const ruleInputs = {
  name: z.string().min(1).max(128).meta({
    description: "Unique in its list. Counters and `explain` show it.",
    example: "ssh from offices",
  }),
  action: z.enum(["allow", "deny"]).meta({ typeName: "PolicyAction" }).default("allow").meta({
    description: "A deny beats every allow, wherever it stands.",
    default: "allow",
  }),
  ports: nonEmpty(portSchema, "leave `ports` out to match every protocol").meta({
    description: "What it is about. Default: every protocol.",
  }),
};

const peersSchema = nonEmpty(peerSchema, "write [{ any: true }] to match every address");

export const ingressRuleSchema = z
  .strictObject({
    ...ruleInputs,
    from: peersSchema.meta({ description: "Where it comes from. Default: every address." }),
  })
  .meta({ typeName: "IngressRule" });

export const egressRuleSchema = z
  .strictObject({
    ...ruleInputs,
    to: peersSchema.meta({ description: "Where it goes. Default: every address." }),
  })
  .meta({ typeName: "EgressRule" });

/** The part of a policy that says who may talk to whom. */
export const policyInputs = {
  ingress: rulesOf(ingressRuleSchema).meta({
    description:
      "Rules on what interfaces receive. Empty: nothing is allowed. Default: nothing is said about it.",
  }),
  egress: rulesOf(egressRuleSchema).meta({
    description:
      "Rules on what interfaces send. Empty: nothing is allowed. Default: nothing is said about it.",
  }),
  mode: z.enum(["enforce", "audit"]).meta({ typeName: "PolicyMode" }).default("enforce").meta({
    description: "`audit` computes, counts and logs verdicts, and drops nothing.",
    default: "enforce",
  }),
  infrastructure: z.boolean().default(true).meta({
    description:
      "ARP, neighbour discovery, multicast listeners and the DHCP client pass whatever the rules say.",
    default: true,
  }),
  established: z
    .enum(["recheck", "keep", "ignore"])
    .meta({ typeName: "PolicyEstablished" })
    .default("recheck")
    .meta({
      description:
        "When the rules change, open connections are judged again, or live on once they had a reply. `ignore` knows no connections at all: replies need rules of their own.",
      default: "recheck",
    }),
};

export const policySchema = z.strictObject(policyInputs);

export type PolicyPort = z.input<typeof portSchema>;
export type PolicyPeer = z.input<typeof peerSchema>;
export type IngressRule = z.input<typeof ingressRuleSchema>;
export type EgressRule = z.input<typeof egressRuleSchema>;
export type PolicyInput = z.input<typeof policySchema>;
export type CheckedPeer = z.output<typeof peerSchema>;
export type CheckedPolicy = z.output<typeof policySchema>;

/** Rules of one direction, each name once. */
function rulesOf<Rule extends z.ZodType<{ name: string }>>(schema: Rule) {
  return z
    .array(schema)
    .superRefine((rules, context) => {
      const first = new Map<unknown, number>();
      rules.forEach((rule: { name: string } | undefined, index) => {
        const earlier = first.get(rule?.name);
        if (earlier === undefined) first.set(rule?.name, index);
        else if (typeof rule?.name === "string") {
          const message = `"${rule.name}" is the name of rule ${earlier} already`;
          context.addIssue({ code: "custom", path: [index, "name"], message });
        }
      });
    }, ALWAYS)
    .optional();
}

/** Kubernetes reads an empty list as everything: a computed list that came out empty would open the host. */
function nonEmpty<Item extends z.ZodType>(schema: Item, remedy: string) {
  return z.array(schema).min(1, `an empty list matches nothing; ${remedy}`).optional();
}

function outside(inner: string, cidr: string): string | undefined {
  const [outer, except] = [cidr, inner].map((text) => parseCidr(text, text.includes(":") ? 16 : 4));
  if (typeof outer !== "object" || typeof except !== "object") return undefined; // said by cidrSchema
  const bits = BigInt(outer.address.length * 8 - outer.prefix);
  const network = (address: Buffer) => BigInt(`0x${address.toString("hex")}`) >> bits;
  const within =
    outer.address.length === except.address.length &&
    except.prefix >= outer.prefix &&
    network(outer.address) === network(except.address);
  return within ? undefined : `${inner} is not inside ${cidr}`;
}

type PortEntry = z.output<typeof portSchema>;

/** Each at its property of the entry. */
export function* portProblems(entry: PortEntry): Generator<[keyof PortEntry, string]> {
  const protocol = protocolNumber(entry.protocol);
  const named = protocolText(protocol);
  if (IPV6_EXTENSIONS.includes(protocol)) {
    yield ["protocol", `${protocol} is an IPv6 extension header: packets are judged by what follows it`];
  }
  if (entry.port !== undefined || entry.endPort !== undefined) {
    const property = entry.port === undefined ? "endPort" : "port";
    if (!hasPorts(protocol)) yield [property, `${named} has no ports; TCP, UDP and SCTP have`];
    else if (entry.port === undefined) yield ["endPort", "needs `port`, where the range begins"];
  }
  for (const property of ["port", "endPort"] as const) {
    if (!within(entry[property], 1, 65535)) yield [property, PORT_RANGE];
  }
  if (entry.port !== undefined && entry.endPort !== undefined && entry.endPort < entry.port) {
    yield ["endPort", `${entry.endPort} is below port ${entry.port}`];
  }
  if (entry.type !== undefined || entry.code !== undefined) {
    const property = entry.type === undefined ? "code" : "type";
    if (!isIcmp(protocol)) yield [property, `${named} has no types and codes; ICMP and ICMPv6 have`];
    else if (entry.type === undefined) yield ["code", "needs `type`, whose code it is"];
    else if (isIcmpError(protocol, entry.type)) {
      yield ["type", `${named} ${entry.type} is an error: it is judged by the packet that it quotes`];
    }
  }
  for (const property of ["type", "code"] as const) {
    if (!within(entry[property], 0, 255)) yield [property, BYTE_RANGE];
  }
}

/** Of what is no whole number the schema says it. */
function within(value: number | undefined, least: number, most: number): boolean {
  return value === undefined || !Number.isInteger(value) || (value >= least && value <= most);
}
