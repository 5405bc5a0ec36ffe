/**
 * The rules that the network-policy rows judge by, counted as ../native/network-policy/workload.h counts them.
 *
 * Owns: rules and their networks. Does not own: packets (native), what is measured (rows).
 */
import { type AppliedPolicy, type AppliedRule } from "../../../provider/network-policy/applied.js";

/** By their number in workload.h. */
export const WORKLOADS = ["W1", "W2", "W3", "addresses"] as const;
export type WorkloadName = (typeof WORKLOADS)[number];

export interface Workload {
  name: WorkloadName;
  /** Networks, in W1 and for addresses; else rules. */
  count: number;
  ipv6?: boolean;
}

const NESTING = 8;

/** Multiplication of unsigned words. */
const times = (a: number, b: number): number => Math.imul(a, b) >>> 0;

export function networkOf({ name, ipv6 = false }: Workload, i: number): { first: number[]; length: number } {
  if (ipv6) {
    const spread = times(i, 0x9e3779b1);
    const low = times(spread, 0x85ebca6b) >>> 16;
    const length = 48 + (i % 17);
    const words = [(0x2001 << 16) | (spread >>> 16), ((spread & 0xffff) << 16) | low];
    return { first: [words[0]! >>> 0, cut(words[1]!, length - 32), 0, 0], length };
  }
  const place = times(name === "W3" ? Math.floor(i / NESTING) : i, 40503) & 0x1ffff;
  const length = name === "addresses" ? 32 : 19 + (i % (name === "W3" ? NESTING : 14));
  return { first: [cut((2 << 30) | (place << 13) | (times(place, 0x9e3779b1) >>> 19), length)], length };
}

/** The first bits of a word. */
function cut(word: number, bits: number): number {
  return bits === 0 ? 0 : (word & (-1 << (32 - bits))) >>> 0;
}

export function cidrOf(workload: Workload, i: number): string {
  const { first, length } = networkOf(workload, i);
  if (first.length === 1)
    return `${[24, 16, 8, 0].map((shift) => (first[0]! >>> shift) & 255).join(".")}/${length}`;
  const groups = first.flatMap((word) => [word >>> 16, word & 0xffff]).map((group) => group.toString(16));
  return `${groups.join(":")}/${length}`;
}

/** Of rule `i`; absent: every port. */
export function portsOf({ name }: Workload, i: number): { first: number; last: number } | undefined {
  if (name === "W2") return { first: 1000 + (i % 50), last: 1000 + (i % 50) };
  if (name !== "W3") return undefined;
  const first = 1024 + ((i * 37) % 512) * 64;
  return { first, last: first + 64 * (1 + (i % NESTING)) - 1 };
}

export function actionOf({ name }: Workload, i: number, action: "allow" | "deny"): "allow" | "deny" {
  if (name !== "W3" || i % 10 !== 9) return action;
  return action === "allow" ? "deny" : "allow";
}

export interface Shape {
  action?: "allow" | "deny";
  /** Whether replies pass: the other direction has a policy, too. */
  established?: AppliedPolicy["established"];
  /** Default TCP. */
  protocol?: "TCP" | "UDP";
}

/** One policy for ingress. */
export function policiesOf(
  workload: Workload,
  { action = "allow", established = "recheck", protocol = "TCP" }: Shape = {},
): AppliedPolicy[] {
  const { count } = workload;
  const each = Array.from({ length: count }, (_, i) => i);
  const one = workload.name === "W1" || workload.name === "addresses";
  const ingress: AppliedRule[] = one
    ? [{ name: "networks", action, peers: [{ cidrs: each.map((i) => cidrOf(workload, i)) }] }]
    : each.map((i) => {
        const { first, last } = portsOf(workload, i)!;
        return {
          name: `rule-${i}`,
          action: actionOf(workload, i, action),
          peers: [{ cidrs: [cidrOf(workload, i)] }],
          ports: [{ protocol, port: first, endPort: last }],
        };
      });
  return [
    {
      stack: "bench/bench",
      name: "bench",
      mode: "enforce",
      infrastructure: true,
      established,
      ingress,
      egress: [],
    },
  ];
}
