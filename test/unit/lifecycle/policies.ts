/** Inputs of policies and sets as the SDK sends them. */

export const OFFICES = "shop/prod/AddressSet/offices";

const connection = { host: "edge-1", user: "deploy" };
const https = { name: "public https", from: [{ any: true }], ports: [{ protocol: "TCP", port: 443 }] };
const ssh = { name: "ssh", from: [{ addressSet: OFFICES }], ports: [{ protocol: "TCP", port: 22 }] };

export function policyInputs(change: Record<string, unknown> = {}): Record<string, unknown> {
  const specId = "shop/prod/NetworkPolicy/web";
  return { connection, specId, interfaces: ["eth0"], ingress: [https, ssh], ...change };
}

export function setInputs(change: Record<string, unknown> = {}): Record<string, unknown> {
  return { connection, specId: OFFICES, cidrs: ["198.51.100.0/24", "2001:db8:7::/48"], ...change };
}

/** As many rules as a test needs; each with a network of its own. */
export function manyRules(count: number): { name: string; from: { cidr: string }[]; ports: object[] }[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `rule ${index}`,
    from: [{ cidr: `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}/32` }],
    ports: [{ protocol: "TCP", port: 1 + (index % 50) }],
  }));
}
