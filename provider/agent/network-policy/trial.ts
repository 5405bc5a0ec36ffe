/**
 * Packets tried on what planes are about to judge by, by two judges: the program itself (rehearsal.ts) and the reference
 * evaluator, which knows nothing of the compiler's tables. They must agree. Does not own: which packets are tried.
 */
import type { MapHandle } from "../../bpf";
import { EbpfError } from "../../errors";
import type { AppliedPolicy, RuleName } from "../../network-policy/applied";
import { track } from "../../network-policy/connections";
import { type Evaluator, prepare } from "../../network-policy/evaluate";
import type { Packet, Tracked, Verdict } from "../../network-policy/packet";
import type { CompiledUnion } from "../../network-policy/union";
import type { Host } from "../host";
import { createInner, writeRun } from "./generation";
import { type Rehearsal, rehearse } from "./rehearsal";

export interface Tried extends Verdict {
  /** As if policies in audit mode were enforced. */
  audit: Verdict;
  /** The judges disagree: nobody knows what the packet would meet. */
  defect?: EbpfError;
}

export class Trial {
  private readonly evaluate: Evaluator;
  private tracked: Tracked[] = [];

  private constructor(
    private readonly union: CompiledUnion,
    policies: readonly AppliedPolicy[],
    private readonly rehearsal: Rehearsal,
  ) {
    this.evaluate = prepare(policies);
  }

  /** `policies`: those that `union` was compiled from, or candidates of them for the addresses of the packets. */
  static run<T>(
    host: Host,
    union: CompiledUnion,
    policies: readonly AppliedPolicy[],
    work: (trial: Trial) => T,
  ): T {
    const cells = cellsOf(union);
    try {
      return rehearse(host, cells, (rehearsal) => work(new Trial(union, policies, rehearsal)));
    } finally {
      cells.close();
    }
  }

  judge(packet: Packet): Tried {
    const { verdict, slot, audit } = this.rehearsal.judge(packet);
    const evaluation = this.evaluate(this.tracked, packet);
    this.tracked = track(this.tracked, evaluation);
    const judged = this.named(verdict, slot);
    const audited = evaluation.audit === undefined ? judged : this.named(audit.verdict, audit.slot);
    const same = isSame(judged, evaluation) && isSame(audited, evaluation.audit ?? judged);
    return {
      ...judged,
      audit: audited,
      ...(same ? {} : { defect: disagreement(packet, [judged, audited], [evaluation, evaluation.audit]) }),
    };
  }

  /** As judge, to fill the program's tables; the evaluator's have room for all, and need none of it. */
  fillWith(packet: Packet): void {
    this.rehearsal.judge(packet);
  }

  /** What earlier packets opened. */
  forget(): void {
    this.rehearsal.forget();
    this.tracked = [];
  }

  private named(verdict: Verdict["verdict"], slot: number | undefined): Verdict {
    const rule = slot === undefined ? undefined : this.union.rule(slot)?.id;
    return { verdict, ...(rule === undefined ? {} : { rule }) };
  }
}

function isSame(a: Verdict, b: Verdict): boolean {
  return a.verdict === b.verdict && ruleText(a.rule) === ruleText(b.rule);
}

export function ruleText(rule: RuleName | undefined): string {
  return rule === undefined ? "no rule" : `rule "${rule.name}" of ${rule.stack}/${rule.policy}`;
}

function disagreement(
  { direction, source, destination, destinationPort }: Packet,
  program: (Verdict | undefined)[],
  evaluator: (Verdict | undefined)[],
): EbpfError {
  const port = destinationPort === undefined ? "" : `, port ${destinationPort}`;
  const says = (verdicts: (Verdict | undefined)[]) =>
    verdicts
      .flatMap((one) => (one === undefined ? [] : [`${one.verdict} by ${ruleText(one.rule)}`]))
      .join(", audited ");
  return new EbpfError(
    "internal",
    `try ${direction} from ${source} to ${destination}${port}: the program says ${says(program)}, the evaluator ` +
      `${says(evaluator)}; one of them is wrong, so nothing was changed`,
    {},
    { remedy: "report it, with the policies of the interface" },
  );
}

/** The generation in an array of its own. */
function cellsOf({ cells }: CompiledUnion): MapHandle {
  const map = createInner(cells.count);
  try {
    writeRun(map, cells, 0, cells.count);
    return map;
  } catch (error) {
    map.close();
    throw error;
  }
}
