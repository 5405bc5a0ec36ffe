/** What several hooks check or say alike. */
import { type LinkHandle, type ProgramHandle, isErrno } from "../../bpf";
import { EbpfError } from "../../errors";
import type { InterfaceTarget } from "../../protocol/hooks";
import type { LinkRecord } from "../records";
import type { Findings, Seen } from "./hook";
import { ifindexOf } from "./netns";

/** A program of another type, or none given. */
export function checkProgramType(
  place: string,
  types: readonly string[],
  program: ProgramHandle | null,
): EbpfError[] {
  if (program === null) return [];
  const { type, name } = program.info();
  if (types.includes(type)) return [];
  return [
    new EbpfError(
      "invalid",
      `attach ${place}: program "${name}" is of type ${type}, the hook takes ${types.join(" or ")}`,
      {},
      {
        remedy: "choose an entrypoint whose SEC() fits the hook",
      },
    ),
  ];
}

/** The interface's index, or the problem that there is none. */
export function findInterface(target: InterfaceTarget, findings: Findings): number | null {
  try {
    return ifindexOf(target);
  } catch (error) {
    findings.problems.push(EbpfError.from(error));
    return null;
  }
}

export const NOT_ATTACHED = { attached: false, programId: 0, facts: {} } as const;

export function detached(message: string): Seen {
  return { ...NOT_ATTACHED, drift: [{ code: "detached", message }] };
}

/** bpf_link_update with compare-and-swap; the kernel's answers in words. */
export function updateLink(
  place: string,
  applied: LinkRecord,
  link: LinkHandle | null,
  from: ProgramHandle,
  to: ProgramHandle,
): void {
  if (link === null)
    throw new EbpfError("not-found", `update ${place}: its link is gone`, {
      what: "link",
      name: String(applied.linkId),
    });
  try {
    link.update(to, from);
  } catch (error) {
    if (!isErrno(error, "EPERM")) throw error;
    // EPERM is also the answer to an update that was done already: only the link itself tells
    const running = link.info().programId;
    if (running === to.info().id) return;
    throw new EbpfError(
      "conflict",
      `update ${place}: program ${running} runs there instead of ${from.info().id}`,
      { owner: `program ${running}` },
      { cause: error, remedy: "run `pulumi refresh` to see it as drift" },
    );
  }
}

/** For hooks whose links can be detached from outside. */
export function detachLink(link: LinkHandle | null): void {
  if (link === null) return;
  try {
    link.detach();
  } catch (error) {
    // dead already, or of a kind that goes with its last reference
    if (!isErrno(error, "ENOLINK", "EOPNOTSUPP", "EINVAL")) throw error;
  }
}
