/**
 * The policies of a union as the evaluator takes them, from the text of their rules and sets, which the compiler's tables
 * have no part in. Of that text only what may match some addresses is parsed: of a hundred thousand rules a few.
 */
import { hexDigit, parseIpv4, parseIpv6, sameBits } from "../btf/addresses";
import { invalid } from "../errors";
import type { TextChunk } from "../protocol/policy";
import { type AppliedPolicy, applyPolicy } from "./applied";
import type { CheckedPolicy } from "./model";
import type { UnionInput, UnionOptions } from "./union";

/** All that decides about packets from and to these addresses, and may hold more. Fails with `invalid` for unknown sets. */
export function candidates(
  { policies, sets, self }: UnionInput,
  addresses: readonly string[],
  read: UnionOptions["read"],
): AppliedPolicy[] {
  const holds = holdingAny(addresses);
  const decoder = new TextDecoder();
  const textOf = ({ blob }: TextChunk) => decoder.decode(read(blob));
  const rulesOf = (chunks: readonly TextChunk[]) =>
    chunks
      .flatMap((chunk) => candidateLines(textOf(chunk), holds))
      .map((line) => ({ action: "allow", ...(JSON.parse(line) as object) }));
  // one list per set, however many policies name it
  const networks = new Map(
    Object.entries(sets).map(([key, chunks]) => [
      key,
      chunks.flatMap((chunk) => linesIn(textOf(chunk), holds)),
    ]),
  );

  return policies.map(({ stack, name, ingress, egress, sets: named, ...policy }) => {
    const { mode, infrastructure, established } = policy;
    const checked = {
      ...{ mode, infrastructure, established },
      ...(ingress === undefined ? {} : { ingress: rulesOf(ingress) }),
      ...(egress === undefined ? {} : { egress: rulesOf(egress) }),
    } as CheckedPolicy;
    const known = Object.entries(named).flatMap(([set, key]) => {
      const list = networks.get(key);
      return list === undefined ? [] : [[set, list] as const];
    });
    const applied = applyPolicy({ stack, name }, checked, { sets: new Map(known), self });
    if ("policy" in applied) return applied.policy;
    throw invalid(`apply ${stack} ${name}`, applied.problems);
  });
}

/** `text`: lines that end with a newline each. */
function linesIn(text: string, wanted: (line: string) => boolean): string[] {
  const lines: string[] = [];
  for (let at = 0; at < text.length;) {
    const end = text.indexOf("\n", at);
    const line = text.slice(at, end);
    if (wanted(line)) lines.push(line);
    at = end + 1;
  }
  return lines;
}

/** As canonical JSON has it; within a name the quotation marks would be escaped. */
const NETWORK = '"cidr":"';
/** Peers that are no network of the rule's own. */
const OTHER_PEERS = ['"addressSet":', '"self":', '"any":'];

/** Rules of one chunk. */
function candidateLines(text: string, holds: (cidr: string) => boolean): string[] {
  const hasOthers = OTHER_PEERS.some((peer) => text.includes(peer));
  return linesIn(text, (rule) => {
    let at = rule.indexOf(NETWORK);
    if (at < 0 || (hasOthers && OTHER_PEERS.some((peer) => rule.includes(peer)))) return true;
    while (at >= 0) {
      const end = rule.indexOf('"', at + NETWORK.length);
      if (holds(rule.slice(at + NETWORK.length, end))) return true;
      at = rule.indexOf(NETWORK, end);
    }
    return false;
  });
}

/** Whether a network holds one of the addresses. */
function holdingAny(addresses: readonly string[]): (cidr: string) => boolean {
  const isIpv6 = (text: string) => text.includes(":");
  const ipv4 = addresses.filter((text) => !isIpv6(text)).map((text) => parseIpv4(text)!);
  const ipv6 = addresses.filter(isIpv6).map((text) => parseIpv6(text)!);
  return (cidr) => {
    const slash = cidr.indexOf("/");
    const prefix = Number(cidr.slice(slash + 1));
    if (isIpv6(cidr)) {
      if (!ipv6.some((address) => mayHold(cidr, prefix, address))) return false;
      const first = parseIpv6(cidr.slice(0, slash));
      return first !== undefined && ipv6.some((address) => sameBits(first, address, prefix));
    }
    const first = parseIpv4(cidr.slice(0, slash))!;
    const count = 2 ** (32 - prefix);
    return ipv4.some((address) => address >= first && address < first + count);
  };
}

const COLON = 58;

/** Told by the groups that the text begins with: most networks are found to be others by the first or second of them. */
function mayHold(cidr: string, prefix: number, address: Buffer): boolean {
  for (let group = 0, at = 0; (group + 1) * 16 <= prefix; group++, at++) {
    const start = at;
    let value = 0;
    for (let digit; (digit = hexDigit(cidr.charCodeAt(at))) >= 0; at++) value = value * 16 + digit;
    // zeros that are left out, or the end
    if (at === start || cidr.charCodeAt(at) !== COLON) return true;
    if (value !== address.readUInt16BE(group * 2)) return false;
  }
  return true;
}
