/**
 * Network policy, the pure part: what a policy means (docs/network-policy.md) and the tables that an eBPF program judges by.
 *
 *     model → applied → compile → cells → lookup
 *                    ↘ evaluate
 *
 * Owns: the schemas of rules (model), policies with sets and `self` resolved (applied), the reference evaluator with
 * its connections (evaluate, connections) and which rules it need look at (candidates), the compiler (compile and what it
 * imports), the form of a generation (cells), and its lookup in TypeScript (lookup). provider/modules/network-policy has
 * the same form and lookup in C.
 * Does not own: which interfaces a policy is on, what a host holds, maps, programs. No I/O.
 *
 * What those who build on this must know:
 * - **All policies of an interface are compiled together**, of every stack, by whoever holds them all: the agent.
 *   `disagreements` says which cannot share an interface. Audit policies are compiled apart and judged beside.
 * - **A generation is one array of 64-byte cells.** `compile` with `before` leaves what did not change in place, so that
 *   `changedCells` is what a slot of the same content lacks; a slot that lags one generation needs the cells of both
 *   deltas. Keep `layout` (JSON) and the cells, or compile with a new `before`: without, everything is laid out anew, and
 *   counters change places.
 * - **Numbers of generations** are never used twice on a host, across interfaces and boots of the agent: a connection
 *   is judged again when the number it was judged by is not the current one. `policy_id` in `.rodata` likewise names one
 *   union of policies; loads for the same union (several interfaces) share it and the maps.
 * - **Slots.** `rules[].slot` is the index of a rule's counters, kept while the rule has the same direction, stack,
 *   policy, name and action. A slot that `layout.places.retired` does not hold, and that `before` did not have, is new or
 *   reused: zero its counters before the generation judges.
 * - **The selector's byte** holds current, previous and pending, so that it changes at once: write the deadline first, while
 *   pending is off. Confirming clears pending, also after the deadline if it should stay.
 * - **A slot of `generations` is filled again after an RCU grace period only**, counted from the write of the selector: the
 *   program looks the array up by its slot more than once per packet.
 * - **Explain, tests and the guard** load the program with `explain` = 1, once a session, with connections, counters and a
 *   ring of its own, and the generation that is to be tried in its slot; the verdict of a test-run is then in `explained`. The
 *   guard asks the evaluator too, with the `candidates` among the rules.
 * - **A row is a trie over the 24 bits of a service**, where a decision changes only, and not a line of a matrix over all
 *   port classes. 10,000 nested prefixes with a random port range each take 85 thousand cells so; as a matrix of classes
 *   such rules take above a hundred million.
 */
export {
  type AppliedPolicy,
  applyPolicy,
  type Direction,
  disagreements,
  type RuleName,
  type Surroundings,
} from "./applied";
export type { Cells } from "./cell-space";
export type { StoredBytes } from "./stored";
export { track } from "./connections";
export { evaluate } from "./evaluate";
export { frameOf, type Wire } from "./frames";
export { lookup } from "./lookup";
export {
  type CheckedPolicy,
  type EgressRule,
  type IngressRule,
  policyInputs,
  type PolicyInput,
  type PolicyPeer,
  type PolicyPort,
  policySchema,
} from "./model";
export type { Connection, Evaluation, Frame, Packet, PacketHeader, Tracked, Verdict } from "./packet";
export {
  type CompiledRule,
  type CompiledUnion,
  compileUnion,
  deserializeUnion,
  serializeUnion,
  type UnionInput,
  type UnionOptions,
  type UnionPolicy,
} from "./union";
