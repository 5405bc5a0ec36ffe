/** Rules as they travel: canonical JSON, one a line, checked before by policySchema. */
import type { AppliedPort } from "./applied";
import { peerSet, singleNetwork } from "./peer-sets";
import type { NetworkList } from "./ranges";

interface WirePeer {
  any?: true;
  cidr?: string;
  except?: string[];
  addressSet?: string;
  self?: true;
}

export interface WireRule {
  name: string;
  /** Default: allow. */
  action?: "allow" | "deny";
  from?: WirePeer[];
  to?: WirePeer[];
  ports?: AppliedPort[];
}

export function parseRules(text: Uint8Array): WireRule[] {
  const lines = Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString("utf8").trimEnd();
  // one call for all lines; there is no other newline in JSON that is written without spaces
  return JSON.parse(`[${lines.replaceAll("\n", ",")}]`) as WireRule[];
}

/**
 * The list that is a rule's peers, see peer-sets; undefined: every address. `setNumber` gives the number of a set by the
 * name that the rule has for it; no name: the host's own addresses.
 */
export function peersOf(
  { from, to }: WireRule,
  setNumber: (name: string | undefined, peer: number) => number,
): Uint32Array | undefined {
  const peers = from ?? to;
  if (peers === undefined || peers.some(({ any }) => any)) return undefined;
  const [only] = peers;
  if (peers.length === 1 && only!.cidr !== undefined && only!.except === undefined) {
    return singleNetwork(only!.cidr);
  }
  const plain: string[] = [];
  const lists: NetworkList[] = [{ cidrs: plain }];
  const sets: number[] = [];
  peers.forEach(({ cidr, except, addressSet }, index) => {
    if (cidr === undefined) sets.push(setNumber(addressSet, index));
    else if (except === undefined) plain.push(cidr);
    else lists.push({ cidrs: [cidr], except });
  });
  return peerSet(lists, sets);
}
