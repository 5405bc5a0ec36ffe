/** TCX: programs in an order at a device's ingress or egress. Linux 6.6. Order and its drift are in tcx-order.ts. */
import { LinkHandle, isErrno, queryTcx } from "../../bpf";
import { EbpfError } from "../../errors";
import type { TcHook, TcxHook } from "../../protocol/hooks";
import { detachLink, detached, findInterface, updateLink } from "./findings";
import type { HookFile, HookScope } from "./hook";
import { describeTarget, ifindexIfThere, ifindexOf, inNetns, sameTarget } from "./netns";
import { brokenOrder, kernelAnchor, rivalFor } from "./tcx-order";

/** The hook changes under us when others attach at the same time. */
const MOST_TRIES = 5;

const describe = (hook: TcxHook): string => `tcx ${hook.direction} of ${describeTarget(hook)}`;

export const tcx: HookFile<TcxHook> = {
  type: "tcx",
  programTypes: () => ["sched_cls"],
  exchange: "update",
  describe,

  plan(scope, hook, program, mine, findings) {
    const { problems } = findings;
    if (!scope.kernelAtLeast(6, 6)) problems.push(tooOld(scope, hook));
    const ifindex = findInterface(hook, findings);
    if (ifindex === null || !scope.kernelAtLeast(6, 6)) return;
    const rival = rivalFor(scope, hook);
    if (rival !== null) problems.push(rival);
    try {
      const status = inNetns(hook, () => queryTcx(ifindex, hook.direction));
      kernelAnchor(scope, hook, status.programs);
      const id = program?.info().id;
      const twin = status.programs.find(
        ({ programId, linkId }) => programId === id && linkId !== mine?.linkId,
      );
      if (twin !== undefined) problems.push(attachedTwice(scope, hook, twin.programId));
    } catch (error) {
      problems.push(EbpfError.from(error));
    }
  },

  transition(previous, _applied, next, seen) {
    if (!sameTarget(previous, next) || previous.direction !== next.direction) return "move";
    return seen.drift.some(({ code }) => code === "moved") ? "clone" : "keep";
  },

  attach(scope, hook, program) {
    const ifindex = ifindexOf(hook);
    const rival = rivalFor(scope, hook);
    if (rival !== null) throw rival;
    const link = attachInOrder(scope, hook, program, ifindex);
    const { id, programId } = link.info();
    return {
      link,
      record: { hook: "tcx", linkId: id, programId, facts: { ifindex, direction: hook.direction } },
      notes: [],
    };
  },

  observe(scope, hook, _applied, link) {
    if (link === null) return detached(`detached from ${describe(hook)}`);
    const info = link.info();
    const ifindex = ifindexIfThere(hook);
    if (ifindex === null) return detached(`detached: interface ${describeTarget(hook)} is gone`);
    if (info.type !== "tcx" || info.ifindex !== ifindex) return detached(`detached from ${describe(hook)}`);
    const { programs } = inNetns(hook, () => queryTcx(ifindex, hook.direction));
    const position = programs.findIndex(({ linkId }) => linkId === info.id);
    if (position < 0) return detached(`detached from ${describe(hook)}`);
    const broken = brokenOrder(scope, hook, programs, position);
    return {
      attached: true,
      programId: info.programId,
      facts: { ifindex, direction: hook.direction, position },
      drift: broken === null ? [] : [{ code: "moved", message: `${describe(hook)}: ${broken}` }],
    };
  },

  update(hook, applied, link, from, to) {
    try {
      updateLink(describe(hook), applied, link, from, to);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      const message = `update ${describe(hook)}: the new program is attached there a second time`;
      throw new EbpfError(
        "conflict",
        message,
        {},
        { cause: error, remedy: "remove one of the two attachments" },
      );
    }
  },

  detach(_scope, _hook, _applied, link) {
    detachLink(link);
  },
};

function attachInOrder(
  scope: HookScope,
  hook: TcxHook,
  program: Parameters<typeof tcx.attach>[2],
  ifindex: number,
): LinkHandle {
  for (let attempt = 1; ; attempt++) {
    try {
      return inNetns(hook, () => {
        const { programs, revision } = queryTcx(ifindex, hook.direction);
        const anchor = kernelAnchor(scope, hook, programs);
        return LinkHandle.create(program, {
          type: "tcx",
          ifindex,
          direction: hook.direction,
          anchor,
          expectedRevision: revision,
        });
      });
    } catch (error) {
      if (isErrno(error, "ESTALE")) {
        if (attempt < MOST_TRIES) continue;
        throw busy(hook, error);
      }
      if (isErrno(error, "EEXIST")) throw attachedTwice(scope, hook, program.info().id);
      if (!scope.kernelAtLeast(6, 6)) throw tooOld(scope, hook);
      throw error;
    }
  }
}

function busy(hook: TcxHook, cause: unknown): EbpfError {
  const message = `attach ${describe(hook)}: others changed the hook between each of ${MOST_TRIES} looks and attempts`;
  return new EbpfError("conflict", message, {}, { cause, remedy: "run the operation again" });
}

/** Below Linux 6.6. Priorities stand in for the order as far as they can. */
export function tcxFallback(hook: TcxHook): TcHook {
  const { interface: name, netns, direction, order } = hook;
  const priority = order === "first" ? 1 : order === "last" ? 0xc000 : 0x1000;
  return {
    type: "tc",
    interface: name,
    ...(netns === undefined ? {} : { netns }),
    direction,
    priority,
    handle: 1,
  };
}

function attachedTwice(scope: HookScope, hook: TcxHook, programId: number): EbpfError {
  const owner = scope.ownerOf(programId);
  return new EbpfError(
    "conflict",
    `attach ${describe(hook)}: this very program is attached there already (${owner})`,
    { owner },
    {
      remedy: "a hook takes a program once: remove one of the two attachments",
    },
  );
}

function tooOld(scope: HookScope, hook: TcxHook): EbpfError {
  const details = { feature: "tcx link", minimumKernel: "6.6", hostKernel: scope.kernel };
  return new EbpfError(
    "unsupported",
    `attach ${describe(hook)}: tcx needs Linux 6.6, the host has ${scope.kernel}`,
    details,
    {
      remedy: 'set fallback: "tc", or use the hook tc',
    },
  );
}
