/**
 * clsact filters in direct action, by netlink: on all kernels. No link holds them, the qdisc does; nothing can be
 * pinned, and there is no compare-and-swap: the filter is read just before and just after, the window between
 * remains.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { attachTc, createClsact, destroyClsact, detachTc, interfaceName, isErrno, queryTc } from "../../bpf";
import { EbpfError } from "../../errors";
import type { TcHook } from "../../protocol/hooks";
import { ensureDirectory, removeIfThere, writeAtomically } from "../durable-file";
import { detached, findInterface } from "./findings";
import type { HookFile, HookScope } from "./hook";
import { describeTarget, ifindexIfThere, ifindexOf, inNetns, sameTarget } from "./netns";

const describe = (hook: TcHook): string =>
  `tc ${hook.direction} of ${describeTarget(hook)}, priority ${hook.priority}, handle ${hook.handle}`;

export const tc: HookFile<TcHook> = {
  type: "tc",
  programTypes: () => ["sched_cls"],
  exchange: "update",
  describe,

  plan(scope, hook, _program, mine, findings) {
    const ifindex = findInterface(hook, findings);
    if (ifindex === null) return;
    const running = programAt(hook, ifindex);
    const isMine =
      mine !== null &&
      mine.facts.ifindex === ifindex &&
      mine.facts.priority === hook.priority &&
      mine.facts.handle === hook.handle;
    if (running !== undefined && !isMine) findings.problems.push(owned(scope, hook, running));
  },

  transition(previous, _applied, next) {
    const same = sameTarget(previous, next) && previous.direction === next.direction;
    return same && previous.priority === next.priority && previous.handle === next.handle ? "keep" : "move";
  },

  attach(scope, hook, program) {
    const ifindex = ifindexOf(hook);
    return inNetns(hook, () => {
      if (createClsact(ifindex)) rememberClsact(scope, ifindex);
      try {
        attachTc({ ifindex, direction: hook.direction }, program, hook);
      } catch (error) {
        const running = programAt(hook, ifindex);
        dropClsact(scope, ifindex);
        if (isErrno(error, "EEXIST") && running !== undefined) throw owned(scope, hook, running);
        throw error;
      }
      const { direction, priority, handle } = hook;
      const programId = program.info().id;
      return {
        link: null,
        record: { hook: "tc", linkId: 0, programId, facts: { ifindex, direction, priority, handle } },
        notes: [],
      };
    });
  },

  observe(_scope, hook, applied) {
    const ifindex = ifindexIfThere(hook);
    if (ifindex === null) return detached(`detached: interface ${describeTarget(hook)} is gone`);
    const programId = ifindex === applied.facts.ifindex ? programAt(hook, ifindex) : undefined;
    if (programId === undefined) return detached(`detached from ${describe(hook)}`);
    return { attached: true, programId, facts: { ...applied.facts, ifindex }, drift: [] };
  },

  update(hook, applied, _link, from, to) {
    const ifindex = applied.facts.ifindex as number;
    const [fromId, toId] = [from.info().id, to.info().id];
    inNetns(hook, () => {
      const before = programAt(hook, ifindex);
      if (before === toId) return;
      if (before !== fromId) throw taken(hook, before, fromId);
      attachTc({ ifindex, direction: hook.direction }, to, hook, { replace: true });
      const after = programAt(hook, ifindex);
      if (after !== toId) throw taken(hook, after, toId);
    });
  },

  undoAttach(scope, hook, programId, keep) {
    const ifindex = ifindexIfThere(hook);
    const isKept =
      keep !== null &&
      keep.facts.priority === hook.priority &&
      keep.facts.handle === hook.handle &&
      keep.facts.ifindex === ifindex;
    if (ifindex !== null && !isKept) remove(scope, hook, ifindex, programId);
  },

  detach(scope, hook, applied, _link, programId) {
    const ifindex = ifindexIfThere(hook);
    if (ifindex !== null && ifindex === applied.facts.ifindex) remove(scope, hook, ifindex, programId);
  },
};

function programAt(hook: TcHook, ifindex: number): number | undefined {
  return inNetns(hook, () => queryTc({ ifindex, direction: hook.direction }, hook));
}

function remove(scope: HookScope, hook: TcHook, ifindex: number, programId: number): void {
  inNetns(hook, () => {
    const place = { ifindex, direction: hook.direction };
    if (queryTc(place, hook) === programId) detachTc(place, hook);
    dropClsact(scope, ifindex);
  });
}

/** A qdisc that we made goes with its last filter; whether it was ours is remembered until the next boot. */
function clsactMark(scope: HookScope, ifindex: number): string {
  const netns = fs.statSync("/proc/self/ns/net").ino;
  return path.join(scope.runDirectory, "clsact", `${netns}-${ifindex}`);
}

function rememberClsact(scope: HookScope, ifindex: number): void {
  ensureDirectory(path.join(scope.runDirectory, "clsact"));
  writeAtomically(clsactMark(scope, ifindex), "");
}

function dropClsact(scope: HookScope, ifindex: number): void {
  const mark = clsactMark(scope, ifindex);
  const name = interfaceName(ifindex);
  if (!fs.existsSync(mark) || name === undefined || !isEmpty(name)) return;
  destroyClsact(ifindex);
  removeIfThere(mark);
}

/** Asks iproute2, since libbpf lists no filters. A host without it keeps the empty qdisc. */
function isEmpty(name: string): boolean {
  return ["ingress", "egress"].every((direction) => {
    const { status, stdout } = spawnSync("tc", ["-j", "filter", "show", "dev", name, direction], {
      encoding: "utf8",
    });
    return status === 0 && (stdout.trim() === "" || stdout.trim() === "[]" || stdout.trim() === "[ ]");
  });
}

function owned(scope: HookScope, hook: TcHook, programId: number): EbpfError {
  const owner = scope.ownerOf(programId);
  return new EbpfError(
    "conflict",
    `attach ${describe(hook)}: ${owner} is attached there`,
    { owner },
    {
      remedy: "choose another priority or handle",
    },
  );
}

function taken(hook: TcHook, running: number | undefined, expected: number): EbpfError {
  const owner = running === undefined ? "no program" : `program ${running}`;
  return new EbpfError(
    "conflict",
    `update ${describe(hook)}: ${owner} runs there instead of ${expected}`,
    { owner },
    {
      remedy: "run `pulumi refresh` to see it as drift",
    },
  );
}
