/** Which rules judge where, how often each decided, and which decides about a packet. */
import { type MapHandle, possibleCpus } from "../../bpf";
import { decode, perCpuStride } from "../../btf";
import { EbpfError } from "../../errors";
import type { RuleName } from "../../network-policy/applied";
import { counterIndexes } from "../../network-policy/cells";
import type { CompiledUnion } from "../../network-policy/union";
import type {
  Counted,
  ExplainParams,
  ExplainResult,
  PlaneFacts,
  PolicyShowParams,
  RuleFacts,
} from "../../protocol/policy";
import type { Host } from "../host";
import { openInner, readSelector } from "../network-policy/generation";
import { canonicalNetns } from "../network-policy/interfaces";
import { type PlaneRecord, planeRecords } from "../network-policy/plane-spec";
import { policyProgram } from "../network-policy/program";
import { REASONS } from "../network-policy/loaded";
import { rehearse } from "../network-policy/rehearsal";
import { loadUnion } from "../network-policy/unions";
import { type Handles, withHandles } from "../reconcile/handles";
import { openMap } from "../reconcile/resolve";

const DIRECTIONS = ["ingress", "egress"] as const;

export function showPolicies(host: Host, { policy, limit }: PolicyShowParams): Promise<PlaneFacts[]> {
  const planes = planeRecords(host).filter(
    ({ spec: { plane } }) => policy === undefined || plane.policies.includes(policy),
  );
  return withHandles((handles) => planes.map((record) => planeFacts(host, record, policy, limit, handles)));
}

function planeFacts(
  host: Host,
  record: PlaneRecord,
  policy: string | undefined,
  limit: number,
  handles: Handles,
): PlaneFacts {
  const { plane } = record.spec;
  const { interfaces, netns, hook, policies, number, cells } = plane;
  const map = (name: string) => planeMap(host, record, name, handles);
  const selector = readSelector(map("selectors"));
  const rules = rulesWithHits(record, loadUnion(host, plane.policyId, number), map)
    .filter(({ rule }) => policy === undefined || isRuleOf(policy, rule))
    .sort((a, b) => Number(BigInt(b.packets) - BigInt(a.packets)));
  const totals = counted(map("totals"));
  const [ingress, egress] = counted(map("audit_drops"));
  return {
    interfaces,
    ...(netns === undefined ? {} : { netns }),
    ...{ hook, policies, generation: number, cells },
    ...(selector.pending
      ? { revertsInSeconds: Math.max(0, Number(selector.deadline - process.hrtime.bigint()) / 1e9) }
      : {}),
    rules: rules.slice(0, limit),
    ruleCount: rules.length,
    // by (reason * 2 + hook) * 2 + whether it passed: counters.h
    totals: totals.flatMap((count, index) => {
      if (count.packets === "0") return [];
      const reason = REASONS[index >> 2]!;
      return [
        { direction: DIRECTIONS[(index >> 1) & 1]!, verdict: index & 1 ? "allow" : "deny", reason, ...count },
      ];
    }),
    auditDrops: { ingress: ingress!, egress: egress! },
  };
}

/** `<project>/<stack>/NetworkPolicy/<name>`. */
export function isRuleOf(policy: string, { stack, policy: name }: RuleName): boolean {
  return policy === `${stack}/NetworkPolicy/${encodeURIComponent(name)}`;
}

function rulesWithHits(
  { spec: { plane } }: PlaneRecord,
  union: CompiledUnion | null,
  map: (name: string) => MapHandle,
): RuleFacts[] {
  if (union === null) return [];
  const counters = map(plane.sharded ? "rule_shards" : "rule_counters");
  const perRule = plane.sharded ? counters.info().maxEntries / plane.counters : 1;
  const hits = counted(counters);
  const facts: RuleFacts[] = [];
  for (let slot = 0; slot < union.slots; slot++) {
    const rule = union.rule(slot);
    if (rule === undefined) continue;
    const { id, action, mode } = rule;
    facts.push({
      rule: id,
      action,
      mode,
      ...sum(counterIndexes(slot, perRule).map((index) => hits[index]!)),
    });
  }
  return facts;
}

/** All counters of an array, each over all CPUs. */
function counted(map: MapHandle): Counted[] {
  const { value } = policyProgram().info.maps["totals"]!;
  const cpus = map.perCpu ? possibleCpus() : 1;
  const counters: Counted[] = [];
  const stride = perCpuStride(value!.size);
  for (const { keys, values, count } of map.records()) {
    for (let row = 0; row < count; row++) {
      const each = Array.from(
        { length: cpus },
        (_, cpu) => decode(value!, values.subarray((row * cpus + cpu) * stride)) as Counted,
      );
      counters[keys.readUInt32LE(row * 4)] = sum(each);
    }
  }
  return counters;
}

function sum(counters: Counted[]): Counted {
  const total = (member: keyof Counted) =>
    String(counters.reduce((all, one) => all + BigInt(one[member]), 0n));
  return { packets: total("packets"), bytes: total("bytes") };
}

/** A map that the plane's program uses: of its Spec, or one that stands in for it. */
export function planeMap(host: Host, { id, spec }: PlaneRecord, name: string, handles: Handles): MapHandle {
  const target = spec.objects[0]!.maps[name] ?? { spec: id, map: name };
  return openMap(host, target, handles).map;
}

export function explainPacket(
  host: Host,
  { interface: name, netns, packet }: ExplainParams,
): Promise<ExplainResult> {
  const at = canonicalNetns(netns);
  const record = planeRecords(host).find(
    ({ spec: { plane } }) => plane.netns === at && plane.interfaces.includes(name),
  );
  if (record === undefined) {
    throw new EbpfError(
      "not-found",
      `explain a packet on ${name}: no policy judges there`,
      { what: "judged interface", name },
      { remedy: "`pulumi-ebpf policy show` lists what is judged" },
    );
  }
  return withHandles((handles) => {
    const { plane } = record.spec;
    const map = (one: string) => planeMap(host, record, one, handles);
    const cells = handles.keep(openInner(map("generations"), readSelector(map("selectors")).current)!);
    const union = loadUnion(host, plane.policyId, plane.number);
    const { verdict, reason, slot, audit } = rehearse(host, cells, ({ judge }) => judge(packet));
    return {
      ...{ verdict, reason, policies: plane.policies },
      ...ruleIn(union, slot),
      audit: { verdict: audit.verdict, ...ruleIn(union, audit.slot) },
    };
  });
}

export function ruleIn(union: CompiledUnion | null, slot: number | undefined): { rule?: RuleName } {
  const rule = slot === undefined ? undefined : union?.rule(slot)?.id;
  return rule === undefined ? {} : { rule };
}
