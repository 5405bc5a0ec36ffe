/**
 * Slots and labels of rules. A slot is a rule's place among the counters, kept as long as the rule exists; a label
 * says which of two rules is the stronger, and is kept while no other rule needs its room.
 */
import { DIRECTIONS, type AppliedPolicy, type AppliedRule, type RuleName } from "./applied";

export interface OrderedRule {
  id: RuleName;
  rule: AppliedRule;
  mode: AppliedPolicy["mode"];
  slot: number;
  label: number;
}

/** What the next generation needs to keep places. Plain JSON: it lies in the Record. */
export interface Places {
  /** Key of a rule → slot and label. */
  rules: Record<string, [slot: number, label: number]>;
  /** Freed by this generation: the one before may still count there. */
  retired: number[];
}

/** Strongest first: denies, then by stack, policy and name. */
export function ordered(
  policies: readonly AppliedPolicy[],
  before?: Places,
): { rules: OrderedRule[]; places: Places } {
  const rules = policies.flatMap((policy) =>
    DIRECTIONS.flatMap((direction) =>
      (policy[direction] ?? []).map((rule) => ({
        id: { stack: policy.stack, policy: policy.name, direction, name: rule.name },
        rule,
        mode: policy.mode,
      })),
    ),
  );
  rules.sort(
    (a, b) =>
      Number(b.rule.action === "deny") - Number(a.rule.action === "deny") ||
      compare(a.id.stack, b.id.stack) ||
      compare(a.id.policy, b.id.policy) ||
      compare(a.id.name, b.id.name) ||
      compare(a.id.direction, b.id.direction),
  );
  const keys = rules.map(({ id, rule }) =>
    JSON.stringify([id.direction, id.stack, id.policy, id.name, rule.action]),
  );
  const slots = slotsFor(keys, before);
  const labels = labelsFor(keys.map((key) => before?.rules[key]?.[1]));
  const current = new Set(keys);
  return {
    rules: rules.map((rule, i) => ({ ...rule, slot: slots[i]!, label: labels[i]! })),
    places: {
      rules: Object.fromEntries(keys.map((key, i) => [key, [slots[i]!, labels[i]!]])),
      retired: Object.entries(before?.rules ?? {}).flatMap(([key, [slot]]) =>
        current.has(key) ? [] : [slot],
      ),
    },
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function slotsFor(keys: readonly string[], before: Places = { rules: {}, retired: [] }): number[] {
  const taken = new Set(Object.values(before.rules).map(([slot]) => slot));
  let next = 0;
  const free = () => {
    while (taken.has(next)) next++;
    return next++;
  };
  return keys.map((key) => before.rules[key]?.[0] ?? free());
}

const LABELS = 2 ** 32;

/** Ascending numbers that keep those given; all anew when there is no room between two. */
function labelsFor(known: readonly (number | undefined)[]): number[] {
  const labels: number[] = [];
  for (let i = 0, last = -1; i < known.length;) {
    let end = i;
    while (end < known.length && known[end] === undefined) end++;
    const room = (end < known.length ? known[end]! : LABELS) - last;
    if (room <= end - i)
      return known.map((_, index) => Math.floor(((index + 1) * LABELS) / (known.length + 1)));
    for (let offset = 1; i < end; i++, offset++)
      labels.push(last + Math.floor((room * offset) / (end - labels.length + offset)));
    if (end < known.length) labels.push((last = known[end]!));
    i = end + 1;
  }
  return labels;
}
