/**
 * Policies as they apply to an interface: address sets and `self` replaced by networks. The evaluator and the
 * compiler read this, and nothing else of each other.
 */
import type { Problem } from "../errors";
import type { CheckedPeer, CheckedPolicy } from "./model";
import type { ProtocolName } from "./protocols";

export type Direction = "ingress" | "egress";
export const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

export interface AppliedPort {
  protocol: ProtocolName | number;
  port?: number | undefined;
  endPort?: number | undefined;
  type?: number | undefined;
  code?: number | undefined;
}

/** One array per address set, shared by all rules that name the set: the compiler reads it once. */
export interface AppliedPeer {
  cidrs: readonly string[];
  /** Taken out of `cidrs`. */
  except?: readonly string[];
}

export interface AppliedRule {
  name: string;
  action: "allow" | "deny";
  /** Absent: every address. */
  peers?: readonly AppliedPeer[];
  /** Absent: every protocol. */
  ports?: readonly AppliedPort[];
}

export interface AppliedPolicy {
  /** `<project>/<stack>`. */
  stack: string;
  name: string;
  mode: "enforce" | "audit";
  infrastructure: boolean;
  established: CheckedPolicy["established"];
  ingress?: readonly AppliedRule[];
  egress?: readonly AppliedRule[];
}

/** Names one rule on a host. */
export interface RuleName {
  stack: string;
  policy: string;
  direction: Direction;
  name: string;
}

export interface Surroundings {
  /** Networks of each address set, by the name that rules use. */
  sets: ReadonlyMap<string, readonly string[]>;
  /** Addresses of the host, as text without prefix. */
  self: readonly string[];
}

const EVERYWHERE = ["0.0.0.0/0", "::/0"];

/** Sets and `self` of a checked policy, or a problem for each set that is unknown. */
export function applyPolicy(
  { stack, name }: { stack: string; name: string },
  policy: CheckedPolicy,
  { sets, self }: Surroundings,
): { policy: AppliedPolicy } | { problems: Problem[] } {
  const problems: Problem[] = [];
  const own = self.map((address) => `${address}/${address.includes(":") ? 128 : 32}`);

  function peerOf(peer: CheckedPeer, at: string): AppliedPeer {
    const { cidr, except, addressSet = "" } = peer;
    if (cidr !== undefined) return { cidrs: [cidr], ...(except === undefined ? {} : { except }) };
    if (peer.self) return { cidrs: own };
    if (peer.any) return { cidrs: EVERYWHERE };
    const cidrs = sets.get(addressSet);
    if (cidrs === undefined) {
      problems.push({ property: `${at}.addressSet`, reason: `there is no address set "${addressSet}"` });
    }
    return { cidrs: cidrs ?? [] };
  }

  function rulesOf(direction: Direction): AppliedRule[] | undefined {
    return policy[direction]?.map((rule, index) => {
      const [side, peers] = "to" in rule ? ["to", rule.to] : ["from", "from" in rule ? rule.from : undefined];
      const everywhere = peers === undefined || peers.some(({ any }) => any);
      const applied = peers?.map((peer, at) => peerOf(peer, `${direction}[${index}].${side}[${at}]`));
      return {
        name: rule.name,
        action: rule.action,
        ...(everywhere || applied === undefined ? {} : { peers: applied }),
        ...(rule.ports === undefined ? {} : { ports: rule.ports }),
      };
    });
  }

  const [ingress, egress] = [rulesOf("ingress"), rulesOf("egress")];
  if (problems.length > 0) return { problems };
  const { mode, infrastructure, established } = policy;
  return {
    policy: {
      ...{ stack, name, mode, infrastructure, established },
      ...(ingress === undefined ? {} : { ingress }),
      ...(egress === undefined ? {} : { egress }),
    },
  };
}

/** Why these policies cannot share an interface; `property` is that of the policies' inputs. */
export function disagreements(policies: readonly AppliedPolicy[]): Problem[] {
  const enforced = policies.filter(({ mode }) => mode === "enforce");
  const [first, ...others] = enforced;
  return others
    .filter(({ established }) => established !== first!.established)
    .map((other) => ({
      property: "established",
      reason:
        `"${other.established}" of ${other.stack} ${other.name} contradicts "${first!.established}" of ` +
        `${first!.stack} ${first!.name} on this interface`,
    }));
}
