/** The order of programs on a TCX hook: from names to the kernel's anchors, and whether it still holds. */
import { type Anchor as KernelAnchor, type AttachedProgram, ProgramHandle } from "../../bpf";
import { EbpfError } from "../../errors";
import type { Anchor, TcxHook } from "../../protocol/hooks";
import { isDerived } from "../network-policy/derived";
import { unlessMissing } from "../reconcile/actual";
import type { HookScope } from "./hook";
import { sameTarget } from "./netns";

/** Fails with `not-found` when the anchor is not on the hook. */
export function kernelAnchor(
  scope: HookScope,
  { order = "last" }: TcxHook,
  programs: AttachedProgram[],
): KernelAnchor {
  if (order === "first" || order === "last") return order;
  const anchor = "before" in order ? order.before : order.after;
  const positions = positionsOf(scope, anchor, programs);
  if (positions.length === 0) {
    const name = anchorName(anchor);
    throw new EbpfError(
      "not-found",
      `find the anchor ${name}: it is not on this hook`,
      { what: "anchor", name },
      {
        remedy: "attach it first, or choose first or last",
      },
    );
  }
  const { linkId, programId } = programs["before" in order ? positions[0]! : positions.at(-1)!]!;
  const object = linkId === undefined ? { programId } : { linkId };
  return "before" in order ? { before: object } : { after: object };
}

/** In words what breaks the order; `null`: it holds. An anchor that is gone breaks nothing. */
export function brokenOrder(
  scope: HookScope,
  { order }: TcxHook,
  programs: AttachedProgram[],
  position: number,
): string | null {
  const stands = (other: number, side: string) =>
    `${scope.ownerOf(programs[other]!.programId)} stands ${side} it`;
  if (order === undefined) return null;
  if (order === "first") return position === 0 ? null : stands(0, "before");
  if (order === "last")
    return position === programs.length - 1 ? null : stands(programs.length - 1, "behind");
  const positions = positionsOf(scope, "before" in order ? order.before : order.after, programs);
  if ("before" in order)
    return positions.every((at) => position < at) ? null : stands(positions[0]!, "before");
  return positions.every((at) => position > at) ? null : stands(positions.at(-1)!, "behind");
}

/** Two attachments that both want to be first, or last, on one hook would fight at every `up`. */
export function rivalFor(scope: HookScope, hook: TcxHook): EbpfError | null {
  const { order } = hook;
  if (order !== "first" && order !== "last") return null;
  const rival = scope.others("tcx").find(
    ({ spec, hook: other }) =>
      // planes of network policies stand behind each other for an instant, while an interface changes over
      !(isDerived(spec) && isDerived(scope.spec)) &&
      other.type === "tcx" &&
      sameTarget(other, hook) &&
      other.direction === hook.direction &&
      other.order === order,
  );
  if (rival === undefined) return null;
  const message = `attach tcx ${hook.direction} of ${hook.interface} as ${order}: ${rival.spec} is declared ${order} there`;
  return new EbpfError(
    "conflict",
    message,
    { owner: rival.spec },
    {
      remedy: `place one of them before or after the other instead`,
    },
  );
}

/** Ascending. */
function positionsOf(scope: HookScope, anchor: Anchor, programs: AttachedProgram[]): number[] {
  const isAnchor =
    "spec" in anchor
      ? (
          (ids: number[]) =>
          ({ linkId }: AttachedProgram) =>
            linkId !== undefined && ids.includes(linkId)
        )(scope.linkIdsOf(anchor.spec))
      : ({ programId }: AttachedProgram) => nameOf(programId) === anchor.programName.slice(0, 15);
  return programs.flatMap((program, index) => (isAnchor(program) ? [index] : []));
}

function nameOf(programId: number): string | undefined {
  const program = unlessMissing(() => ProgramHandle.fromId(programId));
  if (program === null) return undefined;
  try {
    return program.info().name;
  } finally {
    program.close();
  }
}

function anchorName(anchor: Anchor): string {
  return "spec" in anchor ? anchor.spec : `"${anchor.programName}"`;
}
