/** Plan of a fleet: one host of each kernel release stands for all that have it. */
import type { EbpfError } from "../../errors";
import { parseSpecId } from "../../protocol/spec-id";
import type { Spec } from "../../protocol/spec";
import type { Confirm } from "../../resources/confirm";
import type { Source } from "../../sources/source";
import type { Connection } from "../../transport/connection";
import type { Call } from "../call";
import type { Planner, PlanOutcome } from "../plan";
import { hostsText, type Member, namesOf } from "./targets";

/** Silent hosts that are told one by one. */
const FEW = 3;
/** Hosts that a check dials, which the engine calls in an update too. */
export const SAMPLE = 12;

/**
 * `most`: of a larger fleet so many hosts are asked, spread over the list. `reach`: with the credentials of the moment.
 * The result is that of the first release; problems are those of all.
 */
export async function planFleet(
  planner: Planner,
  members: readonly Member[],
  reach: (connection: Connection) => Connection,
  spec: Spec,
  sources: Source[],
  blame: (error: EbpfError) => string | undefined,
  call: Call,
  { confirm, most = Infinity }: { confirm?: Confirm | undefined; most?: number },
): Promise<PlanOutcome> {
  const asked = spread(members, most);
  const silent: { name: string; text: string }[] = [];
  const kernels = await Promise.all(
    asked.map(({ name, connection }) => {
      const report: Call["report"] = (text, severity) => {
        if (severity === "warning") silent.push({ name, text });
        else call.report(text, severity);
      };
      return planner.kernelOf(reach(connection), { ...call, report });
    }),
  );
  if (silent.length > FEW) {
    const text = `${silent.length} of ${hostsText(asked.length)} cannot be asked: not planned there: ${namesOf(silent)}`;
    call.report(text, "warning");
  } else {
    for (const { text } of silent) call.report(text, "warning");
  }
  const rest = asked.length === members.length ? "" : ` (${asked.length} of ${members.length} asked)`;
  const releases = new Map<string, Member[]>();
  for (const [index, member] of asked.entries()) {
    const kernel = kernels[index];
    if (kernel !== undefined) releases.set(kernel, [...(releases.get(kernel) ?? []), member]);
  }
  const outcomes = await Promise.all(
    [...releases].map(([kernel, [first, ...others]]) => {
      const count = `${others.length + 1} of ${hostsText(asked.length)}`;
      const place = `${first!.name}, for ${count} with kernel ${kernel}${rest}`;
      return planner.plan(reach(first!.connection), spec, sources, blame, call, { place, confirm });
    }),
  );
  if (outcomes.length > 1) {
    const { name } = parseSpecId(spec.id);
    call.report(`${name}: planned on ${hostsText(outcomes.length)}, one for each kernel release`);
  }
  const result = outcomes.find((outcome) => outcome.result !== undefined)?.result;
  const problems = outcomes.flatMap((outcome) => outcome.problems);
  return { problems, ...(result === undefined ? {} : { result }) };
}

function spread(members: readonly Member[], most: number): readonly Member[] {
  if (members.length <= most) return members;
  return Array.from({ length: most }, (_, index) => members[Math.floor((index * members.length) / most)]!);
}
