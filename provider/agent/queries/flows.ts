/** The connections that policies let pass, with the rule that decided about each. */
import { decode, formatAddress } from "../../btf";
import type { Counted, FlowFacts, FlowsParams, FlowsResult } from "../../protocol/policy";
import { hasPorts } from "../../network-policy/protocols";
import type { Host } from "../host";
import { canonicalNetns } from "../network-policy/interfaces";
import { planeRecords } from "../network-policy/plane-spec";
import { policyProgram } from "../network-policy/program";
import { slotOf } from "../network-policy/loaded";
import { loadUnion } from "../network-policy/unions";
import { withHandles } from "../reconcile/handles";
import { planeMap, ruleIn } from "./policies";

/** struct flow_key and struct flow of network-policy.h, as far as they are shown. */
interface Key {
  low_address: [string, string];
  high_address: [string, string];
  low_port: number;
  high_port: number;
  protocol: number;
}
interface Flow {
  generation: [string, string];
  passed: [Counted, Counted];
  policy: [number, number];
  rule: [number, number];
  originator_high: number;
}

export function showFlows(host: Host, { netns, limit }: FlowsParams): Promise<FlowsResult> {
  const at = canonicalNetns(netns);
  const planes = planeRecords(host).filter(({ spec: { plane } }) => plane.netns === at);
  const [first] = planes;
  if (first === undefined) return Promise.resolve({ flows: [], more: false });
  const unions = new Map(
    planes.map(({ spec: { plane } }) => [
      plane.policyId,
      { plane, union: loadUnion(host, plane.policyId, plane.number) },
    ]),
  );

  function factsOf(key: Key, flow: Flow, answered: boolean): FlowFacts {
    const isIpv6 = key.protocol >> 8 === 6;
    const ends = [
      { address: addressOf(key.low_address, isIpv6), port: key.low_port },
      { address: addressOf(key.high_address, isIpv6), port: key.high_port },
    ];
    const [from, to] = flow.originator_high === 1 ? [ends[1]!, ends[0]!] : [ends[0]!, ends[1]!];
    const protocol = key.protocol & 255;
    return {
      ...{ protocol, source: from.address, destination: to.address, answered },
      ...(hasPorts(protocol) ? { sourcePort: from.port, destinationPort: to.port } : {}),
      ...{ original: flow.passed[0], reply: flow.passed[1] },
      judged: (["ingress", "egress"] as const).flatMap((direction, hook) => {
        if (flow.generation[hook] === "0") return [];
        const by = unions.get(flow.policy[hook]!);
        const current = by !== undefined && by.plane.number === flow.generation[hook];
        // a slot may have gone to another rule since: what was judged by another generation names none
        const rule = current ? ruleIn(by.union, slotOf(flow.rule[hook]!)) : {};
        return [{ direction, ...rule, again: !current }];
      }),
    };
  }

  return withHandles((handles) => {
    const flows: FlowFacts[] = [];
    for (const table of ["established", "half_open"]) {
      const map = planeMap(host, first, table, handles);
      const { key: keyLayout, value: valueLayout } = policyProgram().info.maps[table]!;
      let key = map.nextKey(null);
      for (let walked = 0; key !== undefined && walked < 2 * map.info().maxEntries; walked++) {
        if (flows.length === limit) return { flows, more: true };
        const value = map.lookup(key);
        if (value !== undefined) {
          flows.push(
            factsOf(
              decode(keyLayout!, key) as Key,
              decode(valueLayout!, value) as Flow,
              table === "established",
            ),
          );
        }
        key = map.nextKey(key);
      }
    }
    return { flows, more: false };
  });
}

/** Left-aligned in two words, the bits in their order; see struct packet. */
export function addressOf([high, low]: [string, string], isIpv6: boolean): string {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64BE(BigInt(high), 0);
  bytes.writeBigUInt64BE(BigInt(low), 8);
  return formatAddress(isIpv6 ? bytes : bytes.subarray(0, 4));
}
