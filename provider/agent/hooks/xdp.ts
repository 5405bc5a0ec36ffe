/** XDP by BPF link. Linux 5.9. */
import { LinkHandle, type ProgramHandle, type XdpMode, interfaceName, isErrno, queryXdp } from "../../bpf";
import { EbpfError } from "../../errors";
import type { XdpHook } from "../../protocol/hooks";
import type { LinkRecord } from "../records";
import { detachLink, detached, findInterface, updateLink } from "./findings";
import type { Attached, HookFile, HookScope, Seen, Transition } from "./hook";
import { redirects, vethsWithoutNapi } from "./veth";
import { describeTarget, ifindexIfThere, ifindexOf, inNetns, sameTarget } from "./netns";

const describe = (hook: XdpHook): string => `xdp on ${describeTarget(hook)}`;

export const xdp: HookFile<XdpHook> = {
  type: "xdp",
  programTypes: () => ["xdp"],
  exchange: "update",
  describe,

  plan(scope, hook, program, mine, findings) {
    if (!scope.kernelAtLeast(5, 9)) findings.problems.push(tooOld(scope, hook));
    if (hook.mode === "offload") findings.problems.push(notForCard(scope, hook));
    const ifindex = findInterface(hook, findings);
    if (ifindex === null) return;
    if (program !== null && redirects(program)) {
      const deaf = inNetns(hook, vethsWithoutNapi);
      const names = deaf.join(", ");
      if (deaf.length > 0) {
        findings.warnings.push(
          `the program redirects: frames into ${names} are dropped, since the peer of each has neither an xdp program nor GRO (ethtool -K <peer> gro on)`,
        );
      }
    }
    const { programIds } = inNetns(hook, () => queryXdp(ifindex));
    const running = Object.entries(programIds).filter(([, id]) => id !== mine?.programId);
    for (const [mode, id] of running) {
      // its own link after a swap by hand: drift, not a conflict
      if (mine !== null && mine.facts.ifindex === ifindex && mine.facts.mode === mode) continue;
      findings.problems.push(owned(scope, hook, id, mode));
    }
  },

  transition(previous, applied, next, seen): Transition {
    if (!sameTarget(previous, next) || !seen.attached) return "move";
    return next.mode === "auto" || next.mode === applied.facts.mode ? "keep" : "gap";
  },

  attach(scope, hook, program): Attached {
    const ifindex = ifindexOf(hook);
    if (hook.mode !== "auto")
      return attached(
        hook,
        program,
        ifindex,
        hook.mode,
        attachMode(scope, hook, program, ifindex, hook.mode),
      );
    try {
      return attached(hook, program, ifindex, "native", attachMode(scope, hook, program, ifindex, "native"));
    } catch (error) {
      if (!EbpfError.is(error, "unsupported")) throw error;
      const link = attachMode(scope, hook, program, ifindex, "generic");
      const note = `${describe(hook)}: native mode is not possible (${error.message}); generic mode is used`;
      const result = attached(hook, program, ifindex, "generic", link);
      return { ...result, notes: [note] };
    }
  },

  observe(_scope, hook, applied, link): Seen {
    if (link === null) return detached(`detached from ${describeTarget(hook)}`);
    const info = link.info();
    const ifindex = ifindexIfThere(hook);
    if (ifindex === null) return detached(`detached: interface ${describeTarget(hook)} is gone`);
    if (info.type !== "xdp" || info.ifindex === 0) return detached(`detached from ${describeTarget(hook)}`);
    if (info.ifindex !== ifindex) {
      const name = inNetns(hook, () => interfaceName(info.ifindex)) ?? `ifindex ${info.ifindex}`;
      return detached(`detached from ${describeTarget(hook)}: the link is on ${name}`);
    }
    return { attached: true, programId: info.programId, facts: { ...applied.facts, ifindex }, drift: [] };
  },

  update(hook, applied, link, from, to) {
    updateLink(describe(hook), applied, link, from, to);
  },

  asApplied(hook, applied) {
    return { ...hook, mode: applied.facts.mode as XdpMode };
  },

  chosenAnew(hook, before, after) {
    const [was, is] = [before.facts.mode, after.facts.mode];
    if (hook.mode !== "auto" || was === is) return null;
    return `${describe(hook)}: attached in ${is} mode, before it was in ${was} mode`;
  },

  detach(_scope, _hook, _applied, link) {
    detachLink(link);
  },
};

function attached(
  _hook: XdpHook,
  program: ProgramHandle,
  ifindex: number,
  mode: XdpMode,
  link: LinkHandle,
): Attached {
  const record: LinkRecord = {
    hook: "xdp",
    linkId: link.info().id,
    programId: program.info().id,
    facts: { ifindex, mode },
  };
  return { link, record, notes: [] };
}

function attachMode(
  scope: HookScope,
  hook: XdpHook,
  program: ProgramHandle,
  ifindex: number,
  mode: XdpMode,
): LinkHandle {
  try {
    return inNetns(hook, () => LinkHandle.create(program, { type: "xdp", ifindex, mode }));
  } catch (error) {
    if (isErrno(error, "EEXIST", "EBUSY")) {
      const { programIds } = inNetns(hook, () => queryXdp(ifindex));
      const [running] = Object.entries(programIds);
      if (running !== undefined) throw owned(scope, hook, running[1], running[0]);
    }
    if (!scope.kernelAtLeast(5, 9)) throw tooOld(scope, hook);
    if (isErrno(error, "EOPNOTSUPP", "EINVAL", "ERANGE", "E2BIG")) {
      throw new EbpfError(
        "unsupported",
        `attach ${describe(hook)} in ${mode} mode: the driver refuses (${(error as EbpfError<"libbpf">).details.errnoName})`,
        { feature: `xdp mode ${mode}`, hostKernel: scope.kernel },
        { cause: error, remedy: refusalRemedy(mode) },
      );
    }
    throw error;
  }
}

/** A card takes only what was loaded for it (BPF_PROG_LOAD with prog_ifindex), and such a program runs nowhere else. */
function notForCard(scope: HookScope, hook: XdpHook): EbpfError {
  return new EbpfError(
    "unsupported",
    `attach ${describe(hook)} in offload mode: the program is loaded for the kernel, not for the card of ${hook.interface}`,
    { feature: "xdp mode offload", hostKernel: scope.kernel },
    { remedy: 'use mode "native" or "generic": a Program is not loaded for cards yet' },
  );
}

function refusalRemedy(mode: XdpMode): string {
  if (mode === "generic") return "check that the interface is no bridge port or bond member";
  return 'lower the interface\'s MTU (about 3500 for most drivers), switch LRO off (ethtool -K … lro off), compile with SEC("xdp.frags"), or use mode "generic"';
}

function owned(scope: HookScope, hook: XdpHook, programId: number, mode: string): EbpfError {
  const owner = scope.ownerOf(programId);
  return new EbpfError(
    "conflict",
    `attach ${describe(hook)}: ${owner} is attached there in ${mode} mode`,
    { owner },
    {
      remedy: "an interface takes one xdp program: detach the other one, or attach by tcx",
    },
  );
}

function tooOld(scope: HookScope, hook: XdpHook): EbpfError {
  return new EbpfError(
    "unsupported",
    `attach ${describe(hook)}: xdp links need Linux 5.9, the host has ${scope.kernel}`,
    {
      feature: "xdp link",
      minimumKernel: "5.9",
      hostKernel: scope.kernel,
    },
  );
}
