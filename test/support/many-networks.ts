/** IPv6 networks under one group of 16 bits, in so many that their trie has a table of the next 16. */
import type { AppliedPolicy } from "../../provider/network-policy/applied";
import type { Packet } from "../../provider/network-policy/packet";

/** Of lengths from 28 to 59; every fifth is denied, and lies in those of others at times. */
export function manyNetworks(count: number): AppliedPolicy {
  const cidrs = Array.from({ length: count }, (_, i) => `${groups(i, 28 + (i % 32))}::/${28 + (i % 32)}`);
  const every = (wanted: boolean) => cidrs.filter((_, i) => (i % 5 === 0) === wanted);
  return {
    ...{ stack: "acme/prod", name: "many", mode: "enforce", infrastructure: true, established: "ignore" },
    ingress: [
      { name: "most", action: "allow", peers: [{ cidrs: every(false) }] },
      { name: "fifth", action: "deny", peers: [{ cidrs: every(true) }] },
    ],
  };
}

/** From networks of as many, their first address and one beside; and from elsewhere. */
export function packetsAmong(count: number, most: number): Packet[] {
  return Array.from({ length: most }, (_, n): Packet => {
    const i = Math.floor((n * count) / most);
    const source = n % 17 === 0 ? `2600:${i.toString(16)}::1` : `${groups(i, 28 + (i % 32))}::${n % 3}`;
    return {
      ...{ direction: "ingress", source, destination: "2001:db8::1" },
      ...{ protocol: "TCP", sourcePort: 50000, destinationPort: 443 },
    };
  });
}

/** The first 64 bits of network `i`. */
function groups(i: number, length: number): string {
  const bits =
    (0x2001n << 48n) | (BigInt((i * 40503) & 0xffff) << 32n) | BigInt(Math.imul(i, 0x9e3779b1) >>> 0);
  const first = (bits >> BigInt(64 - length)) << BigInt(64 - length);
  return [48n, 32n, 16n, 0n].map((shift) => ((first >> shift) & 0xffffn).toString(16)).join(":");
}
